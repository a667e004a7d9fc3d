//! A device that computes as the judge does and lets somebody see every call before it runs.
//!
//! It says of every operator what the device under test says, and asks for that device's step-table columns, so that a model places and lowers
//! its step as it would on that device. The arguments then lie in host memory, exactly as the judge is about to read them.

use omnihal::{
    Accumulation, Args, Buffer, Caps, Column, Determinism, Device, DeviceInfo, Error, Event, Mem, MemoryKind, Op, Plan,
    Result, Stream, Support, View, WeightDesc, WeightForm,
};
use omnihal_reference::ReferenceBackend;
use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One call, before it runs.
pub struct Call<'a> {
    /// The plan of the device under test.
    pub plan: &'a Arc<dyn Plan>,
    /// The operator's arguments, then the columns that the plan asked for. All lie in live host memory.
    pub views: &'a [Option<View>],
    /// Leading rows that matter.
    pub rows_hint: usize,
}

impl Call<'_> {
    /// The operator.
    pub fn op(&self) -> &Op {
        self.plan.op()
    }
}

/// Who sees the calls.
pub trait Watch: Send {
    /// Sees a call before it runs. An error ends the step with it.
    fn call(&mut self, call: &Call<'_>) -> Result<()>;

    /// Hears that the host wrote into memory.
    fn written(&mut self, mem: Mem) {
        let _ = mem;
    }
}

/// A watch, shared with whoever reads it afterwards.
pub type Shared<W> = Arc<Mutex<W>>;

/// What a watch holds is whole after each call.
pub fn lock<W: ?Sized>(watch: &Mutex<W>) -> MutexGuard<'_, W> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The judge, watched, in the place of a device under test.
pub fn tap(under: Arc<dyn Device>, watch: Shared<dyn Watch>) -> Result<Arc<dyn Device>> {
    let judge = omnihal::Backend::open(&ReferenceBackend, 0)?;
    let caps = Caps {
        activations: under.caps().activations.clone(),
        ops: under.caps().ops,
        alignment: under.caps().alignment.max(judge.caps().alignment),
        ..judge.caps().clone()
    };
    Ok(Arc::new(TapDevice { judge, under, caps, watch }))
}

struct TapDevice {
    judge: Arc<dyn Device>,
    under: Arc<dyn Device>,
    caps: Caps,
    watch: Shared<dyn Watch>,
}

impl Device for TapDevice {
    fn info(&self) -> &DeviceInfo {
        self.under.info()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.judge.alloc(bytes, kind)
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(TapStream { judge: self.judge.stream()?, watch: Arc::clone(&self.watch) }))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        self.judge.event()
    }

    fn supports(&self, op: &Op) -> Support {
        match (self.under.supports(op), self.judge.supports(op)) {
            (Support::No(reason), _) | (_, Support::No(reason)) => Support::No(reason),
            (support, _) => support,
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        Ok(Arc::new(TapPlan { judge: self.judge.plan(op)?, under: self.under.plan(op)? }))
    }

    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        match self.under.weight(desc) {
            // A private layout can be read by its own device only; as stored, the weight is legal for both.
            WeightForm::Repack { .. } => WeightForm::AsIs,
            form => form,
        }
    }

    fn health(&self) -> Result<()> {
        self.judge.health()
    }
}

/// The plans of both devices.
struct TapPlan {
    judge: Arc<dyn Plan>,
    under: Arc<dyn Plan>,
}

impl Plan for TapPlan {
    fn op(&self) -> &Op {
        self.judge.op()
    }

    fn workspace(&self) -> usize {
        self.judge.workspace()
    }

    fn columns(&self) -> &[Column] {
        self.under.columns()
    }

    fn determinism(&self) -> Determinism {
        self.under.determinism()
    }

    fn accumulation(&self) -> Accumulation {
        self.under.accumulation()
    }
}

struct TapStream {
    judge: Box<dyn Stream>,
    watch: Shared<dyn Watch>,
}

impl Stream for TapStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let Some(plan) = (plan as &dyn Any).downcast_ref::<TapPlan>() else {
            return Err(Error::argument("the plan was made by another device: make it on this one"));
        };
        let call = Call { plan: &plan.under, views: args.views, rows_hint: args.rows_hint };
        lock(&self.watch).call(&call)?;
        let own = args.views.len() - plan.under.columns().len().min(args.views.len());
        let args = Args { views: &args.views[..own], ..*args };
        // SAFETY: passed on from the caller; the judge's plan wants the operator's own arguments only.
        unsafe { self.judge.run(&*plan.judge, &args) }
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.judge.copy(dst, src) }
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.judge.fill(dst, byte) }
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.judge.write(dst, src)? };
        lock(&self.watch).written(dst);
        Ok(())
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.judge.read(src, dst, timeout) }
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        self.judge.record(event)
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        self.judge.wait(event)
    }

    fn poll(&self) -> Result<bool> {
        self.judge.poll()
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.judge.sync(timeout)
    }
}
