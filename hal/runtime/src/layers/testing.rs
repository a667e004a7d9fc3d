//! A device for the tests of layers: the null device's memory, plans that ask for things, and a list of what reached it.

use omnihal::op::{ActQuant, gemm};
use omnihal::{
    Accumulation, Args, Backend, Buffer, Caps, Column, DType, Determinism, Device, DeviceInfo, Error, Event, Graph,
    Mem, MemoryKind, Op, Plan, Prologue, Result, Shape, Stream, Support, View, WeightDesc, WeightFormat,
};
use omnihal_null::NullBackend;
use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the plans of a [`Rig`] ask for.
#[derive(Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) workspace: usize,
    pub(crate) columns: Vec<Column>,
    pub(crate) prologue: usize,
    pub(crate) unsafe_to_capture: bool,
}

/// The device. It captures no graphs.
pub(crate) struct Rig {
    null: Arc<dyn Device>,
    caps: Caps,
    wishes: Wishes,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    pub(crate) fn new(wishes: Wishes) -> Arc<Rig> {
        let null = NullBackend::new().open(0).unwrap();
        let caps = Caps { native_graphs: false, ..null.caps().clone() };
        Arc::new(Rig { null, caps, wishes, seen: Arc::default() })
    }

    /// The stream calls that arrived since the last time.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// The null device.
pub(crate) fn device() -> Arc<dyn Device> {
    NullBackend::new().open(0).unwrap()
}

/// `y [2, 8] = a [2, 16] w [8, 16]^T`.
pub(crate) fn linear() -> Op {
    linear_with(WeightFormat::Plain(DType::F32))
}

pub(crate) fn linear_with(weight: WeightFormat) -> Op {
    gemm::Linear {
        rows: 2,
        inner: 16,
        outer: 8,
        input: DType::F32,
        weight,
        a_quant: ActQuant::None,
        output: DType::F32,
        accumulate: false,
    }
    .into()
}

/// A contiguous tensor with memory of its own.
pub(crate) fn tensor(device: &dyn Device, dtype: DType, dims: &[usize]) -> (Buffer, View) {
    let shape = Shape::new(dims);
    let buffer = device.alloc(dtype.bytes(shape.elements()), MemoryKind::Device).unwrap();
    let view = View::contiguous(buffer.mem(), dtype, shape).unwrap();
    (buffer, view)
}

impl Device for Rig {
    fn info(&self) -> &DeviceInfo {
        self.null.info()
    }
    fn caps(&self) -> &Caps {
        &self.caps
    }
    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.null.alloc(bytes, kind)
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(RigStream { null: self.null.stream()?, seen: Arc::clone(&self.seen) }))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        self.null.event()
    }
    fn supports(&self, op: &Op) -> Support {
        self.null.supports(op)
    }
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        op.check()?;
        let prologue = (self.wishes.prologue > 0).then(|| Prologue {
            key: "meta".to_owned(),
            bytes: self.wishes.prologue,
            plan: Arc::new(RigPlan { op: *op, wishes: Wishes::default(), prologue: None }),
        });
        Ok(Arc::new(RigPlan { op: *op, wishes: self.wishes.clone(), prologue }))
    }
    unsafe fn repack(&self, stream: &dyn Stream, _: &WeightDesc, _: &View, _: Mem) -> Result<()> {
        let own: Option<&RigStream> = (stream as &dyn Any).downcast_ref();
        own.map(|_| ()).ok_or_else(|| Error::argument("not a stream of this device"))
    }
}

struct RigPlan {
    op: Op,
    wishes: Wishes,
    prologue: Option<Prologue>,
}

impl Plan for RigPlan {
    fn op(&self) -> &Op {
        &self.op
    }
    fn workspace(&self) -> usize {
        self.wishes.workspace
    }
    fn columns(&self) -> &[Column] {
        &self.wishes.columns
    }
    fn prologue(&self) -> Option<&Prologue> {
        self.prologue.as_ref()
    }
    fn capture_safe(&self) -> bool {
        !self.wishes.unsafe_to_capture
    }
    fn determinism(&self) -> Determinism {
        Determinism::RowInvariant
    }
    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

struct RigStream {
    null: Box<dyn Stream>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl RigStream {
    fn note(&self, call: impl Into<String>) {
        self.seen.lock().unwrap().push(call.into());
    }
}

impl Stream for RigStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let plan: &RigPlan =
            (plan as &dyn Any).downcast_ref().ok_or_else(|| Error::argument("not a plan of this device"))?;
        self.note(format!("run {} {} {}", plan.op.kind().name(), args.views.len(), args.rows_hint));
        Ok(())
    }
    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        self.note("copy");
        // SAFETY: passed on from the caller.
        unsafe { self.null.copy(dst, src) }
    }
    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        self.note(format!("fill {} {byte}", dst.len));
        // SAFETY: passed on from the caller.
        unsafe { self.null.fill(dst, byte) }
    }
    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        self.note("write");
        // SAFETY: passed on from the caller.
        unsafe { self.null.write(dst, src) }
    }
    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        self.note("read");
        // SAFETY: passed on from the caller.
        unsafe { self.null.read(src, dst, timeout) }
    }
    fn record(&self, event: &dyn Event) -> Result<()> {
        self.note("record");
        self.null.record(event)
    }
    fn wait(&self, event: &dyn Event) -> Result<()> {
        self.note("wait");
        self.null.wait(event)
    }
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        self.null.end_capture()
    }
    fn poll(&self) -> Result<bool> {
        self.note("poll");
        self.null.poll()
    }
    fn sync(&self, timeout: Duration) -> Result<()> {
        self.note("sync");
        self.null.sync(timeout)
    }
}
