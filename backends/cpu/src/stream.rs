//! Streams and events: work runs in the call that enqueues it, so both only have to remember failures.

use crate::ops::{CpuPlan, Ctx};
use crate::pool::Pool;
use crate::simd;
use omnihal::{Args, Error, ErrorKind, Event, Mem, Plan, Result, Stream};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct State {
    /// Runs begun.
    sequence: u64,
    /// The first failure.
    cause: Option<Error>,
}

/// An ordered queue whose calls finish before they return.
pub(crate) struct CpuStream {
    pool: Arc<Pool>,
    /// Held during a call: calls from several threads take effect one after the other.
    state: Mutex<State>,
}

/// Remembers the failure of the stream it was recorded on.
#[derive(Default)]
pub(crate) struct CpuEvent {
    cause: Mutex<Option<Error>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ready(cause: &Option<Error>) -> Result<()> {
    match cause {
        None => Ok(()),
        Some(error) => Err(error.clone()),
    }
}

fn same_length(dst: usize, src: usize) -> Result<()> {
    if dst == src {
        return Ok(());
    }
    Err(Error::argument(format!("a copy of {src} bytes to {dst} bytes was asked; both must be equal")))
}

impl CpuStream {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        CpuStream { pool, state: Mutex::default() }
    }

    /// The state, once every earlier call has finished, unless one of them failed.
    fn enter(&self) -> Result<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        ready(&state.cause)?;
        Ok(state)
    }

    fn execute(&self, plan: &CpuPlan, args: &Args<'_>) -> Result<()> {
        let ctx = Ctx { pool: &self.pool, simd: simd::kernels() };
        catch_unwind(AssertUnwindSafe(|| (plan.kernel)(&plan.op, args, &ctx))).unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Execution, "a kernel stopped halfway because of a fault of its own; report it"))
        })
    }
}

impl Stream for CpuStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let Some(plan) = (plan as &dyn Any).downcast_ref::<CpuPlan>() else {
            return Err(Error::argument("a plan of another device was given to a cpu stream; plan it on this device"));
        };
        let mut state = self.enter()?;
        let sequence = state.sequence;
        state.sequence += 1;
        self.execute(plan, args).map_err(|error| {
            let error = error.with_op(plan.op.kind()).with_sequence(sequence);
            if error.kind() == ErrorKind::Execution {
                state.cause = Some(error.clone());
            }
            error
        })
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        same_length(dst.len, src.len)?;
        let _state = self.enter()?;
        // SAFETY: the caller promises that both ranges are alive and do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(src.addr as *const u8, dst.addr as *mut u8, src.len) };
        Ok(())
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        let _state = self.enter()?;
        // SAFETY: the caller promises that the range is alive.
        unsafe { std::ptr::write_bytes(dst.addr as *mut u8, byte, dst.len) };
        Ok(())
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        same_length(dst.len, src.len())?;
        let _state = self.enter()?;
        // SAFETY: the caller promises that `dst` is alive; `src` is borrowed, and no device memory is.
        unsafe { std::ptr::copy_nonoverlapping(src.as_ptr(), dst.addr as *mut u8, src.len()) };
        Ok(())
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], _timeout: Duration) -> Result<()> {
        same_length(dst.len(), src.len)?;
        let _state = self.enter()?;
        // SAFETY: the caller promises that `src` is alive; `dst` is borrowed for writing.
        unsafe { std::ptr::copy_nonoverlapping(src.addr as *const u8, dst.as_mut_ptr(), src.len) };
        Ok(())
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = own(event)?;
        let state = lock(&self.state);
        *lock(&event.cause) = state.cause.clone();
        ready(&state.cause)
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let cause = lock(&own(event)?.cause).clone();
        let mut state = self.enter()?;
        state.cause = cause;
        ready(&state.cause)
    }

    fn poll(&self) -> Result<bool> {
        self.enter().map(|_| true)
    }

    fn sync(&self, _timeout: Duration) -> Result<()> {
        self.enter().map(|_| ())
    }
}

fn own(event: &dyn Event) -> Result<&CpuEvent> {
    let other = || Error::argument("an event of another device was given to a cpu stream; make it on this device");
    event.as_any().downcast_ref::<CpuEvent>().ok_or_else(other)
}

impl Event for CpuEvent {
    fn poll(&self) -> Result<bool> {
        ready(&lock(&self.cause)).map(|()| true)
    }

    fn sync(&self, _timeout: Duration) -> Result<()> {
        ready(&lock(&self.cause))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::op::copy::Fill;
    use omnihal::{DType, Severity};

    fn stream() -> CpuStream {
        CpuStream::new(Arc::new(Pool::new(2).unwrap()))
    }

    fn failing(kind: ErrorKind) -> CpuPlan {
        let op = Fill { shape: [1].into(), value: 0.0, dtype: DType::F32 }.into();
        let kernel: crate::ops::Kernel = match kind {
            ErrorKind::Execution => |_, _, _| panic!("planted"),
            _ => |_, _, _| Err(Error::argument("refused")),
        };
        CpuPlan { op, kernel, workspace: 0 }
    }

    fn run(stream: &CpuStream, kind: ErrorKind) -> Result<()> {
        // SAFETY: the planted kernels touch no memory.
        unsafe { stream.run(&failing(kind), &Args::new(&[])) }
    }

    #[test]
    fn a_failure_poisons_the_stream_and_keeps_the_first_cause() {
        let stream = stream();
        assert_eq!(run(&stream, ErrorKind::InvalidArgument).unwrap_err().sequence(), Some(0));
        stream.sync(Duration::ZERO).unwrap();
        let first = run(&stream, ErrorKind::Execution).unwrap_err();
        assert_eq!((first.severity(), first.sequence()), (Severity::StreamPoisoned, Some(1)));
        assert_eq!(run(&stream, ErrorKind::InvalidArgument).unwrap_err(), first);
        assert_eq!(stream.sync(Duration::ZERO).unwrap_err(), first);
    }

    #[test]
    fn a_poisoned_event_poisons_the_stream_that_waits() {
        let (bad, good, event) = (stream(), stream(), CpuEvent::default());
        good.wait(&event).unwrap();
        let first = run(&bad, ErrorKind::Execution).unwrap_err();
        assert_eq!(bad.record(&event).unwrap_err(), first);
        assert_eq!(event.poll().unwrap_err(), first);
        assert_eq!(good.wait(&event).unwrap_err(), first);
        assert_eq!(good.poll().unwrap_err(), first);
    }

    #[test]
    fn copies_of_unequal_length_are_refused() {
        let (mut a, b) = ([0u8; 4], [1u8; 5]);
        let dst = Mem { addr: a.as_mut_ptr() as u64, len: 4 };
        // SAFETY: the ranges are alive; the call is refused before it touches them.
        assert!(unsafe { stream().write(dst, &b) }.is_err());
    }
}
