//! Which planted mistakes the must-pass cases catch, and whether honest devices pass.

use omnihal::{Device, OpKind};
use omnihal_conformance::case::Case;
use omnihal_conformance::run::{self, Options};
use omnihal_conformance::{Outcome, cases};
use omnihal_mutants::{Class, Variant};
use std::process::Command;
use std::sync::Arc;

/// What became of one variant over all seeds.
pub struct Row {
    pub variant: &'static Variant,
    /// Seeds under which some case failed.
    pub caught: usize,
    pub seeds: usize,
    /// The first case that failed, and why.
    pub by: Option<String>,
}

impl Row {
    pub fn family(&self) -> &'static str {
        self.variant.id.split('.').next().unwrap_or_default()
    }

    pub fn planted(&self) -> bool {
        matches!(self.variant.class, Class::Planted)
    }

    /// Caught under nine seeds of ten: some mistakes need numbers that not every seed draws.
    pub fn killed(&self) -> bool {
        self.caught * 10 >= self.seeds * 9
    }
}

/// Variants whose ids start with `prefix`, each under seeds `0..seeds`.
pub fn rows(prefix: &str, seeds: usize, mut each: impl FnMut(&Row)) -> Vec<Row> {
    let all = cases::all();
    let variants = omnihal_mutants::all().into_iter().filter(|v| v.id.starts_with(prefix));
    let mut rows = Vec::new();
    for variant in variants {
        let row = match variant.ops {
            [] => of_scripts(variant, seeds.min(MAX_SCRIPT_SEEDS)),
            ops => of_cases(variant, &own(&all, ops), seeds),
        };
        each(&row);
        rows.push(row);
    }
    rows
}

/// Scripts look at times and orders; their random numbers decide little.
const MAX_SCRIPT_SEEDS: usize = 2;

/// Short cases of an honest variant under one of many seeds.
const HONEST_CASES: usize = 20;

/// Cases with more arithmetic are left out: the plain device computes one product after another, and no mistake needs them to show.
const MAX_FLOPS: f64 = 3e6;

/// The cases of some operators, short ones first: most mistakes show at once.
fn own<'a>(all: &'a [Case], ops: &[OpKind]) -> Vec<&'a Case> {
    let small = |c: &&Case| c.op.cost().flops <= MAX_FLOPS;
    let mut own: Vec<&Case> = all.iter().filter(|c| ops.contains(&c.op.kind())).filter(small).collect();
    own.sort_by_key(|c| !c.quick);
    own
}

fn of_cases(variant: &'static Variant, cases: &[&Case], seeds: usize) -> Row {
    let mut row = Row { variant, caught: 0, seeds, by: None };
    let quick = cases.iter().filter(|c| c.quick).count();
    for salt in 0..seeds as u64 {
        // A device of its own for each seed: some mistakes show in what an earlier run left behind.
        let device = omnihal_mutants::device(Some(variant));
        // An honest one must pass whatever is looked at, which takes long: under many seeds each looks at another part of the short cases.
        let passes = matches!(variant.class, Class::Honest) || variant.equivalent.is_some();
        let honest = passes && seeds > 1;
        let parts = if honest { (quick / HONEST_CASES).max(1) } else { 1 };
        let chosen = |(i, c): &(usize, &&Case)| !honest || (c.quick && (i + salt as usize) % parts == 0);
        let own = cases.iter().enumerate().filter(chosen).map(|(_, c)| *c);
        if let Some(by) = first_failure(&device, own, Options { salt, brief: honest && salt > 0 }) {
            row.caught += 1;
            row.by.get_or_insert(by);
        }
    }
    row
}

fn first_failure<'a>(
    device: &Arc<dyn Device>,
    mut cases: impl Iterator<Item = &'a Case>,
    options: Options,
) -> Option<String> {
    cases.find_map(|case| {
        let result = run::run(&**device, case, options);
        (result.outcome != Outcome::Pass).then(|| format!("{}: {}", result.id, result.message.unwrap_or_default()))
    })
}

/// Mistakes of streams and memory may end the process: each is judged in a child, which prints what it found.
fn of_scripts(variant: &'static Variant, seeds: usize) -> Row {
    let mut row = Row { variant, caught: 0, seeds, by: None };
    for seed in 0..seeds {
        let program = std::env::current_exe().unwrap_or_default();
        let output = Command::new(program).args(["--one", variant.id, &seed.to_string()]).output();
        let by = match output {
            Ok(output) if output.status.success() => {
                let words = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                (!words.is_empty()).then_some(words)
            }
            Ok(output) => Some(format!("the process: {}", output.status)),
            Err(error) => Some(format!("the process: {error}")),
        };
        if let Some(by) = by {
            row.caught += 1;
            row.by.get_or_insert(by);
        }
    }
    row
}

/// Planted and caught mistakes of a family, those that no legal input can show left out.
pub fn rate(rows: &[Row], family: &str) -> (usize, usize) {
    let of = || rows.iter().filter(|r| r.family() == family && r.planted() && r.variant.equivalent.is_none());
    (of().filter(|r| r.killed()).count(), of().count())
}

/// The families, in the order of their variants.
pub fn families(rows: &[Row]) -> Vec<&'static str> {
    let mut families: Vec<&str> = rows.iter().map(Row::family).collect();
    families.dedup();
    families.sort_unstable();
    families.dedup();
    families
}
