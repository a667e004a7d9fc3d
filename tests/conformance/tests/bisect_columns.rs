//! A device whose plans want columns of the step table and a prologue gets both in the search, from the very step.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::{
    Accumulation, Args, Buffer, Caps, Column, DType, Determinism, Device, DeviceInfo, Event, Mem, MemoryKind, Op,
    OpKind, Plan, Prologue, Result, Stream, Support, View, WeightDesc, WeightForm,
};
use omnihal_conformance::model::demo::{Stored, checkpoint};
use omnihal_conformance::model::{Options, bisect};
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const COLUMNS: [Column; 2] = [Column::Toks, Column::Pos0];

/// Positions that the attention of a device was told of, and the runs of its prologue.
#[derive(Default)]
struct Heard {
    positions: Mutex<Vec<i32>>,
    prologues: AtomicUsize,
}

struct Wanting {
    cpu: Arc<dyn Device>,
    heard: Arc<Heard>,
}

struct WantingPlan {
    cpu: Arc<dyn Plan>,
    prologue: Option<Prologue>,
}

struct WantingStream {
    cpu: Box<dyn Stream>,
    heard: Arc<Heard>,
}

impl Plan for WantingPlan {
    fn op(&self) -> &Op {
        self.cpu.op()
    }
    fn workspace(&self) -> usize {
        self.cpu.workspace()
    }
    fn columns(&self) -> &[Column] {
        if self.prologue.is_some() { &COLUMNS } else { &[] }
    }
    fn prologue(&self) -> Option<&Prologue> {
        self.prologue.as_ref()
    }
    fn determinism(&self) -> Determinism {
        self.cpu.determinism()
    }
    fn accumulation(&self) -> Accumulation {
        self.cpu.accumulation()
    }
}

/// The work before the first run: fills its output.
struct Metadata(Arc<dyn Plan>);

impl Plan for Metadata {
    fn op(&self) -> &Op {
        self.0.op()
    }
    fn determinism(&self) -> Determinism {
        self.0.determinism()
    }
    fn accumulation(&self) -> Accumulation {
        self.0.accumulation()
    }
}

impl Device for Wanting {
    fn info(&self) -> &DeviceInfo {
        self.cpu.info()
    }
    fn caps(&self) -> &Caps {
        self.cpu.caps()
    }
    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.cpu.alloc(bytes, kind)
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(WantingStream { cpu: self.cpu.stream()?, heard: Arc::clone(&self.heard) }))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        self.cpu.event()
    }
    fn supports(&self, op: &Op) -> Support {
        self.cpu.supports(op)
    }
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        let cpu = self.cpu.plan(op)?;
        let prologue = (op.kind() == OpKind::AttentionSparse).then(|| Prologue {
            key: "metadata".into(),
            bytes: 24,
            plan: Arc::new(Metadata(Arc::clone(&cpu))),
        });
        Ok(Arc::new(WantingPlan { cpu, prologue }))
    }
    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        self.cpu.weight(desc)
    }
}

/// Bytes of a contiguous view of the host's memory.
fn bytes(view: &View) -> Vec<u8> {
    let len = view.extent_bytes();
    // SAFETY: the views of these calls lie in live host memory of at least their extent, and the streams before them are synchronised.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(view.addr() as usize), len) }.to_vec()
}

impl Stream for WantingStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        self.cpu.sync(Duration::from_secs(60))?;
        if (plan as &dyn Any).is::<Metadata>() {
            let [Some(toks), Some(_), Some(out)] = args.views else {
                panic!("{} arguments for a prologue", args.views.len())
            };
            assert_eq!((toks.dtype, out.dtype, out.elements()), (DType::I32, DType::U8, 24));
            self.heard.prologues.fetch_add(1, SeqCst);
            // SAFETY: passed on from the caller.
            return unsafe { self.cpu.fill(Mem { addr: out.addr(), len: 24 }, 0x77) };
        }
        let plan: &WantingPlan = (plan as &dyn Any).downcast_ref().unwrap();
        let own = plan.op().arg_types().len();
        if plan.prologue.is_some() {
            let [Some(toks), Some(pos0), Some(metadata)] = &args.views[own..] else { panic!("columns are missing") };
            assert!(bytes(metadata).iter().all(|b| *b == 0x77), "the prologue ran before");
            let word = |view: &View| i32::from_le_bytes(bytes(view)[..4].try_into().unwrap());
            assert_eq!(word(toks), word(pos0));
            self.heard.positions.lock().unwrap().push(word(pos0));
        }
        let args = Args { views: &args.views[..own], ..*args };
        // SAFETY: passed on from the caller.
        unsafe { self.cpu.run(&*plan.cpu, &args) }
    }
    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.cpu.copy(dst, src) }
    }
    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.cpu.fill(dst, byte) }
    }
    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.cpu.write(dst, src) }
    }
    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.cpu.read(src, dst, timeout) }
    }
    fn record(&self, event: &dyn Event) -> Result<()> {
        self.cpu.record(event)
    }
    fn wait(&self, event: &dyn Event) -> Result<()> {
        self.cpu.wait(event)
    }
    fn poll(&self) -> Result<bool> {
        self.cpu.poll()
    }
    fn sync(&self, timeout: Duration) -> Result<()> {
        self.cpu.sync(timeout)
    }
}

#[test]
fn columns_and_prologues_come_from_the_step_that_is_judged() {
    let heard = Arc::<Heard>::default();
    let cpu = omnihal_backends::registry().open("cpu").unwrap();
    let device: Arc<dyn Device> = Arc::new(Wanting { cpu, heard: Arc::clone(&heard) });
    let options = Options { decode: 2, ..Options::new(vec![0, 358, 84, 79]) };
    let report = bisect(&checkpoint(Stored::Plain).unwrap(), &device, &options, |_| {}).unwrap();
    assert!(report.passed() && report.finished, "{}", report.render());
    // Three blocks in each of three steps.
    assert_eq!(*heard.positions.lock().unwrap(), [0, 0, 0, 4, 4, 4, 5, 5, 5]);
    assert_eq!(heard.prologues.load(SeqCst), 9);
}
