//! Streams: each has a worker with a queue, so that what is not waited for has not happened yet.

mod engine;
mod event;
#[cfg(test)]
mod tests;
mod variants;

pub use engine::Step;
pub use event::HostEvent;
pub use variants::{VARIANTS, is};

use crate::Variant;
use crate::device::HostPlan;
use crate::graph::HostGraph;
use engine::{Bytes, Engine, Slot, State};
use omnihal::{Args, Error, ErrorKind, Event, Graph, Mem, Plan, Result, Stream};
use std::any::Any;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What a wait that forgets its limit is given instead: long enough to be seen, short enough for a test to end.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Host bytes up to which a broken `write` returns before it has copied them. Beyond, the allocator may unmap them.
const DEFERRED: usize = 32 << 10;

/// A queue and its worker.
pub struct HostStream {
    engine: Arc<Engine>,
    worker: Option<JoinHandle<()>>,
}

impl HostStream {
    /// Starts a stream; `ordinal` counts the streams of the device.
    pub fn new(variant: Option<&'static Variant>, ordinal: usize) -> Result<HostStream> {
        let engine = Arc::new(Engine::new(variant, ordinal));
        let worker = {
            let engine = engine.clone();
            std::thread::Builder::new().name(format!("variant-{ordinal}")).spawn(move || engine.work())
        };
        match worker {
            Ok(worker) => Ok(HostStream { engine, worker: Some(worker) }),
            Err(error) => Err(Error::new(ErrorKind::Io, format!("no thread could be started for a stream: {error}"))),
        }
    }

    fn is(&self, id: &str) -> bool {
        is(self.engine.variant, id)
    }

    /// A call that is refused changes nothing.
    fn refuse<T>(&self, error: Error) -> Result<T> {
        if self.is("stream.rejected_call_poisons_the_stream") {
            self.engine.lock().cause.get_or_insert(error.clone());
        }
        Err(error)
    }

    fn equal_lengths(&self, dst: &mut Mem, src: usize) -> Result<()> {
        if dst.len == src {
            return Ok(());
        }
        if self.is("stream.unequal_copy_is_cut") {
            dst.len = dst.len.min(src);
            return Ok(());
        }
        self.refuse(Error::argument(format!(
            "a copy of {src} bytes into {} bytes was asked for, expected equal lengths",
            dst.len
        )))
    }

    fn own_event<'a>(&self, event: &'a dyn Event) -> Result<&'a HostEvent> {
        match event.as_any().downcast_ref() {
            Some(event) => Ok(event),
            None => self.refuse(Error::argument("the event belongs to another device, expected one of this device")),
        }
    }

    /// Waits until the work enqueued so far is done.
    fn settle(&self, timeout: Duration) -> Result<()> {
        let state = self.engine.lock();
        state.refuse_in_capture("a wait")?;
        let mut target = state.enqueued;
        if self.is("stream.sync_returns_before_the_last_call") {
            target = target.saturating_sub(1);
        }
        let state = self.engine.wait_until(state, timeout, |s| s.done >= target)?;
        state.cause.clone().map_or(Ok(()), Err)
    }
}

