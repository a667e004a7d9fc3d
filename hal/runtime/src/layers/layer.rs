//! The part that all layers share: wrappers for device, stream, event and plan around a [`Hook`] that says what a layer does.
//!
//! Plans and events are wrapped too, because a stream hands the device below its own plans and events and no others. Graphs are not: they
//! belong to whichever layer or device captured them.

use omnihal::op::{ArgType, Role};
use omnihal::{
    Accumulation, Args, Buffer, Caps, Column, Cost, Determinism, Device, DeviceInfo, Error, Event, Graph, Mem,
    MemoryKind, Op, Plan, Prologue, Result, Stream, Support, View, WeightDesc, WeightForm,
};
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// What a layer does around the calls of a device. The defaults pass everything on.
pub(crate) trait Hook: Sized + Send + Sync + 'static {
    /// What it keeps for each stream.
    type Stream: Send + Sync + 'static;
    /// What it keeps for each event.
    type Event: Default + Send + Sync + 'static;

    /// Makes the state of a new stream.
    fn stream(&self) -> Self::Stream;

    /// Asked before anything is made, and by `Device::health`.
    fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// Allocates from the device below.
    fn alloc(&self, device: &dyn Device, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        device.alloc(bytes, kind)
    }

    /// Asked whether the device runs an operator.
    fn supports(&self, device: &dyn Device, op: &Op) -> Support {
        device.supports(op)
    }

    /// Plans on the device below.
    fn plan(&self, device: &dyn Device, op: &Op) -> Result<Arc<dyn Plan>> {
        device.plan(op)
    }

    /// Sees memory that was imported.
    fn imported(&self, buffer: Buffer) -> Buffer {
        buffer
    }

    /// Asked before the state of an event is.
    fn event_ready(&self, event: &Self::Event) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// Sees one stream call; `go` passes it on.
    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()>;

    /// Begins a capture, inside [`Hook::around`].
    fn begin_capture(&self, at: At<'_, Self>) -> Result<()> {
        at.inner.begin_capture()
    }

    /// Ends a capture, inside [`Hook::around`].
    fn end_capture(&self, at: At<'_, Self>) -> Result<Box<dyn Graph>> {
        at.inner.end_capture()
    }

    /// Launches a graph, inside [`Hook::around`].
    ///
    /// # Safety
    /// As for [`Stream::launch`].
    unsafe fn launch(&self, at: At<'_, Self>, graph: &dyn Graph) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { at.inner.launch(graph) }
    }
}

/// Where a call happens.
pub(crate) struct At<'a, H: Hook> {
    /// The stream below.
    pub(crate) inner: &'a dyn Stream,
    /// The layer's own state of the stream.
    pub(crate) state: &'a H::Stream,
}

impl<H: Hook> Clone for At<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Hook> Copy for At<'_, H> {}

