//! Streams: every call only enqueues, every wait has a limit, and nothing runs on the default stream.

use crate::capture::Capture;
use crate::context::Context;
use crate::errors::FirstCause;
use crate::event::{self, milliseconds, passed_already};
use crate::graph::{self, AscendGraph, Captured};
use crate::ops::{self, Scratch, Target};
use crate::pool::Pool;
use crate::staging::Staging;
use crate::sys::call::Acl;
use crate::sys::constants::{ACL_STOP_ON_FAILURE, aclrtMemcpyKind, aclrtStreamStatus};
use crate::sys::types::aclrtStream;
use omnihal::{Args, Error, ErrorKind, Event, Graph, Mem, Plan, Result, Stream};
use std::any::Any;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of device memory through which pinned memory is filled and copied.
const PART: usize = 1 << 20;
/// How long the drop of a stream waits for its work.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// A queue of the device.
pub(crate) struct AscendStream {
    context: Arc<Context>,
    pool: Arc<Pool>,
    handle: aclrtStream,
    /// The first failure after which this stream takes no more work.
    failed: FirstCause,
    capture: Capture,
    staging: Mutex<Staging>,
    scratch: Mutex<Scratches>,
}

/// Workspace of calls that run now, and of those that are being captured: a graph may run beside this stream.
struct Scratches {
    now: Scratch,
    captured: Scratch,
}

impl Scratches {
    fn of(&mut self, captured: bool) -> &mut Scratch {
        if captured { &mut self.captured } else { &mut self.now }
    }
}

impl AscendStream {
    pub(crate) fn new(pool: &Arc<Pool>) -> Result<Self> {
        let context = pool.context();
        let acl = context.enter()?;
        let mut handle = aclrtStream::NULL;
        // SAFETY: a place to write to.
        context.check("aclrtCreateStream", unsafe { acl.aclrtCreateStream(&mut handle) }?)?;
        let staging = Mutex::new(Staging::new(context, handle));
        let stream = AscendStream {
            context: context.clone(),
            pool: pool.clone(),
            handle,
            failed: FirstCause::default(),
            capture: Capture::default(),
            staging,
            scratch: Mutex::new(Scratches {
                now: Scratch::new(pool, handle, false),
                captured: Scratch::new(pool, handle, true),
            }),
        };
        // Otherwise later work runs on what a failed task left, and its results look like results.
        // SAFETY: the handle was just made; nothing was enqueued.
        let code = unsafe { acl.aclrtSetStreamFailureMode(handle, ACL_STOP_ON_FAILURE) }?;
        match context.check("aclrtSetStreamFailureMode", code) {
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
            _ => Ok(stream),
        }
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn handle(&self) -> aclrtStream {
        self.handle
    }

    pub(crate) fn is_captured(&self) -> bool {
        self.capture.is_active()
    }

    fn staging(&self) -> MutexGuard<'_, Staging> {
        // Slots are marked busy before use, so a panic elsewhere leaves them consistent.
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scratch(&self) -> MutexGuard<'_, Scratches> {
        // A block is pushed only once it is whole.
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime's functions, unless the stream failed or the device is lost.
    fn enter(&self) -> Result<&Acl> {
        self.failed.check()?;
        self.context.enter()
    }

    /// Keeps the first failure that leaves the stream useless.
    fn keep<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.failed.record(error))
    }

    fn check(&self, call: &str, code: i32) -> Result<()> {
        self.keep(self.context.check(call, code))
    }

    fn idle(&self) -> Result<bool> {
        let acl = self.enter()?;
        let mut status = aclrtStreamStatus::default();
        // SAFETY: the handle is alive, and there is a place to write to.
        self.check("aclrtStreamQuery", unsafe { acl.aclrtStreamQuery(self.handle, &mut status) }?)?;
        Ok(status == aclrtStreamStatus::ACL_STREAM_STATUS_COMPLETE)
    }

    fn wait_idle(&self, timeout: Duration) -> Result<()> {
        let Some(limit) = milliseconds(timeout) else { return passed_already(self.idle()?) };
        let acl = self.enter()?;
        // SAFETY: the handle is alive.
        let code = unsafe { acl.aclrtSynchronizeStreamWithTimeout(self.handle, limit) }?;
        self.check("aclrtSynchronizeStreamWithTimeout", code)
    }
}

