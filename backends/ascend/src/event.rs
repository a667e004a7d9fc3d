//! Events: points in a stream, without times.

use crate::context::Context;
use crate::sys::constants::{ACL_EVENT_EXTERNAL, ACL_EVENT_SYNC, aclrtEventRecordedStatus};
use crate::sys::types::{aclrtEvent, aclrtStream};
use omnihal::{Error, ErrorKind, Event, Result, Severity};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// A point in a stream.
pub(crate) struct AscendEvent {
    context: Arc<Context>,
    handle: aclrtEvent,
}

impl AscendEvent {
    /// An event of this backend's own, never part of a capture.
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self> {
        Self::with_flags(context, ACL_EVENT_SYNC)
    }

    /// An event whose marks and waits become tasks of a graph when they are captured. Releases that lack such events give a plain one, which a capture refuses.
    pub(crate) fn external(context: &Arc<Context>) -> Result<Self> {
        Self::with_flags(context, ACL_EVENT_SYNC | ACL_EVENT_EXTERNAL).or_else(|error| match error.severity() {
            Severity::Rejected => Self::new(context),
            _ => Err(error),
        })
    }

    fn with_flags(context: &Arc<Context>, flags: u32) -> Result<Self> {
        let acl = context.enter()?;
        let mut handle = aclrtEvent::NULL;
        // Without the flag SYNC no stream can wait for it.
        // SAFETY: a place to write to.
        context.check("aclrtCreateEventExWithFlag", unsafe { acl.aclrtCreateEventExWithFlag(&mut handle, flags) }?)?;
        Ok(AscendEvent { context: context.clone(), handle })
    }

    /// Marks the present end of a stream of the same context.
    pub(crate) fn record(&self, stream: aclrtStream) -> Result<()> {
        let acl = self.context.enter()?;
        // SAFETY: both handles are alive and of the current context.
        self.context.check("aclrtRecordEvent", unsafe { acl.aclrtRecordEvent(self.handle, stream) }?)
    }

    /// Makes later work of a stream of the same context wait.
    pub(crate) fn hold(&self, stream: aclrtStream) -> Result<()> {
        let acl = self.context.enter()?;
        // SAFETY: both handles are alive and of the current context.
        self.context.check("aclrtStreamWaitEvent", unsafe { acl.aclrtStreamWaitEvent(stream, self.handle) }?)
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
        let acl = self.context.enter()?;
        let mut status = aclrtEventRecordedStatus::default();
        // SAFETY: the handle is alive, and there is a place to write to.
        self.context.check("aclrtQueryEventStatus", unsafe { acl.aclrtQueryEventStatus(self.handle, &mut status) }?)?;
        Ok(status == aclrtEventRecordedStatus::ACL_EVENT_RECORDED_STATUS_COMPLETE)
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        let Some(limit) = milliseconds(timeout) else { return passed_already(self.poll()?) };
        let acl = self.context.enter()?;
        // SAFETY: the handle is alive.
        let code = unsafe { acl.aclrtSynchronizeEventWithTimeout(self.handle, limit) }?;
        self.context.check("aclrtSynchronizeEventWithTimeout", code)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for AscendEvent {
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
