//! The kill table as Markdown: `ci/kill-table` puts it into docs/conformance.md.
#![allow(missing_docs)]

#[path = "../tests/kill_table/table.rs"]
mod table;

use omnihal::op::copy::Fill;
use omnihal::{Args, DType, Device, MemoryKind, Stream, View};
use omnihal_conformance::runtime::poison;
use omnihal_conformance::script::{self, Verdict};
use omnihal_conformance::{Outcome, Profile, Target};
use omnihal_mutants::VariantsBackend;
use std::process::ExitCode;
use std::sync::Arc;
use table::{Row, families, rate, rows};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, id, seed] = args.as_slice()
        && flag == "--one"
    {
        if let Some(found) = one(id, seed.parse().unwrap_or(0)) {
            println!("{found}");
        }
        return ExitCode::SUCCESS;
    }
    let seeds: usize = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(50);
    let prefix = args.get(2).map_or("", String::as_str);
    let rows = rows(prefix, seeds, |row| {
        let by = row.by.as_deref().unwrap_or("-");
        let by: String = by.chars().take(220).collect();
        eprintln!("{:<8} {}/{} {:<52} {by}", verdict(row), row.caught, row.seeds, row.variant.id);
    });
    print(&rows, seeds);
    let good = families(&rows).iter().all(|f| {
        let (killed, all) = rate(&rows, f);
        killed * 100 >= all * 95
    });
    let honest = rows.iter().all(|r| r.planted() || r.caught == 0);
    if good && honest { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The child's part: the first script that a variant fails, or what its failed stream does wrong.
fn one(id: &str, seed: u64) -> Option<String> {
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

fn verdict(row: &Row) -> &'static str {
    match (row.planted(), row.caught) {
        (true, _) if row.killed() => "killed",
        (true, _) if row.variant.equivalent.is_some() => "equal",
        (true, _) => "SURVIVES",
        (false, 0) => "honest",
        (false, _) => "FLAGGED",
    }
}

fn print(rows: &[Row], seeds: usize) {
    println!(
        "| family | planted | caught under nine of ten of {seeds} seeds | equal to the original | honest variants | of these flagged |"
    );
    println!("|---|---|---|---|---|---|");
    for family in families(rows) {
        let (killed, all) = rate(rows, family);
        let of = || rows.iter().filter(|r| r.family() == family);
        let equal = of().filter(|r| r.planted() && r.variant.equivalent.is_some()).count();
        let honest = of().filter(|r| !r.planted()).count();
        let flagged = of().filter(|r| !r.planted() && r.caught > 0).count();
        println!("| {family} | {} | {killed} of {all} | {equal} | {honest} | {flagged} |", all + equal);
    }
    println!("\n| mistake | what it is | caught | first by |\n|---|---|---|---|");
    for row in rows.iter().filter(|r| r.planted()) {
        let by = match (&row.by, row.variant.equivalent) {
            (Some(by), _) => by.split(": ").nth(1).unwrap_or(by).replace('|', "/"),
            (None, Some(why)) => format!("equal to the original: {why}"),
            (None, None) => "-".to_owned(),
        };
        println!(
            "| `{}` | {} | {}/{} | {} |",
            row.variant.id,
            row.variant.what.replace('|', "/"),
            row.caught,
            row.seeds,
            by
        );
    }
}
