//! The search for the wrong operator, on devices with one mistake.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::{DType, Device};
use omnihal_conformance::model::demo::{Stored, checkpoint};
use omnihal_conformance::model::{Options, Report, bisect};
use omnihal_deepseek::demo;
use omnihal_runtime::TierLimit;
use std::sync::{Arc, Mutex};

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
fn nothing_is_wrong_with_the_cpu_nor_with_a_plain_device() {
    let cpu = omnihal_backends::registry().open("cpu").unwrap();
    let plain = omnihal_mutants::device(None);
    for (device, stored, act, limit) in [
        (&cpu, Stored::Coded, DType::BF16, TierLimit::All),
        (&cpu, Stored::Plain, DType::F32, TierLimit::Core),
        (&plain, Stored::Plain, DType::F32, TierLimit::All),
    ] {
        let report = search(device, stored, &Options { act, limit, all: true, ..options() });
        assert!(report.passed() && report.finished, "{}", report.render());
        let composed = report.composed.iter().any(|c| c.op == "attention.sparse");
        assert_eq!(composed, limit == TierLimit::Core, "{}", report.render());
    }
}

/// A mistake, the operator that has it, where it shows first: layer and step.
fn is_found(id: &str, stored: Stored, options: &Options, expected: [&str; 3]) {
    let report = search(&planted(id), stored, options);
    let first = report.first().unwrap_or_else(|| panic!("{id} was not found:\n{}", report.render()));
    assert_eq!([&first.op[..], &first.layer, &first.step], expected, "{id}:\n{}", report.render());
    assert!(!report.finished && report.failures.len() == 1, "{id}: the search ends at the first wrong call");
    // Every other operator was within its bounds until then.
    for row in &report.operators {
        assert_eq!(row.failed, u64::from(row.op == expected[0]), "{id}: {}", row.op);
    }
}

#[test]
fn a_wrong_fused_operator_is_named_with_its_layer() {
    let all = options();
    is_found("attention.sink_missing", Stored::Plain, &all, ["attention.sparse", "layers.0", "prefill"]);
    is_found("attention.kv_gain_missing", Stored::Plain, &all, ["attention.latent", "layers.0", "prefill"]);
    // Only the second block has overlapping windows.
    is_found("compress.overlap_missing", Stored::Plain, &all, ["compress.update", "layers.1", "decode 2"]);
    is_found("compress.gate_and_value_swapped", Stored::Plain, &all, ["compress.update", "layers.1", "prefill"]);
    // The first block looks experts up in a table: scores choose from the second on.
    is_found("moe.bias_in_weights", Stored::Plain, &all, ["moe.route", "layers.1", "prefill"]);
    is_found("hyper.head_rows_in_order", Stored::Plain, &all, ["hyper.head", "head", "prefill"]);
}

#[test]
fn a_wrong_weight_format_shows_where_its_weights_are_first_used() {
    // The demo's FP8 linears are one block wide; its FP4 experts have four blocks a row.
    let core = Options { act: DType::BF16, limit: TierLimit::Core, ..options() };
    is_found("gemm.scale_of_the_next_block", Stored::Coded, &core, ["gemm.grouped", "layers.0", "prefill"]);
}

#[test]
fn a_wrong_core_operator_is_found_under_composed_ones() {
    let core = Options { limit: TierLimit::Core, ..options() };
    is_found("norm.mean_over_one_less", Stored::Plain, &core, ["norm.rms", "layers.0", "prefill"]);
    is_found("gemm.last_pair_is_lost", Stored::Plain, &core, ["gemm.batched", "layers.0", "prefill"]);
}

#[test]
fn a_search_may_go_on_and_tells_how_far_it_is() {
    let heard = Arc::new(Mutex::new((0, 0, String::new())));
    let ear = Arc::clone(&heard);
    let device = planted("attention.inverse_rope_missing");
    let options = Options { all: true, ..options() };
    let report = bisect(&checkpoint(Stored::Plain).unwrap(), &device, &options, move |p| {
        *ear.lock().unwrap() = (p.calls, p.failed, p.phase.to_string());
    })
    .unwrap();
    assert!(report.finished && !report.passed());
    // Three blocks, three steps; position 0 alone has nothing to rotate back, but every step has more.
    assert_eq!(report.failures.len(), 9, "{}", report.render());
    let layers: Vec<_> = report.failures.iter().map(|f| f.layer.as_str()).collect();
    assert_eq!(layers[..3], ["layers.0", "layers.1", "layers.2"]);
    assert_eq!(*heard.lock().unwrap(), (report.calls, 9, "decode 2".to_owned()));
    let element = report.first().unwrap().element.clone().unwrap();
    assert!((element.found - element.expected).abs() > element.bound);
    let text = report.render();
    assert!(text.contains("first wrong call: attention.sparse in layers.0, prefill"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["failures"][0]["op"], "attention.sparse");
    assert_eq!(json["failures"][0]["element"]["arg"], "o");
}
