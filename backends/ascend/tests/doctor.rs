//! A look at an installation: what it finds, what it misses, which assumptions it settles.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal_ascend::doctor::{State, examine};
use stand_in::StandIn;

#[test]
fn a_look_runs_the_self_checks_and_settles_what_they_settle() {
    let cann = StandIn::stage_fused("Ascend910B2", true);
    let look = examine(0);
    assert!(look.device);
    assert!(look.found.iter().any(|(what, value)| what == "chip" && value.contains("Ascend910B2")), "{:?}", look.found);
    let passed = |by: &str| look.checks.iter().any(|check| check.by.starts_with(by) && check.refused.is_none());
    for operator in ["aclnnMhcPreSinkhorn", "aclnnHcPre", "aclnnMoeGatingTopKHash", "aclnnSparseFlashMla"] {
        assert!(passed(operator), "{operator}: {:?}", look.checks);
    }
    // On this chip CANN's own router has no root of softplus.
    assert!(!passed("aclnnMoeGatingTopKV2"));
    let state = |look: &omnihal_ascend::doctor::Examination, part: &str| {
        look.assumptions.iter().find(|one| one.what.contains(part)).unwrap().state
    };
    assert_eq!(state(&look, "the sink is one more key"), State::Closed);
    assert_eq!(state(&look, "parameters of aclnnSparseFlashMla"), State::Closed);
    assert_eq!(state(&look, "libhcomm"), State::Open);

    cann.wrong("SparseFlashMla:missing-sink");
    let look = examine(0);
    assert_eq!(state(&look, "the sink is one more key"), State::Refuted);
    assert!(look.missing.iter().any(|one| one.what.contains("failed its self-check")), "{:?}", look.missing);
    assert_eq!(cann.live(), [0; 8]);
    assert_eq!(cann.broken(), "");
}
