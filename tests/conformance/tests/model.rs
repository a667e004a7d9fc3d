//! The whole-model scripts, on devices that are right and on one that is not.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal_conformance::model::SCRIPTS;
use omnihal_conformance::script::Script;
use omnihal_conformance::{CaseResult, Outcome, Target};
use omnihal_mutants::{VariantsBackend, variant};
use std::sync::Arc;
use std::time::Instant;

fn judge(target: &Target, script: &Script) -> CaseResult {
    let started = Instant::now();
    let result = script.judge(target, 0);
    println!("{:<52} {:<12} {:>6.2} s", script.id, result.outcome.name(), started.elapsed().as_secs_f64());
    result
}

fn passes_all(target: &Target, wanted: impl Fn(&Script) -> bool) {
    for script in SCRIPTS.iter().filter(|s| wanted(s)) {
        let result = judge(target, script);
        assert_eq!(result.outcome, Outcome::Pass, "{}: {:?}", script.id, result.message);
    }
}

#[test]
fn the_cpu_passes() {
    passes_all(&Target::open(Arc::new(omnihal_cpu::CpuBackend), 0).unwrap(), |_| true);
}
