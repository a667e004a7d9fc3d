//! The traits that a chip implements: backend, device, memory, stream, event, plan, graph, collective.
//!
//! # Who checks what
//!
//! [`Device::plan`] does all checking, choosing and sizing; [`Stream::run`] only enqueues. It does not allocate, format or take
//! a lock for an argument, and it does not check its arguments: the validation layer of `omnihal-runtime` does, when asked for.
//!
//! # Who owns what
//!
//! A [`View`] is plain data and owns nothing. A [`Buffer`] owns its memory and frees it when the last clone is dropped.
//! Enqueued work does not keep buffers alive: that is why the enqueuing calls are `unsafe`, and why programs should go through
//! `omnihal_runtime::Program`, which keeps every buffer until its stream has passed the last use.
//!
//! # Threads
//!
//! Everything is `Send + Sync`. Calls on one stream from several threads are legal and take effect in some order.
//!
//! # Errors
//!
//! Refused calls return at once and leave the stream usable. A failure during execution poisons its stream, then whatever waits on it;
//! each later call returns the first cause. Nothing panics, nothing aborts, every wait has a limit.

use crate::{
    Accumulation, Caps, Column, Cost, Determinism, DeviceInfo, Error, Layout, Mem, MemoryKind, Op, Result, Shape,
    Support, View, WeightFormat,
};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// Arguments of one run: plain data, borrowed, laid out as the operator's catalogue entry lists them.
///
/// After the listed arguments follow the step-table columns that the plan asked for with [`Plan::columns`], in that order, and
/// then the output of its [`Plan::prologue`], if it has one.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// The views. `None` stands for an optional argument that the descriptor leaves out.
    pub views: &'a [Option<View>],
    /// Scratch memory of at least [`Plan::workspace`] bytes, aligned to `Caps::alignment`, undefined before and after.
    pub workspace: Mem,
    /// Number of leading rows that matter, where the operator works row by row. It may shorten work and never changes a valid row;
    /// `usize::MAX` says that all do.
    pub rows_hint: usize,
}

impl<'a> Args<'a> {
    /// Arguments without workspace and without a row hint.
    pub fn new(views: &'a [Option<View>]) -> Self {
        Args { views, workspace: Mem::default(), rows_hint: usize::MAX }
    }
}

/// What a search for devices found.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Devices found.
    pub devices: Vec<DeviceInfo>,
    /// Places, libraries and variables that were looked at, for a reader who expected a device.
    pub searched: Vec<String>,
}

/// One kind of device: the entry point of a backend crate.
pub trait Backend: Send + Sync {
    /// Short name, as given to `--backend`.
    fn name(&self) -> &'static str;
    /// Looks for devices. Finding none is not an error.
    fn probe(&self) -> Result<Probe>;
    /// Opens device `index` of [`Backend::probe`].
    fn open(&self, index: usize) -> Result<Arc<dyn Device>>;
}

/// Device memory with an owner. Clones share it; the last one frees it.
#[derive(Clone)]
pub struct Buffer {
    mem: Mem,
    kind: MemoryKind,
    _owner: Arc<dyn Any + Send + Sync>,
}

impl Buffer {
    /// Wraps an allocation; dropping `owner` must free it.
    pub fn new(mem: Mem, kind: MemoryKind, owner: Arc<dyn Any + Send + Sync>) -> Self {
        Buffer { mem, kind, _owner: owner }
    }

    /// The memory.
    pub fn mem(&self) -> Mem {
        self.mem
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.mem.len
    }

    /// True for a buffer of no bytes.
    pub fn is_empty(&self) -> bool {
        self.mem.len == 0
    }

    /// Where it lies.
    pub fn kind(&self) -> MemoryKind {
        self.kind
    }
}

