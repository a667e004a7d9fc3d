//! A device that uses everything that the traits offer, and fails or panics where it is told to.
#![allow(clippy::unwrap_used, dead_code, reason = "test helpers; each test file uses some of them")]

use omnihal::{
    Accumulation, Args, Backend, Buffer, Caps, Column, Cost, DType, Determinism, Device, DeviceInfo, Error, ErrorKind,
    Event, Graph, Layout, Mem, MemoryKind, Op, OpKind, OpSet, Plan, Probe, Prologue, Result, Severity, Stream, Support,
    View, WeightDesc, WeightForm,
};
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the device saw and what it is told to do.
#[derive(Default)]
pub struct Script {
    /// Calls, in words.
    pub seen: Mutex<Vec<String>>,
    /// Objects that are alive.
    pub alive: AtomicUsize,
    /// The function that panics.
    pub panic_in: Mutex<&'static str>,
    /// The error that the next `sync` returns.
    pub failure: Mutex<Option<Error>>,
}

impl Script {
    fn note(&self, call: impl Into<String>) {
        self.seen.lock().unwrap_or_else(|e| e.into_inner()).push(call.into());
    }

    fn enter(&self, function: &'static str) {
        let told = *self.panic_in.lock().unwrap_or_else(|e| e.into_inner());
        assert!(told != function, "told to panic in {function}");
    }

    pub fn last(&self) -> String {
        self.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// Counts an object while it lives.
struct Alive(Arc<Script>);

impl Alive {
    fn new(script: &Arc<Script>) -> Self {
        script.alive.fetch_add(1, SeqCst);
        Alive(Arc::clone(script))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
        self.0.note("drop");
        self.0.enter("drop");
    }
}

#[derive(Default)]
pub struct RigBackend {
    pub script: Arc<Script>,
}

fn info() -> DeviceInfo {
    DeviceInfo {
        backend: "rig",
        index: 0,
        name: "rig Ünit".to_owned(),
        memory: Some(1 << 33),
        versions: vec![("driver".to_owned(), "1.2".to_owned()), ("library".to_owned(), "3".to_owned())],
    }
}

impl Backend for RigBackend {
    fn name(&self) -> &'static str {
        "rig"
    }
    fn probe(&self) -> Result<Probe> {
        self.script.enter("probe");
        Ok(Probe { devices: vec![info()], searched: vec!["here".to_owned(), "there".to_owned()] })
    }
    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        self.script.enter("open");
        if index != 0 {
            return Err(Error::new(ErrorKind::NotFound, format!("no device rig:{index}")));
        }
        let caps = Caps {
            activations: vec![DType::F32, DType::F16],
            ops: [OpKind::NormRms, OpKind::SamplePick].into_iter().collect::<OpSet>(),
            host_addressable: false,
            native_graphs: true,
            alignment: 256,
        };
        Ok(Arc::new(RigDevice {
            info: info(),
            caps,
            script: Arc::clone(&self.script),
            alive: Alive::new(&self.script),
        }))
    }
}

struct RigDevice {
    info: DeviceInfo,
    caps: Caps,
    script: Arc<Script>,
    #[allow(dead_code, reason = "counts")]
    alive: Alive,
}

impl Device for RigDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn caps(&self) -> &Caps {
        &self.caps
    }
    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.script.enter("alloc");
        self.script.note(format!("alloc {bytes} {kind:?}"));
        Ok(Buffer::new(Mem { addr: 0x1000, len: bytes }, kind, Arc::new(Alive::new(&self.script))))
    }
    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        self.script.note(format!("import {bytes}"));
        let owner = Arc::new((owner, Alive::new(&self.script)));
        Ok(Buffer::new(Mem { addr: ptr.addr() as u64, len: bytes }, MemoryKind::Device, owner))
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        self.script.enter("stream");
        Ok(Box::new(RigStream { script: Arc::clone(&self.script), alive: Alive::new(&self.script) }))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(RigEvent { alive: Alive::new(&self.script) }))
    }
    fn supports(&self, op: &Op) -> Support {
        self.script.enter("supports");
        match op.kind() {
            OpKind::NormRms => Support::Native,
            OpKind::SamplePick => Support::Emulated("by twö kernels".to_owned()),
            kind => Support::No(format!("no kernel for {}", kind.name())),
        }
    }
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        self.script.enter("plan");
        if let Support::No(reason) = self.supports(op) {
            return Err(Error::unsupported(reason).with_op(op.kind()).with_vendor(-77, "ärger"));
        }
        let plan = |prologue| Arc::new(RigPlan { op: *op, prologue, bound: false, alive: Alive::new(&self.script) });
        let prologue = Prologue { key: "metadata/4".to_owned(), bytes: 96, plan: plan(None) };
        Ok(plan(Some(prologue)))
    }
    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        match desc.act {
            DType::F32 => WeightForm::Expand(DType::F16),
            DType::BF16 => WeightForm::Repack { layout: Layout::Vendor(9), bytes: 4096, row_granule: Some(16) },
            DType::F16 => WeightForm::No("too wide".to_owned()),
            _ => WeightForm::AsIs,
        }
    }
    unsafe fn repack(&self, stream: &dyn Stream, desc: &WeightDesc, src: &View, dst: Mem) -> Result<()> {
        assert!((stream as &dyn Any).is::<RigStream>());
        self.script.note(format!("repack {desc:?} {src:?} {dst:?}"));
        Ok(())
    }
    fn memory_in_use(&self) -> Option<u64> {
        Some(12345)
    }
    fn health(&self) -> Result<()> {
        self.script.enter("health");
        Err(Error::new(ErrorKind::Execution, "the fan stopped").with_severity(Severity::DeviceLost).with_sequence(7))
    }
}

