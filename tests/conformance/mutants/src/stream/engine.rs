//! The queue of a stream and the worker that empties it.

use super::event::EventCore;
use super::variants::is;
use crate::device::Kernel;
use crate::{Call, Variant, ops};
use omnihal::{Error, ErrorKind, Mem, Result, View};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One call, owning all but the memory it names.
#[derive(Clone)]
pub enum Step {
    Run { kernel: Arc<Kernel>, views: Box<[Option<View>]>, workspace: Mem, rows_hint: usize },
    Copy { dst: Mem, src: Mem },
    Fill { dst: Mem, byte: u8 },
    Write { dst: Mem, bytes: Bytes },
    Read { src: Mem, slot: Arc<Slot> },
    Record(Arc<EventCore>),
    Wait(Arc<EventCore>),
}

/// Host bytes on their way to the device.
#[derive(Clone)]
pub enum Bytes {
    Owned(Vec<u8>),
    /// Planted: the caller's own bytes, which may have changed by the time the worker looks.
    Borrowed(u64),
}

/// Where a read leaves its bytes for the caller, who may have given up.
#[derive(Default)]
pub struct Slot {
    bytes: Mutex<Option<Result<Vec<u8>>>>,
    filled: Condvar,
}

impl Slot {
    fn fill(&self, bytes: Result<Vec<u8>>) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        self.filled.notify_all();
    }

    /// Waits for the bytes.
    pub fn take(&self, timeout: Duration) -> Result<Vec<u8>> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, _) =
            self.filled.wait_timeout_while(bytes, timeout, |b| b.is_none()).unwrap_or_else(PoisonError::into_inner);
        bytes.take().unwrap_or_else(|| Err(late()))
    }
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the work did not end in time, wait longer or find what holds the stream")
}

struct Job {
    step: Step,
    sequence: u64,
    /// Of the record that the step makes or waits for.
    ticket: u64,
}

/// What host and worker share.
#[derive(Default)]
pub struct State {
    queue: VecDeque<Job>,
    /// Calls accepted.
    pub enqueued: u64,
    /// Calls done or skipped.
    pub done: u64,
    /// The first failure.
    pub cause: Option<Error>,
    /// Calls collected, while a capture is on.
    pub captured: Option<Vec<Step>>,
    closed: bool,
}

impl State {
    /// Fails with the cause of a poisoned stream.
    pub fn check(&self) -> Result<()> {
        self.cause.clone().map_or(Ok(()), Err)
    }

    /// Fails while a capture is on.
    pub fn refuse_in_capture(&self, what: &str) -> Result<()> {
        match self.captured {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ErrorKind::InvalidState,
                format!("{what} was asked for while the stream is captured, end the capture first"),
            )),
        }
    }
}

/// A queue, shared by the stream and its worker.
pub struct Engine {
    state: Mutex<State>,
    changed: Condvar,
    pub variant: Option<&'static Variant>,
    pub ordinal: usize,
    lag: Duration,
}

impl Engine {
    pub fn new(variant: Option<&'static Variant>, ordinal: usize) -> Engine {
        let lag = super::variants::lag(variant, ordinal);
        Engine { state: Mutex::default(), changed: Condvar::new(), variant, ordinal, lag }
    }

