//! The search for the wrong operator, on devices with one mistake.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::{DType, Device};
use omnihal_conformance::model::demo::{Stored, checkpoint};
use omnihal_conformance::model::{Options, Report, bisect};
use omnihal_deepseek::demo;
use omnihal_runtime::TierLimit;
use std::sync::Arc;

fn options() -> Options {
    let tokenizer = demo::tokenizer().unwrap();
    Options { decode: 2, ..Options::new(demo::prompt(&tokenizer, demo::PROMPT).unwrap()) }
}

fn search(device: &Arc<dyn Device>, stored: Stored, options: &Options) -> Report {
    bisect(&checkpoint(stored).unwrap(), device, options, |_| {}).unwrap()
}

fn planted(id: &str) -> Arc<dyn Device> {
    omnihal_mutants::device(Some(omnihal_mutants::variant::find(id).unwrap()))
}

#[test]
fn nothing_is_wrong_with_the_cpu() {
    let cpu = omnihal_backends::registry().open("cpu").unwrap();
    for (stored, act, limit) in [
        (Stored::Coded, DType::BF16, TierLimit::All),
        (Stored::Plain, DType::F32, TierLimit::Core),
    ] {
        let report = search(&cpu, stored, &Options { act, limit, all: true, ..options() });
        println!("{}", report.render());
        assert!(report.passed() && report.finished, "{}", report.render());
    }
}

#[test]
fn a_wrong_norm_is_found_where_it_is_first_used() {
    let device = planted("norm.eps_is_missing");
    let report = search(&device, Stored::Plain, &Options { limit: TierLimit::Core, ..options() });
    println!("{}", report.render());
    let first = report.first().unwrap();
    assert_eq!(first.op, "norm.rms");
}