struct RigPlan {
    op: Op,
    prologue: Option<Prologue>,
    bound: bool,
    alive: Alive,
}

impl Plan for RigPlan {
    fn op(&self) -> &Op {
        &self.op
    }
    fn workspace(&self) -> usize {
        640
    }
    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        Ok(views.iter().flatten().map(|v| v.strides[0]).sum())
    }
    fn bind(&self, args: &Args<'_>) -> Result<Option<Arc<dyn Plan>>> {
        self.alive.0.note(format!("bind {args:?}"));
        let alive = Alive::new(&self.alive.0);
        Ok(Some(Arc::new(RigPlan { op: self.op, prologue: self.prologue.clone(), bound: true, alive })))
    }
    fn columns(&self) -> &[Column] {
        &[Column::Pos0, Column::PtQt(128)]
    }
    fn prologue(&self) -> Option<&Prologue> {
        self.prologue.as_ref()
    }
    fn cost(&self) -> Cost {
        Cost { flops: 17.0, bytes: 3.5 }
    }
    fn capture_safe(&self) -> bool {
        false
    }
    fn determinism(&self) -> Determinism {
        Determinism::Repeatable
    }
    fn accumulation(&self) -> Accumulation {
        Accumulation::TensorCoreTrunc { bits: 13, promote: 128 }
    }
}

struct RigStream {
    script: Arc<Script>,
    #[allow(dead_code, reason = "counts")]
    alive: Alive,
}

struct RigEvent {
    alive: Alive,
}

impl Event for RigEvent {
    fn poll(&self) -> Result<bool> {
        self.alive.0.enter("event poll");
        Ok(false)
    }
    fn sync(&self, timeout: Duration) -> Result<()> {
        Err(Error::new(ErrorKind::Timeout, format!("waited {timeout:?}")))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct RigGraph {
    alive: Alive,
}

impl Graph for RigGraph {
    fn nodes(&self) -> usize {
        self.alive.0.enter("nodes");
        42
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Stream for RigStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        self.script.enter("run");
        let plan = (plan as &dyn Any).downcast_ref::<RigPlan>().ok_or_else(|| Error::argument("foreign plan"))?;
        self.script.note(format!("run bound={} {args:?}", plan.bound));
        Ok(())
    }
    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        self.script.note(format!("copy {dst:?} {src:?}"));
        Ok(())
    }
    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        self.script.note(format!("fill {dst:?} {byte}"));
        Ok(())
    }
    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        self.script.note(format!("write {dst:?} {src:?}"));
        Ok(())
    }
    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        self.script.note(format!("read {src:?} {timeout:?}"));
        dst.fill(9);
        Ok(())
    }
    fn record(&self, event: &dyn Event) -> Result<()> {
        assert!(event.as_any().is::<RigEvent>());
        self.script.note("record");
        Ok(())
    }
    fn wait(&self, event: &dyn Event) -> Result<()> {
        assert!(event.as_any().is::<RigEvent>());
        self.script.note("wait");
        Ok(())
    }
    fn begin_capture(&self) -> Result<()> {
        self.script.note("begin");
        Ok(())
    }
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        Ok(Box::new(RigGraph { alive: Alive::new(&self.script) }))
    }
    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        assert!(graph.as_any().is::<RigGraph>());
        self.script.note("launch");
        Ok(())
    }
    fn poll(&self) -> Result<bool> {
        Ok(true)
    }
    fn sync(&self, timeout: Duration) -> Result<()> {
        self.script.note(format!("sync {timeout:?}"));
        self.script.enter("sync");
        match self.script.failure.lock().unwrap_or_else(|e| e.into_inner()).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