impl AscendStream {
    /// Enqueues a fill of device memory.
    ///
    /// # Safety
    /// The range must stay alive until the stream has passed this call.
    unsafe fn fill_device(&self, to: *mut c_void, len: usize, byte: u8) -> Result<()> {
        let acl = self.enter()?;
        // SAFETY: the caller's promise.
        let code = unsafe { acl.aclrtMemsetAsync(to, len, byte.into(), len, self.handle) }?;
        self.check("aclrtMemsetAsync", code)
    }

    /// Enqueues a fill of pinned memory by way of device memory: the vendor fills the device's in a stream's order.
    ///
    /// # Safety
    /// The range must stay alive until the stream has passed this call.
    unsafe fn fill_pinned(&self, dst: Mem, byte: u8) -> Result<()> {
        let mut scratch = self.scratch();
        let from = scratch.of(self.capture.is_active()).at_least(dst.len.min(PART) as u64)?;
        // SAFETY: the workspace has this many bytes.
        unsafe { self.fill_device(from, dst.len.min(PART), byte) }?;
        for at in (0..dst.len).step_by(PART) {
            let (to, len) = (dst.addr + at as u64, PART.min(dst.len - at));
            // SAFETY: the caller's promise, and as above.
            unsafe { self.copy_part(to, from as u64, len, aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_HOST) }?;
        }
        Ok(())
    }

    /// Enqueues one copy.
    ///
    /// # Safety
    /// Both ranges must stay alive until the stream has passed this call.
    unsafe fn copy_part(&self, to: u64, from: u64, len: usize, kind: aclrtMemcpyKind) -> Result<()> {
        let (to, from) = (to as *mut c_void, from as *const c_void);
        // SAFETY: the caller's promise.
        let code = unsafe { self.enter()?.aclrtMemcpyAsync(to, len, from, len, kind, self.handle) }?;
        self.check("aclrtMemcpyAsync", code)
    }

    /// Enqueues a copy between pinned ranges by way of device memory.
    ///
    /// # Safety
    /// As for [`AscendStream::copy_part`].
    unsafe fn relay(&self, to: u64, from: u64, len: usize) -> Result<()> {
        let mut scratch = self.scratch();
        let middle = scratch.of(self.capture.is_active()).at_least(len.min(PART) as u64)? as u64;
        for at in (0..len).step_by(PART) {
            let (at, part) = (at as u64, PART.min(len - at));
            // SAFETY: the caller's promise; the workspace has a part's bytes, and the stream passes one copy after the other.
            unsafe {
                self.copy_part(middle, from + at, part, aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_DEVICE)?;
                self.copy_part(to + at, middle, part, aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_HOST)?;
            }
        }
        Ok(())
    }
}

fn same_length(dst: usize, src: usize) -> Result<()> {
    match dst == src {
        true => Ok(()),
        false => Err(Error::argument(format!("a copy of {src} bytes to {dst} bytes was asked; both must be equal"))),
    }
}

/// The direction of a copy; `None` between two host ranges, which the vendor does not copy in a stream's order.
fn direction(context: &Context, dst: Mem, src: Mem) -> Option<aclrtMemcpyKind> {
    match (context.is_pinned(src.addr), context.is_pinned(dst.addr)) {
        (false, false) => Some(aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_DEVICE),
        (true, false) => Some(aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_DEVICE),
        (false, true) => Some(aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_HOST),
        (true, true) => None,
    }
}

