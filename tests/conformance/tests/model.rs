//! The whole-model scripts, on devices that are right and on devices with one mistake.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::{Backend, Device, Probe, Result};
use omnihal_conformance::model::SCRIPTS;
use omnihal_conformance::script::Script;
use omnihal_conformance::{CaseResult, Check, Outcome, Target};
use omnihal_mutants::{VariantsBackend, variant};
use std::sync::Arc;
use std::time::Instant;

/// A backend of the registry by its name.
struct Named(&'static str);

impl Backend for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn probe(&self) -> Result<Probe> {
        omnihal_backends::registry().get(self.0)?.probe()
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        omnihal_backends::registry().get(self.0)?.open(index)
    }
}

fn named(name: &'static str) -> Target {
    Target::open(Arc::new(Named(name)), 0).unwrap()
}

fn planted(id: &str) -> Target {
    Target::open(Arc::new(VariantsBackend(Some(variant::find(id).unwrap()))), 0).unwrap()
}

fn judge(target: &Target, id: &str) -> CaseResult {
    let script: &Script = SCRIPTS.iter().find(|s| s.id == id).unwrap_or_else(|| panic!("no script is called {id}"));
    let started = Instant::now();
    let result = script.judge(target, 0);
    println!("{:<52} {:<12} {:>6.2} s", script.id, result.outcome.name(), started.elapsed().as_secs_f64());
    result
}

fn passes(target: &Target, ids: &[&str]) {
    for id in ids {
        let result = judge(target, id);
        assert_eq!(result.outcome, Outcome::Pass, "{id}: {:?}", result.message);
    }
}

/// The script fails, by this check, and says what the text says.
fn fails(target: &Target, id: &str, check: Check, text: &str) {
    let result = judge(target, id);
    assert_eq!(result.outcome, Outcome::Fail, "{id}");
    let message = result.message.unwrap();
    assert!(result.findings.iter().any(|f| f.check == check), "{id}: {message}");
    assert!(message.contains(text), "{id}: {message}");
}

#[test]
fn the_cpu_runs_recorded_steps_within_bounds() {
    let prefill = ["core/f32", "v4/f32", "v4/bf16", "v4-quant/bf16"].map(|p| format!("model/steps/{p}/prefill"));
    passes(&named("cpu"), &prefill.each_ref().map(String::as_str));
    passes(
        &named("cpu"),
        &["model/steps/v4/bf16/mixed", "model/steps/v4-quant/bf16/decode", "model/steps/v4/f32/page"],
    );
}

#[test]
fn the_cpu_says_what_the_demo_was_taught_however_it_is_run() {
    for profile in ["core/f32", "core/bf16", "v4/bf16", "v4-quant/bf16"] {
        let scripts = ["short_texts", "logits_near_the_judges", "any_chunks", "captured_steps"];
        let ids = scripts.map(|script| format!("model/demo/{profile}/{script}"));
        passes(&named("cpu"), &ids.each_ref().map(String::as_str));
    }
    passes(&named("cpu"), &["model/demo/v4/f32/all_texts"]);
}

#[test]
fn a_device_that_computes_nothing_passes_no_check_of_values() {
    let null = named("null");
    for script in ["steps/v4/f32/prefill", "demo/v4/f32/short_texts", "demo/v4/f32/logits_near_the_judges"] {
        let result = judge(&null, &format!("model/{script}"));
        assert_eq!(result.outcome, Outcome::Fail, "{script}");
    }
}

#[test]
fn a_wrong_operator_shows_in_its_step_and_in_the_whole_model() {
    let device = planted("attention.sink_missing");
    fails(&device, "model/steps/v4/f32/decode", Check::Bound, "layers.0: attention.sparse");
    fails(&device, "model/demo/v4/f32/logits_near_the_judges", Check::Model, "logits differ from the judge's");
}

#[test]
fn entries_of_a_second_page_are_met_at_the_page_border_only() {
    let device = planted("attention.pages_taken_as_adjacent");
    fails(&device, "model/steps/v4/f32/page", Check::Bound, "attention.sparse");
}

#[test]
fn rows_that_depend_on_their_number_show_in_chunks() {
    let device = planted("gemm.parts_follow_the_rows_though_d2_is_promised");
    fails(&device, "model/demo/v4/f32/any_chunks", Check::Model, "although every plan declares D2");
    // Who declares less may do so: its logits are as near to the judge's as anyone's.
    passes(&planted("gemm.parts_of_a_sum_chosen_by_rows"), &["model/demo/v4/f32/any_chunks"]);
}

#[test]
fn faults_of_graphs_show_in_captured_steps() {
    for id in ["stream.graph_keeps_the_first_arguments_of_a_plan", "stream.graph_runs_once_only"] {
        fails(&planted(id), "model/demo/v4/f32/captured_steps", Check::Model, "other bits than those of eager ones");
    }
    passes(&planted("stream.without_graphs"), &["model/demo/v4/f32/captured_steps"]);
}

#[test]
fn sums_of_fewer_bits_pass_where_they_are_declared() {
    let declared = planted("gemm.sums_by_tensor_core_14_bits");
    passes(&declared, &["model/steps/v4/f32/decode", "model/demo/v4/f32/logits_near_the_judges"]);
}
