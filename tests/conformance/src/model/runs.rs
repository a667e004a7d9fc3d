//! Running the demo model on a device: which profile runs it how, and logits along several ways.

use super::demo::{Stored, checkpoint};
use omnihal::{
    Accumulation, Buffer, Caps, DType, Device, DeviceInfo, Error, Event, Mem, MemoryKind, Op, Plan, Result, Stream,
    Support, View, WeightDesc, WeightForm,
};
use omnihal_deepseek::demo;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::error::ModelError;
use omnihal_runtime::TierLimit;
use omnihal_runtime::soft_graph::with_graphs;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// How a profile runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Core operators on plain weights: fused ones are composed.
    Core,
    /// All operators on plain weights.
    V4,
    /// All operators on weights in codes, rounded as the checkpoint was trained.
    V4Quant,
}

impl Kind {
    /// Form of the weights.
    pub fn stored(self) -> Stored {
        if self == Kind::V4Quant { Stored::Coded } else { Stored::Plain }
    }

    /// Which operators may run natively.
    pub fn limit(self) -> TierLimit {
        if self == Kind::Core { TierLimit::Core } else { TierLimit::All }
    }

    /// Options of an engine.
    pub fn options(self, config: &omnihal_deepseek::config::Config, act: DType, positions: usize) -> EngineOptions {
        EngineOptions { act, limit: self.limit(), ..EngineOptions::new(config, positions) }
    }

    /// The demo on a device.
    pub fn engine(self, device: Arc<dyn Device>, act: DType, positions: usize) -> Result<Engine> {
        let checkpoint = checkpoint(self.stored()).map_err(hal)?;
        let options = self.options(checkpoint.config(), act, positions);
        Engine::load(device, &checkpoint, options, &mut |_| {}).map_err(hal)
    }
}

/// A model's error as one of the boundary: scripts return those.
pub fn hal(error: ModelError) -> Error {
    match error {
        ModelError::Hal(error) => error,
        other => Error::argument(other.to_string()),
    }
}

/// Text that the demo was trained on, as tokens: its known texts one after the other, begun with number `start`, over and over.
pub fn tokens(start: u64, count: usize) -> Result<Vec<u32>> {
    let texts = demo::expected().map_err(|e| Error::argument(format!("the demo's texts cannot be read: {e}")))?;
    let first = (start % texts.len().max(1) as u64) as usize;
    let order = texts[first..].iter().chain(&texts[..first]);
    let all: Vec<u32> = order.flat_map(|t| t.tokens.iter().chain(&t.continuation_tokens).copied()).collect();
    Ok(all.into_iter().cycle().take(count).collect())
}

/// Feeds tokens to a new sequence in pieces of these lengths: all logits, row after row. The last length goes on until the end.
pub fn logits(engine: &mut Engine, tokens: &[u32], lengths: &[usize]) -> Result<Vec<f32>> {
    let seq = engine.add().map_err(hal)?;
    let (mut all, mut at, mut piece) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        let len = lengths[piece.min(lengths.len() - 1)].min(tokens.len() - at);
        let feed = Feed { seq, tokens: &tokens[at..at + len], want: Want::All };
        all.extend_from_slice(engine.step(&[feed]).map_err(hal)?.values());
        (at, piece) = (at + len, piece + 1);
    }
    engine.remove(seq).map_err(hal)?;
    Ok(all)
}

/// A device that says something else about its graphs, and keeps in mind what its plans declare.
pub struct Observed {
    inner: Arc<dyn Device>,
    caps: Caps,
    /// A plan adds up in fewer bits than f32 has.
    coarse: AtomicBool,
}

impl Observed {
    /// The device as it is.
    pub fn new(inner: &Arc<dyn Device>) -> Arc<Observed> {
        Observed::with(Arc::clone(inner), inner.caps().native_graphs)
    }

    /// The device without graphs: every step of a model is eager.
    pub fn eager(inner: &Arc<dyn Device>) -> Arc<Observed> {
        Observed::with(Arc::clone(inner), false)
    }

    /// The device with graphs: its own, or the runtime's in software.
    pub fn captured(inner: &Arc<dyn Device>) -> Arc<Observed> {
        Observed::with(with_graphs(Arc::clone(inner)), true)
    }

    fn with(inner: Arc<dyn Device>, native_graphs: bool) -> Arc<Observed> {
        let caps = Caps { native_graphs, ..inner.caps().clone() };
        Arc::new(Observed { inner, caps, coarse: AtomicBool::new(false) })
    }

    /// True if some plan that was made adds up in fewer bits than f32 has, by its own word.
    pub fn coarse(&self) -> bool {
        self.coarse.load(SeqCst)
    }
}

impl Device for Observed {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.inner.alloc(bytes, kind)
    }

    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        // SAFETY: passed on from the caller.
        unsafe { self.inner.import(ptr, bytes, owner) }
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        self.inner.stream()
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        self.inner.event()
    }

    fn supports(&self, op: &Op) -> Support {
        self.inner.supports(op)
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        let plan = self.inner.plan(op)?;
        if !matches!(plan.accumulation(), Accumulation::F32 | Accumulation::F64) {
            self.coarse.store(true, SeqCst);
        }
        Ok(plan)
    }

    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        self.inner.weight(desc)
    }

    unsafe fn repack(&self, stream: &dyn Stream, desc: &WeightDesc, src: &View, dst: Mem) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.inner.repack(stream, desc, src, dst) }
    }

    fn memory_in_use(&self) -> Option<u64> {
        self.inner.memory_in_use()
    }

    fn health(&self) -> Result<()> {
        self.inner.health()
    }
}
