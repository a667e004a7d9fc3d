//! Events: points in a stream, without times.

use crate::context::Context;
use crate::stream::{finished, wait_until};
use cudarc::driver::sys::{self as cu, CUevent, CUstream};
use omnihal::{Error, Event, Result};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// `CU_EVENT_DISABLE_TIMING`: an event that only orders is cheaper.
const DISABLE_TIMING: u32 = 2;
/// `CU_EVENT_RECORD_EXTERNAL` and `CU_EVENT_WAIT_EXTERNAL`: in a capture, the mark and the wait become nodes that act at each replay.
const EXTERNAL: u32 = 1;

/// A point in a stream.
pub(crate) struct CudaEvent {
    context: Arc<Context>,
    handle: CUevent,
}

// SAFETY: the driver's events may be used from any thread.
unsafe impl Send for CudaEvent {}
// SAFETY: as above.
unsafe impl Sync for CudaEvent {}

impl CudaEvent {
    pub(crate) fn new(context: &Arc<Context>) -> Result<CudaEvent> {
        context.enter()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one handle, in the context just made current.
        context.check(unsafe { cu::cuEventCreate(&mut handle, DISABLE_TIMING) }, "cuEventCreate")?;
        Ok(CudaEvent { context: context.clone(), handle })
    }

    /// Marks the present end of a stream of the same context, which is current.
    pub(crate) fn record(&self, stream: CUstream, capturing: bool) -> Result<()> {
        let flags = if capturing { EXTERNAL } else { 0 };
        // SAFETY: both handles are alive and of the current context.
        self.context.check(unsafe { cu::cuEventRecordWithFlags(self.handle, stream, flags) }, "cuEventRecordWithFlags")
    }

    /// Makes later work of the stream wait.
    pub(crate) fn hold(&self, stream: CUstream, capturing: bool) -> Result<()> {
        let flags = if capturing { EXTERNAL } else { 0 };
        // SAFETY: both handles are alive and of the current context.
        self.context.check(unsafe { cu::cuStreamWaitEvent(stream, self.handle, flags) }, "cuStreamWaitEvent")
    }
}

impl Event for CudaEvent {
    fn poll(&self) -> Result<bool> {
        self.context.enter()?;
        // SAFETY: the handle is alive.
        finished(&self.context, unsafe { cu::cuEventQuery(self.handle) }, "cuEventQuery")
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        wait_until(timeout, || self.poll())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for CudaEvent {
    fn drop(&mut self) {
        let context = &self.context;
        // SAFETY: the handle is this object's own and is not used again; the driver defers what a stream still needs.
        context.note(
            context
                .enter()
                .and_then(|()| context.check(unsafe { cu::cuEventDestroy_v2(self.handle) }, "cuEventDestroy")),
        );
    }
}

/// Gives this backend its own event back.
pub(crate) fn own(event: &dyn Event) -> Result<&CudaEvent> {
    let other = || Error::argument("an event of another device was given to a cuda stream; make it on this device");
    event.as_any().downcast_ref::<CudaEvent>().ok_or_else(other)
}
