//! Events: points in a stream, without times.

use crate::context::Context;
use crate::sys::constants::{ACL_EVENT_SYNC, aclrtEventRecordedStatus};
use crate::sys::types::{aclrtEvent, aclrtStream};
use omnihal::{Error, ErrorKind, Event, Result};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// A point in a stream. Clones are the same event.
#[derive(Clone)]
pub(crate) struct AscendEvent(Arc<Owned>);

struct Owned {
    context: Arc<Context>,
    handle: aclrtEvent,
}

impl AscendEvent {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self> {
        let acl = context.enter()?;
        let mut handle = aclrtEvent::NULL;
        // Without this flag no stream can wait for it.
        // SAFETY: a place to write to.
        let code = unsafe { acl.aclrtCreateEventExWithFlag(&mut handle, ACL_EVENT_SYNC) }?;
        context.check("aclrtCreateEventExWithFlag", code)?;
        Ok(AscendEvent(Arc::new(Owned { context: context.clone(), handle })))
    }

    /// Marks the present end of a stream of the same context.
    pub(crate) fn record(&self, stream: aclrtStream) -> Result<()> {
        let acl = self.0.context.enter()?;
        // SAFETY: both handles are alive and of the current context.
        self.0.context.check("aclrtRecordEvent", unsafe { acl.aclrtRecordEvent(self.0.handle, stream) }?)
    }

    /// Makes later work of a stream of the same context wait.
    pub(crate) fn hold(&self, stream: aclrtStream) -> Result<()> {
        let acl = self.0.context.enter()?;
        // SAFETY: both handles are alive and of the current context.
        let code = unsafe { acl.aclrtStreamWaitEvent(stream, self.0.handle) }?;
        self.0.context.check("aclrtStreamWaitEvent", code)
    }
}

/// A limit as the vendor takes it, or `None` for no wait at all.
pub(crate) fn milliseconds(timeout: Duration) -> Option<i32> {
    match timeout.is_zero() {
        true => None,
        // Rounded up, so that a short limit is not none at all.
        false => Some(i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)),
    }
}

/// The answer to a wait without a limit to wait for.
pub(crate) fn passed_already(done: bool) -> Result<()> {
    match done {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Timeout, "the work has not finished, and no time to wait for it was given")),
    }
}

impl Event for AscendEvent {
    fn poll(&self) -> Result<bool> {
        let acl = self.0.context.enter()?;
        let mut status = aclrtEventRecordedStatus::default();
        // SAFETY: the handle is alive, and there is a place to write to.
        let code = unsafe { acl.aclrtQueryEventStatus(self.0.handle, &mut status) }?;
        self.0.context.check("aclrtQueryEventStatus", code)?;
        Ok(status == aclrtEventRecordedStatus::ACL_EVENT_RECORDED_STATUS_COMPLETE)
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        let Some(limit) = milliseconds(timeout) else { return passed_already(self.poll()?) };
        let acl = self.0.context.enter()?;
        // SAFETY: the handle is alive.
        let code = unsafe { acl.aclrtSynchronizeEventWithTimeout(self.0.handle, limit) }?;
        self.0.context.check("aclrtSynchronizeEventWithTimeout", code)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let context = &self.context;
        let destroyed = context.enter_anyway().and_then(|acl| {
            // SAFETY: the handle is this object's own and is not used again; the vendor allows it while work still refers to it.
            context.check("aclrtDestroyEvent", unsafe { acl.aclrtDestroyEvent(self.handle) }?)
        });
        context.note(destroyed);
    }
}

/// Gives this backend its own event back.
pub(crate) fn own(event: &dyn Event) -> Result<&AscendEvent> {
    let other = || Error::argument("an event of another device was given to an ascend stream: make it on this device");
    event.as_any().downcast_ref::<AscendEvent>().ok_or_else(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_rounded_up_and_never_wrap() {
        assert_eq!(milliseconds(Duration::ZERO), None);
        assert_eq!(milliseconds(Duration::from_nanos(1)), Some(1));
        assert_eq!(milliseconds(Duration::from_micros(1001)), Some(2));
        assert_eq!(milliseconds(Duration::from_secs(60)), Some(60_000));
        assert_eq!(milliseconds(Duration::MAX), Some(i32::MAX));
    }
}