/// How a device wants a weight.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightForm {
    /// As stored.
    AsIs,
    /// Multiplied out to plain numbers of this format; exact for power-of-two scales.
    Expand(crate::DType),
    /// In a private layout that [`Device::repack`] makes.
    Repack {
        /// The layout's identity.
        layout: Layout,
        /// Bytes that the repacked weight takes.
        bytes: usize,
        /// Rows that may be addressed alone, if any.
        row_granule: Option<usize>,
    },
    /// Not at all; the reason says why.
    No(String),
}

/// A weight as the model wants to use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightDesc {
    /// `[out, in]`, or `[experts, out, in]` for grouped weights.
    pub shape: Shape,
    /// How it is stored in the file.
    pub format: WeightFormat,
    /// Type of the activations that will meet it.
    pub act: crate::DType,
}

/// An open device.
pub trait Device: Send + Sync {
    /// What the device is.
    fn info(&self) -> &DeviceInfo;
    /// What it can do.
    fn caps(&self) -> &Caps;
    /// Allocates memory. Contents are undefined.
    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer>;
    /// Makes host memory usable as device memory without a copy, where the device can.
    ///
    /// # Safety
    /// `ptr` must be valid for reads of `bytes` bytes until `owner` is dropped, and never written through the buffer.
    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        let _ = (ptr, bytes, owner);
        Err(Error::unsupported("this device cannot import host memory"))
    }
    /// Makes a stream: work on it runs in order.
    fn stream(&self) -> Result<Box<dyn Stream>>;
    /// Makes an event, not yet recorded.
    fn event(&self) -> Result<Box<dyn Event>>;
    /// Says for one full descriptor whether and how the device runs it.
    fn supports(&self, op: &Op) -> Support;
    /// Makes a plan. Fails with the same reason that [`Device::supports`] gives.
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>>;
    /// Says in which form it wants a weight.
    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        let _ = desc;
        WeightForm::AsIs
    }
    /// Turns a weight as stored (`src`) into the device's private layout (`dst`, of the size that [`Device::weight`] told).
    ///
    /// # Safety
    /// As for [`Stream::run`].
    unsafe fn repack(&self, stream: &dyn Stream, desc: &WeightDesc, src: &View, dst: Mem) -> Result<()> {
        let _ = (stream, src, dst);
        Err(Error::unsupported(format!("this device has no private layout for {} {}", desc.format, desc.shape)))
    }
    /// Bytes of device memory in use, by anyone, where the vendor tells. May be slow; not for the run path.
    fn memory_in_use(&self) -> Option<u64> {
        None
    }
    /// Reports an error that was found where none could be returned, such as in a `Drop`, or the loss of the device.
    fn health(&self) -> Result<()> {
        Ok(())
    }
}

/// An ordered queue of work. `Any` gives a backend or a layer its own type back, as `(stream as &dyn Any).downcast_ref()`.
pub trait Stream: Any + Send + Sync {
    /// Enqueues one run of a plan. Does not wait, allocate, format or check.
    ///
    /// # Safety
    /// `args` must fit the plan's operator, and every memory it names must stay alive until the stream has passed this call.
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()>;
    /// Enqueues a copy between device or pinned memory of equal length.
    ///
    /// # Safety
    /// Both ranges must stay alive until the stream has passed this call, and must not overlap.
    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()>;
    /// Enqueues a fill with one byte value.
    ///
    /// # Safety
    /// The range must stay alive until the stream has passed this call.
    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()>;
    /// Enqueues a copy from host memory. When it returns, `src` may be reused.
    ///
    /// # Safety
    /// The range must stay alive until the stream has passed this call.
    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()>;
    /// Copies to host memory, after all earlier work of the stream. Waits at most `timeout`.
    ///
    /// # Safety
    /// The range must be alive.
    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()>;
    /// Marks the present end of the stream in `event`.
    fn record(&self, event: &dyn Event) -> Result<()>;
    /// Makes later work of this stream wait for `event`. A poisoned event poisons this stream with the same cause.
    fn wait(&self, event: &dyn Event) -> Result<()>;
    /// Starts collecting calls instead of running them. Until [`Stream::end_capture`], only `run`, `copy`, `fill`, `record` and `wait` are legal.
    fn begin_capture(&self) -> Result<()> {
        Err(Error::unsupported("this device does not capture graphs"))
    }
    /// Ends the capture and returns what was collected.
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        Err(Error::unsupported("this device does not capture graphs"))
    }
    /// Enqueues a captured graph.
    ///
    /// # Safety
    /// Everything that the captured calls name must stay alive until the stream has passed this call.
    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        let _ = graph;
        Err(Error::unsupported("this device does not capture graphs"))
    }
    /// True if all work is done. Never waits.
    fn poll(&self) -> Result<bool>;
    /// Waits until all work is done, at most `timeout`.
    fn sync(&self, timeout: Duration) -> Result<()>;
}