/// One stream call, as a layer sees it.
pub(crate) enum Call<'a, H: Hook> {
    Run { plan: &'a LayerPlan<H>, args: &'a Args<'a> },
    Copy { dst: Mem, src: Mem },
    Fill { dst: Mem, byte: u8 },
    Write { dst: Mem, src: &'a [u8] },
    Read { src: Mem, bytes: usize },
    Record(&'a LayerEvent<H>),
    Wait(&'a LayerEvent<H>),
    BeginCapture,
    EndCapture,
    Launch(&'a dyn Graph),
    Poll,
    Sync,
}

impl<H: Hook> Call<'_, H> {
    /// What the call is named in traces and records.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Call::Run { .. } => "run",
            Call::Copy { .. } => "copy",
            Call::Fill { .. } => "fill",
            Call::Write { .. } => "write",
            Call::Read { .. } => "read",
            Call::Record(_) => "record",
            Call::Wait(_) => "wait",
            Call::BeginCapture => "begin_capture",
            Call::EndCapture => "end_capture",
            Call::Launch(_) => "launch",
            Call::Poll => "poll",
            Call::Sync => "sync",
        }
    }

    /// The operator of a run.
    pub(crate) fn op(&self) -> Option<&Op> {
        match self {
            Call::Run { plan, .. } => Some(plan.inner.op()),
            _ => None,
        }
    }
}

/// A device under a layer.
pub(crate) struct LayerDevice<H: Hook> {
    hook: Arc<H>,
    inner: Arc<dyn Device>,
}

impl<H: Hook> LayerDevice<H> {
    pub(crate) fn wrap(inner: Arc<dyn Device>, hook: Arc<H>) -> Arc<dyn Device> {
        Arc::new(LayerDevice { hook, inner })
    }
}

impl<H: Hook> Device for LayerDevice<H> {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn caps(&self) -> &Caps {
        self.inner.caps()
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.hook.ready()?;
        self.hook.alloc(&*self.inner, bytes, kind)
    }

    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        self.hook.ready()?;
        // SAFETY: passed on from the caller.
        unsafe { self.inner.import(ptr, bytes, owner) }.map(|buffer| self.hook.imported(buffer))
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        self.hook.ready()?;
        let state = self.hook.stream();
        Ok(Box::new(LayerStream { hook: Arc::clone(&self.hook), state, inner: self.inner.stream()? }))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        self.hook.ready()?;
        let inner = Arc::from(self.inner.event()?);
        Ok(Box::new(LayerEvent { hook: Arc::clone(&self.hook), state: H::Event::default(), inner }))
    }

    fn supports(&self, op: &Op) -> Support {
        self.hook.supports(&*self.inner, op)
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        self.hook.ready()?;
        Ok(Arc::new(LayerPlan::<H>::new(self.hook.plan(&*self.inner, op)?)))
    }

    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        self.inner.weight(desc)
    }

    unsafe fn repack(&self, stream: &dyn Stream, desc: &WeightDesc, src: &View, dst: Mem) -> Result<()> {
        self.hook.ready()?;
        let stream: &LayerStream<H> = (stream as &dyn Any).downcast_ref().ok_or_else(|| foreign("stream"))?;
        // SAFETY: passed on from the caller.
        unsafe { self.inner.repack(&*stream.inner, desc, src, dst) }
    }

    fn memory_in_use(&self) -> Option<u64> {
        self.inner.memory_in_use()
    }

    fn health(&self) -> Result<()> {
        self.hook.ready()?;
        self.inner.health()
    }
}

fn foreign(what: &str) -> Error {
    Error::argument(format!("the {what} was made by another device or under other layers: make it on this one"))
}

/// What a call of a plan must bring.
pub(crate) struct Signature {
    /// The operator's own arguments.
    pub(crate) args: Vec<ArgType>,
    /// The columns after them.
    pub(crate) columns: Vec<Column>,
    /// Bytes and use of the prologue's output, which comes last.
    pub(crate) prologue: Option<(usize, Role)>,
}

/// A plan under a layer.
pub(crate) struct LayerPlan<H> {
    /// The plan below.
    pub(crate) inner: Arc<dyn Plan>,
    /// What a call must bring.
    pub(crate) signature: Signature,
    prologue: Option<Prologue>,
    layer: PhantomData<fn() -> H>,
}

impl<H: Hook> LayerPlan<H> {
    fn new(inner: Arc<dyn Plan>) -> Self {
        let (columns, asked) = (inner.columns().to_vec(), inner.prologue().cloned());
        let prologue = asked.map(|p| Prologue {
            key: p.key,
            bytes: p.bytes,
            plan: Arc::new(LayerPlan::<H> {
                inner: p.plan,
                signature: Signature {
                    args: Vec::new(),
                    columns: columns.clone(),
                    prologue: Some((p.bytes, Role::Write)),
                },
                prologue: None,
                layer: PhantomData,
            }),
        });
        let signature = Signature {
            args: inner.op().arg_types(),
            columns,
            prologue: prologue.as_ref().map(|p| (p.bytes, Role::Read)),
        };
        LayerPlan { inner, signature, prologue, layer: PhantomData }
    }
}

impl<H: Hook> Plan for LayerPlan<H> {
    fn op(&self) -> &Op {
        self.inner.op()
    }

