//! The whole model under the runtime's layers: none of them changes a bit, and the model makes only calls that the strictest allows.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::{DType, Device};
use omnihal_deepseek::config::Precision;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::weights::Checkpoint;
use omnihal_runtime::{TierLimit, layers, soft_graph};
use std::path::PathBuf;
use std::sync::Arc;

fn cpu() -> Arc<dyn Device> {
    omnihal_backends::registry().open("cpu").unwrap()
}

/// Logits of two sequences fed together in uneven steps, the last ones of one token each, as bits.
fn logits(device: Arc<dyn Device>, limit: TierLimit) -> omnihal_deepseek::error::Result<Vec<u32>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle/cases/official");
    let checkpoint = Checkpoint::open(&dir).unwrap();
    let mut options = EngineOptions::new(checkpoint.config(), 96);
    (options.act, options.precision, options.limit) = (DType::BF16, Precision::QatAll, limit);
    (options.sequences, options.force_indexer) = (2, true);
    let mut engine = Engine::load(device, &checkpoint, options, &mut |_| {})?;
    let [a, b] = [engine.add()?, engine.add()?];
    let tokens: Vec<u32> = (0..60).map(|i| 2 + i * 7 % 110).collect();
    let mut out = Vec::new();
    for step in [0..31usize, 31..32, 32..45, 45..46, 46..47, 47..48] {
        let part = &tokens[step];
        let feeds = [a, b].map(|seq| Feed { seq, tokens: part, want: Want::All });
        out.extend(engine.step(&feeds)?.values().iter().map(|v| v.to_bits()));
    }
    Ok(out)
}

#[test]
fn the_model_makes_only_legal_calls() {
    for limit in [TierLimit::All, TierLimit::Core] {
        let plain = logits(cpu(), limit).unwrap();
        assert!(logits(layers::validate(cpu()), limit).unwrap() == plain, "{limit:?}");
    }
}

#[test]
fn replayed_graphs_give_the_bits_of_eager_steps() {
    let plain = logits(cpu(), TierLimit::All).unwrap();
    assert!(logits(soft_graph::with_graphs(cpu()), TierLimit::All).unwrap() == plain);
}

#[test]
fn a_traced_model_gives_the_same_bits_and_a_readable_trace() {
    let plain = logits(cpu(), TierLimit::All).unwrap();
    let (device, ring) = layers::trace(cpu());
    assert!(logits(device, TierLimit::All).unwrap() == plain);
    let mut text = Vec::new();
    ring.write_chrome(&mut text).unwrap();
    let trace: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    assert!(events.iter().any(|e| e["name"] == "attention.sparse"), "{} events", events.len());
}

#[test]
fn an_injected_failure_comes_back_as_the_error_of_its_step() {
    let device = layers::fault(cpu(), "run:200=execution".parse().unwrap());
    let error = logits(device, TierLimit::All).unwrap_err().to_string();
    assert!(error.contains("injected"), "{error}");
}