/// A point in a stream.
pub trait Event: Send + Sync {
    /// True once the stream has passed the recorded point. An event that was never recorded has passed.
    fn poll(&self) -> Result<bool>;
    /// Waits for the recorded point, at most `timeout`.
    fn sync(&self, timeout: Duration) -> Result<()>;
    /// Gives the backend its own type back.
    fn as_any(&self) -> &dyn Any;
}

/// Work that a plan wants done once a step and shared by all layers, such as a vendor's attention metadata.
#[derive(Clone)]
pub struct Prologue {
    /// Equal keys are the same work: the runtime runs it once a step.
    pub key: String,
    /// Bytes of its output.
    pub bytes: usize,
    /// Its arguments are the columns of the plan that asked, then its output as `U8 [bytes]`.
    pub plan: Arc<dyn Plan>,
}

/// A checked, sized and chosen way to run one operator, for a capacity.
pub trait Plan: Any + Send + Sync {
    /// The operator it runs.
    fn op(&self) -> &Op;
    /// Bytes of scratch memory that a run needs.
    fn workspace(&self) -> usize {
        0
    }
    /// Bytes of scratch memory for arguments laid out as these, for libraries that size it by strides. Called when the layout is known and
    /// addresses are not: only shapes and strides of the views mean anything.
    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        let _ = views;
        Ok(self.workspace())
    }
    /// A plan for these very arguments, for libraries that prepare a call with its addresses. Called once the addresses are final and before
    /// the first run; the plan returned is run with the same arguments only. `None`: nothing to prepare.
    fn bind(&self, args: &Args<'_>) -> Result<Option<Arc<dyn Plan>>> {
        let _ = args;
        Ok(None)
    }
    /// Step-table columns wanted beside the operator's own arguments.
    fn columns(&self) -> &[Column] {
        &[]
    }
    /// Work to be done once a step before the first run.
    fn prologue(&self) -> Option<&Prologue> {
        None
    }
    /// Arithmetic and traffic at full capacity.
    fn cost(&self) -> Cost {
        self.op().cost()
    }
    /// True if a run may be captured into a graph.
    fn capture_safe(&self) -> bool {
        true
    }
    /// How far the result's bits can be relied on.
    fn determinism(&self) -> Determinism;
    /// How products are added up.
    fn accumulation(&self) -> Accumulation;
}

/// A captured sequence of calls.
pub trait Graph: Send + Sync {
    /// Number of device nodes, for reports.
    fn nodes(&self) -> usize;
    /// Gives the backend its own type back.
    fn as_any(&self) -> &dyn Any;
}

/// A group of devices that add up and exchange tensors. Every member makes the same calls in the same order.
pub trait Collective: Send + Sync {
    /// This member's place, from 0.
    fn rank(&self) -> usize;
    /// Number of members.
    fn size(&self) -> usize;
    /// Enqueues the element-wise sum over all members, in place.
    ///
    /// # Safety
    /// As for [`Stream::run`].
    unsafe fn all_reduce(&self, stream: &dyn Stream, data: &View) -> Result<()>;
    /// Enqueues the concatenation of every member's `part` into `whole`, by rank.
    ///
    /// # Safety
    /// As for [`Stream::run`].
    unsafe fn all_gather(&self, stream: &dyn Stream, part: &View, whole: &View) -> Result<()>;
}