impl Stream for AscendStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let plan = ops::own(plan)?;
        self.enter()?;
        let mut scratch = self.scratch();
        let scratch = scratch.of(self.capture.is_active());
        let target = Target { context: &self.context, stream: self.handle, scratch };
        self.keep(plan.run(target, args).map_err(|error| self.context.keep(error)))?;
        self.capture.count();
        Ok(())
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        same_length(dst.len, src.len)?;
        self.enter()?;
        if src.len == 0 {
            return Ok(());
        }
        match direction(&self.context, dst, src) {
            // SAFETY: the caller keeps both ranges alive and apart.
            Some(kind) => unsafe { self.copy_part(dst.addr, src.addr, src.len, kind) }?,
            // SAFETY: as above.
            None => unsafe { self.relay(dst.addr, src.addr, src.len) }?,
        }
        self.capture.count();
        Ok(())
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        self.enter()?;
        if dst.len == 0 {
            return Ok(());
        }
        match self.context.is_pinned(dst.addr) {
            // SAFETY: the caller keeps the range alive.
            true => unsafe { self.fill_pinned(dst, byte) }?,
            // SAFETY: as above.
            false => unsafe { self.fill_device(dst.addr as *mut c_void, dst.len, byte) }?,
        }
        self.capture.count();
        Ok(())
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        same_length(dst.len, src.len())?;
        self.capture.none("write")?;
        self.failed.check()?;
        let pinned = self.context.is_pinned(dst.addr);
        // SAFETY: the caller keeps `dst` alive.
        let part = |to, slot, len| unsafe {
            match pinned {
                true => self.relay(to, slot, len),
                false => self.copy_part(to, slot, len, aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_DEVICE),
            }
        };
        self.keep(self.staging().write(dst.addr, src, part))
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        same_length(dst.len(), src.len)?;
        self.capture.none("read")?;
        self.failed.check()?;
        if self.context.is_pinned(src.addr) {
            self.wait_idle(timeout)?;
            // SAFETY: the caller says that `src` is alive; no work of the stream is left that could write to it.
            unsafe { dst.as_mut_ptr().copy_from_nonoverlapping(src.addr as *const u8, src.len) };
            return Ok(());
        }
        // SAFETY: the caller says that `src` is alive.
        self.keep(unsafe { self.staging().read(src.addr, dst, timeout) })
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = event::own(event)?;
        self.failed.check()?;
        if self.capture.keeps(event, true) { Ok(()) } else { self.keep(event.record(self.handle)) }
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let event = event::own(event)?;
        self.failed.check()?;
        if self.capture.keeps(event, false) { Ok(()) } else { self.keep(event.hold(self.handle)) }
    }

    fn begin_capture(&self) -> Result<()> {
        self.failed.check()?;
        self.capture.begin(&self.context, self.handle)
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        let (handle, calls) = self.capture.end(&self.context, self.handle)?;
        let scratch = self.scratch().captured.take();
        let captured = Captured { handle, calls, events: self.capture.events(), scratch };
        Ok(Box::new(AscendGraph::new(&self.context, captured)?))
    }

    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        let graph = graph::own(graph)?;
        self.capture.none("launch")?;
        self.failed.check()?;
        self.keep(graph.launch(self.handle))
    }

    fn poll(&self) -> Result<bool> {
        self.capture.none("poll")?;
        self.idle()
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.capture.none("sync")?;
        self.wait_idle(timeout)
    }
}

impl Drop for AscendStream {
    fn drop(&mut self) {
        let context = self.context.clone();
        if self.capture.none("drop").is_err() {
            context
                .note(self.capture.end(&context, self.handle).and_then(|(graph, _)| graph::destroy(&context, graph)));
        }
        // On a lost device nothing runs any more.
        let idle = self.wait_idle(DROP_LIMIT).is_ok() || context.health().is_err();
        if !idle {
            // Destroying it would wait without a limit, and its slots are still in use.
            self.scratch().now.leak();
            return self.staging().leak();
        }
        self.pool.passed(self.handle);
        let destroyed = context.enter_anyway().and_then(|acl| {
            // SAFETY: the handle is this object's own and is not used again.
            context.check("aclrtDestroyStream", unsafe { acl.aclrtDestroyStream(self.handle) }?)
        });
        context.note(destroyed);
    }
}

/// Gives this backend its own stream back.
pub(crate) fn own(stream: &dyn Stream) -> Result<&AscendStream> {
    let other = || Error::argument("a stream of another device was given: make it on an ascend device");
    (stream as &dyn Any).downcast_ref::<AscendStream>().ok_or_else(other)
}
