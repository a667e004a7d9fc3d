//! Operators composed of smaller ones, judged as any other.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::{Backend, Device, Support};
use omnihal_conformance::cases;
use omnihal_conformance::run::{self, Options};
use omnihal_conformance::{Case, Outcome, Target};
use omnihal_cpu::CpuBackend;
use omnihal_runtime::{TierLimit, layers};
use std::sync::Arc;

fn composing() -> Target {
    Target::open(Arc::new(CpuBackend), 0).unwrap().composing(TierLimit::Core)
}

/// One quick case of each fused operator that has a decomposition.
#[test]
fn composed_operators_stand_within_the_bounds_of_the_fused_ones() {
    let target = composing();
    let mut seen = Vec::new();
    for case in cases::all().into_iter().filter(|c| c.quick) {
        let device = target.device_for(&case);
        let Support::Emulated(how) = device.supports(&case.op) else { continue };
        if seen.contains(&case.op.kind()) || !how.starts_with("composed of") {
            continue;
        }
        seen.push(case.op.kind());
        let result = run::run(&*device, &case, Options::default());
        assert_eq!(result.outcome, Outcome::Pass, "{}: {:?}", case.id, result.message);
        assert_eq!(result.emulated, Some(how), "{}", case.id);
    }
    assert_eq!(seen.len(), 18, "{seen:?}");
}

#[test]
fn an_argument_whose_rows_lie_apart_is_copied_where_its_axes_are_joined() {
    let target = composing();
    let apart = |c: &&Case| c.id.starts_with("hyper.pre/") && c.id.ends_with("/apart");
    let all = cases::all();
    let case = all.iter().find(apart).unwrap();
    let result = run::run(&*target.device_for(case), case, Options::default());
    assert_eq!(result.outcome, Outcome::Pass, "{}: {:?}", case.id, result.message);
}

#[test]
fn what_cannot_be_composed_is_refused_with_the_reason() {
    let device: Arc<dyn Device> = CpuBackend.open(0).unwrap();
    let all = cases::all();
    let case = all.iter().find(|c| c.id.starts_with("quant.quantize/")).unwrap();
    let step = omnihal_conformance::batch::ALONE.shape();
    let composed = layers::compose(device, TierLimit::Core, step);
    let Support::No(reason) = composed.supports(&case.op) else { panic!("quant.quantize is not composed") };
    assert!(reason.contains("has no decomposition"), "{reason}");
    assert!(composed.plan(&case.op).is_err());
}
