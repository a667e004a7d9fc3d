//! Which planted mistakes the must-pass cases catch, and whether honest devices pass.

use omnihal::op::copy::Fill;
use omnihal::{Args, DType, Device, MemoryKind, OpKind, Stream, View};
use omnihal_conformance::case::Case;
use omnihal_conformance::run::{self, Options};
use omnihal_conformance::runtime::poison;
use omnihal_conformance::script::{self, Verdict};
use omnihal_conformance::{Outcome, Profile, Target, cases};
use omnihal_mutants::{Class, Variant, VariantsBackend};
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

    /// Caught under every seed.
    pub fn killed(&self) -> bool {
        self.caught == self.seeds
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
    for salt in 0..seeds as u64 {
        // A device of its own for each seed: some mistakes show in what an earlier run left behind.
        let device = omnihal_mutants::device(Some(variant));
        // An honest one must pass whatever is looked at: after the first seed, short cases and the first look at them are enough.
        let brief = salt > 0 && matches!(variant.class, Class::Honest);
        if let Some(by) = first_failure(&device, cases, salt, brief) {
            row.caught += 1;
            row.by.get_or_insert(by);
        }
    }
    row
}

fn first_failure(device: &Arc<dyn Device>, cases: &[&Case], salt: u64, brief: bool) -> Option<String> {
    cases.iter().filter(|c| c.quick || !brief).find_map(|case| {
        let result = run::run(&**device, case, Options { salt, brief });
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

/// The child's part: the first script that a variant fails, or what its failed stream does wrong.
pub fn one(id: &str, seed: u64) -> Option<String> {
    let variant = omnihal_mutants::find(id)?;
    let scripts = script::all().into_iter().filter(|s| s.profile == Profile::Runtime && s.quick);
    for script in scripts {
        let target = match Target::open(Arc::new(VariantsBackend(Some(variant))), 0) {
            Ok(target) => target,
            Err(error) => return Some(format!("open: {error}")),
        };
        let result = script.judge(&target, seed);
        if result.outcome != Outcome::Pass {
            return Some(format!("{}: {}", result.id, result.message.unwrap_or_default()));
        }
    }
    after_a_failure(&omnihal_mutants::device(Some(variant))).map(|found| format!("rules of failed streams: {found}"))
}

/// What a stream does wrong after a run has failed on it.
fn after_a_failure(device: &Arc<dyn Device>) -> Option<String> {
    let plan = omnihal_mutants::failing_plan(&Fill { shape: [4].into(), value: 0.0, dtype: DType::F32 }.into());
    let buffer = device.alloc(16, MemoryKind::Device).ok()?;
    let views = [View::contiguous(buffer.mem(), DType::F32, [4]).ok()];
    // SAFETY: the view is the operator's, and its buffer outlives the streams of the rules.
    let fail = |stream: &dyn Stream| unsafe { stream.run(&*plan, &Args::new(&views)) };
    match poison::rules(device, &fail) {
        Ok(Verdict::Ran(findings)) => findings.into_iter().next().map(|f| f.to_string()),
        Ok(Verdict::Unsupported(_)) => None,
        Err(error) => Some(error.to_string()),
    }
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