    fn is(&self, id: &str) -> bool {
        is(self.variant, id)
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state is as wished.
    pub fn wait_until<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        timeout: Duration,
        wish: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>> {
        let deadline = Instant::now().checked_add(timeout);
        while !wish(&state) {
            let left = deadline.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(late());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state)
    }

    /// Lets the worker end once the queue is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Enqueues one call, or collects it.
    pub fn enqueue(&self, step: Step) -> Result<()> {
        let mut state = self.lock();
        self.check(&mut state)?;
        if let Some(captured) = &mut state.captured {
            let runs = self.is("stream.capture_runs_the_calls_too");
            if self.is("stream.graph_leaves_out_fills") && matches!(step, Step::Fill { .. }) {
                return Ok(());
            }
            captured.push(step.clone());
            if !runs {
                return Ok(());
            }
        }
        self.push(&mut state, step);
        self.settle_if_synchronous(state);
        Ok(())
    }

    /// Enqueues the calls of a graph as one.
    pub fn enqueue_all(&self, steps: Vec<Step>) -> Result<()> {
        let mut state = self.lock();
        self.check(&mut state)?;
        for step in steps {
            self.push(&mut state, step);
        }
        self.settle_if_synchronous(state);
        Ok(())
    }

    fn check(&self, state: &mut State) -> Result<()> {
        if state.cause.is_some() && self.is("stream.later_cause_replaces_the_first") {
            let later = Error::new(ErrorKind::Execution, "the stream can no longer be used");
            state.cause = Some(later.with_sequence(state.enqueued));
        }
        state.check()
    }

    fn settle_if_synchronous(&self, state: MutexGuard<'_, State>) {
        if self.is("stream.runs_at_once") {
            let target = state.enqueued;
            // Without a limit: a step of this device always ends.
            drop(self.wait_until(state, Duration::MAX, |s| s.done >= target));
        }
    }

    fn push(&self, state: &mut State, step: Step) {
        let ticket = match &step {
            Step::Record(event) => event.issue(self.is("stream.event_recorded_again_stays_passed")),
            Step::Wait(event) => event.latest(),
            _ => 0,
        };
        let mut place = state.queue.len();
        if let Step::Record(event) = &step {
            if self.is("stream.event_passes_too_early") {
                event.pass(ticket, None);
            }
            if self.is("stream.record_stands_before_the_last_call") {
                place = place.saturating_sub(1);
            }
        }
        let job = Job { step, sequence: state.enqueued, ticket };
        state.enqueued += 1;
        state.queue.insert(place, job);
        self.changed.notify_all();
    }

    /// Empties the queue until the stream is closed.
    pub fn work(&self) {
        loop {
            let mut state = self.lock();
            while state.queue.is_empty() && !state.closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let overtake = self.is("stream.copies_overtake_runs")
                && matches!(state.queue.front(), Some(Job { step: Step::Run { .. }, .. }))
                && matches!(state.queue.get(1), Some(Job { step: Step::Copy { .. }, .. }));
            let Some(job) = state.queue.remove(usize::from(overtake)) else { return };
            let cause = state.cause.clone();
            drop(state);
            std::thread::sleep(self.lag);
            let outcome = self.carry_out(&job, cause);
            let mut state = self.lock();
            if let Err(error) = outcome {
                state.cause.get_or_insert(error);
            }
            state.done += 1;
            self.changed.notify_all();
        }
    }

    /// Carries out one call, or only says why not if the stream is poisoned.
    fn carry_out(&self, job: &Job, cause: Option<Error>) -> Result<()> {
        match (&job.step, cause) {
            (Step::Record(event), cause) => {
                let told = if self.is("stream.poison_is_not_passed_by_events") { None } else { cause };
                event.pass(job.ticket, told);
                Ok(())
            }
            (Step::Read { slot, .. }, Some(cause)) => {
                slot.fill(Err(cause));
                Ok(())
            }
            (_, Some(_)) => Ok(()),
            (Step::Run { kernel, views, workspace, rows_hint }, None) => {
                run(kernel, views, *workspace, *rows_hint).map_err(|e| e.with_sequence(job.sequence))
            }
            (Step::Wait(event), None) => event.await_ticket(job.ticket, None),
            (step, None) => {
                self.transfer(step);
                Ok(())
            }
        }
    }

    fn transfer(&self, step: &Step) {
        match step {
            Step::Copy { dst, src } => {
                let low = if self.is("stream.unaligned_copy_rounds_down") { 3 } else { 0 };
                let len = if self.is("stream.copy_drops_the_tail") { src.len - src.len % 16 } else { src.len };
                let (from, to) = ((src.addr & !low) as *const u8, (dst.addr & !low) as *mut u8);
                // SAFETY: the caller promises live ranges; a planted one moves at most 3 bytes, inside the allocation.
                unsafe { std::ptr::copy(from, to, len) };
            }
            Step::Fill { dst, byte } => {
                let len = match dst.len {
                    len if self.is("stream.fill_misses_the_last_byte") => len.saturating_sub(1),
                    len if self.is("stream.fill_works_in_whole_words") => len.next_multiple_of(4),
                    len => len,
                };
                // SAFETY: as above.
                unsafe { std::ptr::write_bytes(dst.addr as *mut u8, *byte, len) };
            }
            Step::Write { dst, bytes } => {
                let from = match bytes {
                    Bytes::Owned(bytes) => bytes.as_ptr(),
                    Bytes::Borrowed(addr) => *addr as *const u8,
                };
                // SAFETY: as above, and lengths were compared; borrowed bytes are small and still mapped.
                unsafe { std::ptr::copy(from, dst.addr as *mut u8, dst.len) };
            }
            Step::Read { src, slot } => {
                let mut bytes = vec![0; src.len];
                // SAFETY: the caller promises a live range.
                unsafe { std::ptr::copy(src.addr as *const u8, bytes.as_mut_ptr(), src.len) };
                slot.fill(Ok(bytes));
            }
            Step::Run { .. } | Step::Record(_) | Step::Wait(_) => {}
        }
    }
}

fn run(kernel: &Kernel, views: &[Option<View>], workspace: Mem, rows_hint: usize) -> Result<()> {
    let op = &kernel.op;
    let failed = |text: &str| Err(Error::new(ErrorKind::Execution, text.to_owned()).with_op(op.kind()));
    if kernel.fails {
        return failed("the engine stopped halfway, as it was told to");
    }
    let call = Call { op, views, workspace, rows_hint, kept: &kernel.kept, variant: kernel.variant };
    match catch_unwind(AssertUnwindSafe(|| ops::run(&call))) {
        Ok(()) => Ok(()),
        Err(_) => failed("a kernel stopped halfway, look at its arguments"),
    }
}
