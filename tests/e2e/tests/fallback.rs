//! A device that lacks an operator runs the model only if a fallback was allowed, and the table says so.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::{
    Buffer, Caps, DType, Device, DeviceInfo, Event, MemoryKind, Op, OpKind, Plan, Result, Stream, Support, WeightDesc,
    WeightForm,
};
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::weights::Checkpoint;
use std::path::PathBuf;
use std::sync::Arc;

/// The CPU without `gemm.linear`.
struct Lacking(Arc<dyn Device>);

impl Device for Lacking {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }
    fn caps(&self) -> &Caps {
        self.0.caps()
    }
    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.0.alloc(bytes, kind)
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        self.0.stream()
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        self.0.event()
    }
    fn supports(&self, op: &Op) -> Support {
        match op.kind() {
            OpKind::GemmLinear => Support::No("this device has no matrix product".into()),
            _ => self.0.supports(op),
        }
    }
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        self.0.plan(op)
    }
    fn weight(&self, _desc: &WeightDesc) -> WeightForm {
        // The fallback device must be able to read every weight.
        WeightForm::AsIs
    }
}

fn engine(device: Arc<dyn Device>, fallback: Option<Arc<dyn Device>>) -> Engine {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle/cases/short");
    let checkpoint = Checkpoint::open(&dir).unwrap();
    let mut options = EngineOptions::new(checkpoint.config(), 32);
    (options.act, options.fallback) = (DType::F32, fallback);
    Engine::load(device, &checkpoint, options, &mut |_| {}).unwrap()
}

fn logits(engine: &mut Engine) -> omnihal_deepseek::error::Result<Vec<f32>> {
    let seq = engine.add()?;
    let tokens: Vec<u32> = (2..20).collect();
    Ok(engine.step(&[Feed { seq, tokens: &tokens, want: Want::All }])?.values().to_vec())
}

#[test]
fn without_a_fallback_the_missing_operator_is_named() {
    let cpu = omnihal_backends::registry().open("cpu").unwrap();
    let error = logits(&mut engine(Arc::new(Lacking(cpu)), None)).unwrap_err().to_string();
    assert!(error.contains("gemm.linear") && error.contains("no matrix product"), "{error}");
}

#[test]
fn with_a_fallback_the_model_runs_and_the_calls_are_counted() {
    let registry = omnihal_backends::registry();
    let cpu = registry.open("cpu").unwrap();
    let reference = registry.open("reference").unwrap();
    let mut whole = engine(cpu.clone(), None);
    let mut mended = engine(Arc::new(Lacking(cpu)), Some(reference));
    let (expected, found) = (logits(&mut whole).unwrap(), logits(&mut mended).unwrap());
    let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4, "logits differ by {worst}");
    let table = mended.placement(18).unwrap();
    assert!(table.fallback_calls() > 0, "{table}");
    assert!(table.rows.iter().any(|r| r.op == "gemm.linear" && r.place == "fallback"), "{table}");
}