    fn workspace(&self) -> usize {
        self.inner.workspace()
    }

    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        self.inner.workspace_for(views)
    }

    fn bind(&self, args: &Args<'_>) -> Result<Option<Arc<dyn Plan>>> {
        let bound = self.inner.bind(args)?;
        Ok(bound.map(|plan| Arc::new(LayerPlan::<H>::new(plan)) as Arc<dyn Plan>))
    }

    fn columns(&self) -> &[Column] {
        self.inner.columns()
    }

    fn prologue(&self) -> Option<&Prologue> {
        self.prologue.as_ref()
    }

    fn cost(&self) -> Cost {
        self.inner.cost()
    }

    fn capture_safe(&self) -> bool {
        self.inner.capture_safe()
    }

    fn determinism(&self) -> Determinism {
        self.inner.determinism()
    }

    fn accumulation(&self) -> Accumulation {
        self.inner.accumulation()
    }
}

/// An event under a layer.
pub(crate) struct LayerEvent<H: Hook> {
    hook: Arc<H>,
    /// The layer's own state.
    pub(crate) state: H::Event,
    /// The event below.
    pub(crate) inner: Arc<dyn Event>,
}

impl<H: Hook> Event for LayerEvent<H> {
    fn poll(&self) -> Result<bool> {
        self.hook.event_ready(&self.state)?;
        self.inner.poll()
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.hook.event_ready(&self.state)?;
        self.inner.sync(timeout)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn own_event<H: Hook>(event: &dyn Event) -> Result<&LayerEvent<H>> {
    event.as_any().downcast_ref().ok_or_else(|| foreign("event"))
}

/// A stream under a layer.
pub(crate) struct LayerStream<H: Hook> {
    hook: Arc<H>,
    state: H::Stream,
    inner: Box<dyn Stream>,
}

impl<H: Hook> LayerStream<H> {
    fn at(&self) -> At<'_, H> {
        At { inner: &*self.inner, state: &self.state }
    }

    fn around(&self, call: &Call<'_, H>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        self.hook.around(self.at(), call, go)
    }
}

impl<H: Hook> Stream for LayerStream<H> {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let plan: &LayerPlan<H> = (plan as &dyn Any).downcast_ref().ok_or_else(|| foreign("plan"))?;
        // SAFETY: passed on from the caller.
        self.around(&Call::Run { plan, args }, || unsafe { self.inner.run(&*plan.inner, args) })
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        // SAFETY: passed on from the caller.
        self.around(&Call::Copy { dst, src }, || unsafe { self.inner.copy(dst, src) })
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: passed on from the caller.
        self.around(&Call::Fill { dst, byte }, || unsafe { self.inner.fill(dst, byte) })
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // SAFETY: passed on from the caller.
        self.around(&Call::Write { dst, src }, || unsafe { self.inner.write(dst, src) })
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        let call = Call::Read { src, bytes: dst.len() };
        // SAFETY: passed on from the caller.
        self.around(&call, || unsafe { self.inner.read(src, dst, timeout) })
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = own_event(event)?;
        self.around(&Call::Record(event), || self.inner.record(&*event.inner))
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let event = own_event(event)?;
        self.around(&Call::Wait(event), || self.inner.wait(&*event.inner))
    }

    fn begin_capture(&self) -> Result<()> {
        self.around(&Call::BeginCapture, || self.hook.begin_capture(self.at()))
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        let mut graph = None;
        self.around(&Call::EndCapture, || {
            graph = Some(self.hook.end_capture(self.at())?);
            Ok(())
        })?;
        graph.ok_or_else(|| Error::new(omnihal::ErrorKind::InvalidState, "the layer ended no capture"))
    }

    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        // SAFETY: passed on from the caller.
        self.around(&Call::Launch(graph), || unsafe { self.hook.launch(self.at(), graph) })
    }

    fn poll(&self) -> Result<bool> {
        let mut done = false;
        self.around(&Call::Poll, || {
            done = self.inner.poll()?;
            Ok(())
        })?;
        Ok(done)
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.around(&Call::Sync, || self.inner.sync(timeout))
    }
}
