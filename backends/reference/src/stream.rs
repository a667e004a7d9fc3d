//! A queue that does each call at once.

use crate::device::ReferencePlan;
use omnihal::{Args, Error, ErrorKind, Event, Mem, Op, Plan, Result, Severity, Stream};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct State {
    /// Calls so far.
    sequence: u64,
    /// The first failure, returned by every call after it.
    cause: Option<Error>,
}

/// A synchronous stream. Its lock orders calls from several threads.
#[derive(Default)]
pub(crate) struct ReferenceStream {
    state: Mutex<State>,
}

/// A point in a stream: always passed, perhaps by a poisoned stream.
#[derive(Default)]
pub(crate) struct ReferenceEvent {
    cause: Mutex<Option<Error>>,
}

/// A lock is poisoned only by a panic, and what these locks guard is consistent at every point.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReferenceStream {
    /// Runs one numbered call. A failure that poisons is kept; a refusal is only returned.
    fn call(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = lock(&self.state);
        if let Some(cause) = &state.cause {
            return Err(cause.clone());
        }
        let sequence = state.sequence;
        state.sequence += 1;
        work().map_err(|error| {
            let error = error.with_sequence(sequence);
            if error.severity() != Severity::Rejected {
                state.cause = Some(error.clone());
            }
            error
        })
    }

    fn check(&self) -> Result<()> {
        lock(&self.state).cause.clone().map_or(Ok(()), Err)
    }
}

/// Evaluates and stores. Everything is read before anything is written, so outputs may alias inputs.
///
/// # Safety
/// As for [`Stream::run`].
unsafe fn execute(op: &Op, args: &Args<'_>) -> Result<()> {
    // SAFETY: the caller's promise.
    let outputs = unsafe { crate::evaluate(op, args) }?;
    for output in &outputs {
        if let Some(Some(view)) = args.views.get(output.arg) {
            crate::tensor::store(view, output).map_err(|e| Error::new(ErrorKind::Execution, e.message()))?;
        }
    }
    Ok(())
}

fn equal_lengths(dst: usize, src: usize) -> Result<()> {
    if dst == src {
        return Ok(());
    }
    Err(Error::argument(format!("a copy of {src} bytes into {dst} bytes was asked for, expected equal lengths")))
}

fn own_event(event: &dyn Event) -> Result<&ReferenceEvent> {
    event
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::argument("the event belongs to another device, expected one of this device"))
}

impl Stream for ReferenceStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let Some(plan) = (plan as &dyn Any).downcast_ref::<ReferencePlan>() else {
            return Err(Error::argument("the plan was made by another device, expected one of this device")
                .with_op(plan.op().kind()));
        };
        let op = plan.op();
        self.call(|| {
            // SAFETY: the caller's promise. A fault of the judge becomes an error of this call instead of ending the program.
            catch_unwind(AssertUnwindSafe(|| unsafe { execute(op, args) }))
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Execution, "the judge itself failed on these arguments")))
                .map_err(|e| e.with_op(op.kind()))
        })
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        self.call(|| {
            equal_lengths(dst.len, src.len)?;
            // SAFETY: the caller promises live ranges; `copy` allows them to overlap.
            unsafe { std::ptr::copy(src.addr as *const u8, dst.addr as *mut u8, src.len) };
            Ok(())
        })
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        self.call(|| {
            // SAFETY: the caller promises a live range.
            unsafe { std::ptr::write_bytes(dst.addr as *mut u8, byte, dst.len) };
            Ok(())
        })
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        self.call(|| {
            equal_lengths(dst.len, src.len())?;
            // SAFETY: the caller promises a live range, of the same length.
            unsafe { std::ptr::copy(src.as_ptr(), dst.addr as *mut u8, src.len()) };
            Ok(())
        })
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], _timeout: Duration) -> Result<()> {
        self.call(|| {
            equal_lengths(dst.len(), src.len)?;
            // SAFETY: the caller promises a live range, of the same length.
            unsafe { std::ptr::copy(src.addr as *const u8, dst.as_mut_ptr(), src.len) };
            Ok(())
        })
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = own_event(event)?;
        let outcome = self.check();
        *lock(&event.cause) = outcome.clone().err();
        outcome
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let cause = lock(&own_event(event)?.cause).clone();
        let mut state = lock(&self.state);
        if state.cause.is_none() {
            state.cause = cause;
        }
        state.cause.clone().map_or(Ok(()), Err)
    }

    fn poll(&self) -> Result<bool> {
        self.check().map(|()| true)
    }

    fn sync(&self, _timeout: Duration) -> Result<()> {
        self.check()
    }
}

impl Event for ReferenceEvent {
    fn poll(&self) -> Result<bool> {
        lock(&self.cause).clone().map_or(Ok(true), Err)
    }

    fn sync(&self, _timeout: Duration) -> Result<()> {
        self.poll().map(|_| ())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
