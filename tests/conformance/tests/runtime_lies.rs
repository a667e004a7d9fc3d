//! Scripts of the `runtime` profile on a device that lies about one thing at a time: the script concerned must notice.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::{
    Args, Backend, Buffer, Caps, Device, DeviceInfo, Error, ErrorKind, Event, Graph, Mem, MemoryKind, Op, OpSet, Plan,
    Probe, Result, Stream, Support,
};
use omnihal_conformance::{Outcome, Target, script};
use omnihal_reference::ReferenceBackend;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    None,
    ProbeGrows,
    AnyNumberOpens,
    OddAlignment,
    NoActivations,
    ListsNothing,
    DeviceLeaks,
    MemoryLeaks,
    StreamsLeak,
    ImportForgetsOwner,
    ImportIsCopiedTooShort,
    MemoryIsUnsupported,
    RefusesWithoutReason,
    RefusesWithoutOperator,
    PlansSomethingElse,
    OverrunsWorkspace,
    NeedsCleanWorkspace,
    StreamsForgetWhenDropped,
    LosesEverySeventhRun,
}

struct LyingBackend {
    lie: Lie,
    probes: AtomicUsize,
}

fn target(lie: Lie) -> Target {
    Target::open(Arc::new(LyingBackend { lie, probes: AtomicUsize::new(0) }), 0).unwrap()
}

fn leak(bytes: usize) {
    // An optimiser may leave out memory that nobody looks at.
    std::mem::forget(std::hint::black_box(vec![1u8; bytes]));
}

impl Backend for LyingBackend {
    fn name(&self) -> &'static str {
        ReferenceBackend.name()
    }

    fn probe(&self) -> Result<Probe> {
        let mut probe = ReferenceBackend.probe()?;
        if self.lie == Lie::ProbeGrows && self.probes.fetch_add(1, SeqCst) > 0 {
            probe.devices.push(probe.devices[0].clone());
        }
        Ok(probe)
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        let index = if self.lie == Lie::AnyNumberOpens { 0 } else { index };
        let inner = ReferenceBackend.open(index)?;
        let mut caps = inner.caps().clone();
        match self.lie {
            Lie::OddAlignment => caps.alignment = 48,
            Lie::NoActivations => caps.activations.clear(),
            Lie::ListsNothing => caps.ops = OpSet::default(),
            Lie::DeviceLeaks => leak(2 << 20),
            _ => {}
        }
        Ok(Arc::new(LyingDevice { lie: self.lie, inner, caps }))
    }
}

struct LyingDevice {
    lie: Lie,
    inner: Arc<dyn Device>,
    caps: Caps,
}

impl LyingDevice {
    /// Operators that the device says it does not run.
    fn declines(&self, op: &Op) -> bool {
        matches!(self.lie, Lie::RefusesWithoutReason | Lie::RefusesWithoutOperator) && matches!(op, Op::Concat(_))
    }
}

impl Device for LyingDevice {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        let buffer = self.inner.alloc(bytes, kind);
        if self.lie == Lie::MemoryLeaks {
            std::mem::forget(buffer.clone());
        }
        match buffer {
            Err(error) if self.lie == Lie::MemoryIsUnsupported => Err(Error::unsupported(error.message())),
            other => other,
        }
    }

    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        let owner = if self.lie == Lie::ImportForgetsOwner { Arc::new(()) } else { owner };
        let bytes = if self.lie == Lie::ImportIsCopiedTooShort { bytes - 1 } else { bytes };
        // SAFETY: passed on from the caller; the test keeps an owner of its own.
        unsafe { self.inner.import(ptr, bytes, owner) }
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        if self.lie == Lie::StreamsLeak {
            leak(1 << 20);
        }
        Ok(Box::new(LyingStream { lie: self.lie, inner: self.inner.stream()?, runs: AtomicUsize::new(0) }))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        self.inner.event()
    }

    fn supports(&self, op: &Op) -> Support {
        match self.declines(op) {
            true if self.lie == Lie::RefusesWithoutReason => Support::No(String::new()),
            true => Support::No("no joins here".into()),
            false => self.inner.supports(op),
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        match op {
            _ if self.declines(op) => Err(Error::unsupported("no joins here")),
            Op::Cumsum(d) if self.lie == Lie::PlansSomethingElse => {
                let exclusive = !d.exclusive;
                self.inner.plan(&Op::Cumsum(omnihal::op::elementwise::Cumsum { exclusive, ..*d }))
            }
            _ => self.inner.plan(op),
        }
    }
}

struct LyingStream {
    lie: Lie,
    inner: Box<dyn Stream>,
    runs: AtomicUsize,
}