impl Stream for HostStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let Some(plan) = (plan as &dyn Any).downcast_ref::<HostPlan>() else {
            if self.is("stream.foreign_plan_is_ignored") {
                return Ok(());
            }
            let error = Error::argument("the plan was made by another device, expected one of this device");
            return self.refuse(error.with_op(plan.op().kind()));
        };
        self.engine.enqueue(Step::Run {
            kernel: plan.0.clone(),
            views: args.views.into(),
            workspace: args.workspace,
            rows_hint: args.rows_hint,
        })
    }

    unsafe fn copy(&self, mut dst: Mem, src: Mem) -> Result<()> {
        self.equal_lengths(&mut dst, src.len)?;
        self.engine.enqueue(Step::Copy { dst, src })
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        self.engine.enqueue(Step::Fill { dst, byte })
    }

    unsafe fn write(&self, mut dst: Mem, src: &[u8]) -> Result<()> {
        self.equal_lengths(&mut dst, src.len())?;
        self.engine.lock().refuse_in_capture("a write")?;
        let deferred = self.is("stream.write_returns_before_it_has_copied") && src.len() <= DEFERRED;
        let bytes = if deferred { Bytes::Borrowed(src.as_ptr() as u64) } else { Bytes::Owned(src.into()) };
        self.engine.enqueue(Step::Write { dst, bytes })
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        let mut target = Mem { addr: 0, len: dst.len() };
        self.equal_lengths(&mut target, src.len)?;
        if self.is("stream.read_does_not_wait_for_earlier_work") {
            // SAFETY: the caller promises a live range; lengths were compared or cut.
            unsafe { std::ptr::copy(src.addr as *const u8, dst.as_mut_ptr(), target.len) };
            return Ok(());
        }
        self.engine.lock().refuse_in_capture("a read")?;
        let slot = Arc::new(Slot::default());
        self.engine.enqueue(Step::Read { src: Mem { len: target.len, ..src }, slot: slot.clone() })?;
        let forgets = self.is("stream.read_ignores_its_timeout");
        let bytes = slot.take(if forgets { FORGOTTEN } else { timeout })?;
        dst[..bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = self.own_event(event)?.core.clone();
        let cause = self.engine.lock().cause.clone();
        if cause.is_some() && !self.is("stream.poison_is_not_passed_by_events") {
            let ticket = event.issue(false);
            event.pass(ticket, cause);
        }
        self.engine.enqueue(Step::Record(event))
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let event = self.own_event(event)?.core.clone();
        if self.is("stream.wait_is_ignored") {
            return Ok(());
        }
        self.engine.enqueue(Step::Wait(event))
    }

    fn begin_capture(&self) -> Result<()> {
        if self.is("stream.capture_is_not_there_though_promised") || self.is("stream.without_graphs") {
            return Err(Error::unsupported("this device does not capture graphs"));
        }
        let mut state = self.engine.lock();
        state.check()?;
        state.refuse_in_capture("a second capture")?;
        state.captured = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        let mut state = self.engine.lock();
        state.check()?;
        let Some(steps) = state.captured.take() else {
            drop(state);
            return self
                .refuse(Error::new(ErrorKind::InvalidState, "no capture was begun on this stream, begin one first"));
        };
        if self.is("stream.capture_does_not_end") {
            state.captured = Some(Vec::new());
        }
        Ok(Box::new(HostGraph::new(steps, self.engine.variant, self.engine.ordinal)))
    }

    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        let Some(graph) = graph.as_any().downcast_ref::<HostGraph>() else {
            return self.refuse(Error::argument("the graph belongs to another device, expected one of this device"));
        };
        self.engine.lock().refuse_in_capture("a launch")?;
        self.engine.enqueue_all(graph.steps(self.engine.ordinal)?)
    }

    fn poll(&self) -> Result<bool> {
        if self.is("stream.poll_waits_for_the_work") {
            return self.settle(FORGOTTEN).map(|()| true);
        }
        let state: &State = &self.engine.lock();
        state.check()?;
        state.refuse_in_capture("a poll")?;
        Ok(state.done >= state.enqueued || self.is("stream.poll_is_always_true"))
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        if self.is("stream.waits_are_let_through_while_capturing") && self.engine.lock().captured.is_some() {
            return Ok(());
        }
        let forgets = self.is("stream.sync_ignores_its_timeout");
        let outcome = self.settle(if forgets { FORGOTTEN } else { timeout });
        if let Err(error) = &outcome {
            let mut state = self.engine.lock();
            if error.kind() == ErrorKind::Timeout && self.is("stream.timeout_poisons_the_stream") {
                state.cause.get_or_insert(error.clone());
            }
            if self.is("stream.poison_is_forgotten_after_sync") {
                state.cause = None;
            }
        }
        outcome
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        self.engine.close();
        if let Some(worker) = self.worker.take() {
            // The worker catches what its kernels throw, so the join cannot fail.
            let _ = worker.join();
        }
    }
}