impl Stream for LyingStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let nth = self.runs.fetch_add(1, SeqCst);
        if self.lie == Lie::LosesEverySeventhRun && nth % 7 == 6 {
            return Ok(());
        }
        // SAFETY: passed on from the caller.
        unsafe { self.inner.run(plan, args)? };
        let scratch = args.workspace;
        if self.lie == Lie::OverrunsWorkspace && scratch.addr != 0 {
            // SAFETY: the script has guards of 512 bytes around the workspace.
            unsafe { self.inner.fill(Mem { addr: scratch.addr + scratch.len as u64, len: 4 }, 0x11)? };
        }
        if self.lie == Lie::NeedsCleanWorkspace && scratch.addr != 0 {
            let mut first = [0];
            // SAFETY: as above.
            unsafe { self.inner.read(Mem { len: 1, ..scratch }, &mut first, Duration::from_secs(1))? };
            if first != [0] {
                let result = args.views.iter().flatten().next_back().unwrap();
                // SAFETY: the last argument is the output.
                unsafe { self.inner.fill(Mem { addr: result.addr(), len: 4 }, 0)? };
            }
        }
        Ok(())
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.inner.copy(dst, src) }
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.inner.fill(dst, byte) }
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.inner.write(dst, src) }
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.inner.read(src, dst, timeout) }
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        self.inner.record(event)
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        self.inner.wait(event)
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        self.inner.end_capture()
    }

    fn poll(&self) -> Result<bool> {
        self.inner.poll()
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.inner.sync(timeout)
    }
}

impl Drop for LyingStream {
    fn drop(&mut self) {
        if self.lie == Lie::StreamsForgetWhenDropped {
            // As a stream whose buffers go with it.
            leak(1 << 20);
        }
    }
}

fn outcome(id: &str, lie: Lie) -> Outcome {
    let script = script::all().into_iter().find(|s| s.id == id).unwrap_or_else(|| panic!("no script {id}"));
    let result = script.judge(&target(lie), 5);
    println!("{lie:?}: {} {id} {:?}", result.outcome, result.message);
    result.outcome
}

/// The lies and the scripts that must notice them. One test: those about the size of the process must not run beside others.
#[test]
fn every_lie_is_noticed_by_its_script_and_the_truth_passes_it() {
    let lies = [
        (Lie::ProbeGrows, "runtime/discovery/probe_finds_the_same_devices_again"),
        (Lie::AnyNumberOpens, "runtime/discovery/device_numbers_out_of_range_are_refused"),
        (Lie::OddAlignment, "runtime/discovery/device_facts_make_sense"),
        (Lie::NoActivations, "runtime/discovery/device_facts_make_sense"),
        (Lie::ListsNothing, "runtime/discovery/listed_operators_and_no_others_are_supported"),
        (Lie::DeviceLeaks, "runtime/lifetime/opened_and_closed_50_times"),
        (Lie::MemoryLeaks, "runtime/lifetime/memory_allocated_and_freed_1000_times"),
        (Lie::StreamsLeak, "runtime/lifetime/streams_and_events_made_200_times"),
        (Lie::StreamsForgetWhenDropped, "runtime/lifetime/streams_and_events_made_200_times"),
        (Lie::ImportForgetsOwner, "runtime/memory/imported_memory_is_read_in_place"),
        (Lie::ImportIsCopiedTooShort, "runtime/memory/imported_memory_is_read_in_place"),
        (Lie::MemoryIsUnsupported, "runtime/memory/absurd_sizes_are_refused"),
        (Lie::RefusesWithoutReason, "runtime/plans/supports_and_plan_agree"),
        (Lie::RefusesWithoutOperator, "runtime/plans/supports_and_plan_agree"),
        (Lie::PlansSomethingElse, "runtime/plans/supports_and_plan_agree"),
        (Lie::OverrunsWorkspace, "runtime/plans/runs_keep_to_their_workspace"),
        (Lie::NeedsCleanWorkspace, "runtime/plans/runs_keep_to_their_workspace"),
        (Lie::LosesEverySeventhRun, "runtime/plans/a_plan_does_not_change_by_use"),
        (Lie::LosesEverySeventhRun, "runtime/plans/a_plan_can_be_used_by_many_threads_at_once"),
        (Lie::LosesEverySeventhRun, "runtime/threads/eight_threads_with_a_stream_each"),
        (Lie::LosesEverySeventhRun, "runtime/threads/eight_threads_on_one_stream"),
        (Lie::LosesEverySeventhRun, "runtime/threads/one_thread_waits_while_another_enqueues"),
        (Lie::LosesEverySeventhRun, "runtime/events/work_passes_to_and_fro_between_two_streams"),
        (Lie::LosesEverySeventhRun, "runtime/order/many_streams_do_not_disturb_each_other"),
        (Lie::LosesEverySeventhRun, "runtime/capture/a_capture_does_not_concern_other_streams"),
        (Lie::LosesEverySeventhRun, "soak/200_steps"),
        (Lie::LosesEverySeventhRun, "fault/work_is_done_again_after_a_failure_at_some_calls"),
    ];
    for (lie, id) in lies {
        assert_eq!(outcome(id, Lie::None), Outcome::Pass, "the truth, by {id}");
        assert_eq!(outcome(id, lie), Outcome::Fail, "{lie:?} by {id}");
    }
}

#[test]
fn a_refusal_of_the_wrong_kind_is_told_with_what_was_expected() {
    let id = "runtime/memory/absurd_sizes_are_refused";
    let script = script::all().into_iter().find(|s| s.id == id).unwrap();
    let message = script.judge(&target(Lie::MemoryIsUnsupported), 5).message.unwrap();
    assert!(message.contains("Unsupported") && message.contains(&format!("{:?}", ErrorKind::OutOfMemory)), "{message}");
}
