//! Streams: every call only enqueues, every wait has a limit, and nothing runs on the default stream.

use crate::context::{Context, NON_BLOCKING};
use crate::event;
use crate::graph::{self, CudaGraph};
use crate::modules::Function;
use crate::ops;
use crate::params::{Params, Ptr};
use crate::staging::Staging;
use cudarc::driver::sys::{self as cu, CUresult, CUstream};
use omnihal::{Args, Error, ErrorKind, Event, Graph, Mem, Plan, Result, Stream};
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the drop of a stream waits for its work.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// A queue of the device.
pub(crate) struct CudaStream {
    context: Arc<Context>,
    handle: CUstream,
    /// Runs begun.
    sequence: AtomicU64,
    capturing: AtomicBool,
    staging: Mutex<Staging>,
}

// SAFETY: the driver's streams may be used from any thread.
unsafe impl Send for CudaStream {}
// SAFETY: as above; the driver orders concurrent calls.
unsafe impl Sync for CudaStream {}

impl CudaStream {
    pub(crate) fn new(context: &Arc<Context>) -> Result<CudaStream> {
        context.enter()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one handle, in the context just made current.
        context.check(unsafe { cu::cuStreamCreate(&mut handle, NON_BLOCKING) }, "cuStreamCreate")?;
        Ok(CudaStream {
            context: context.clone(),
            handle,
            sequence: AtomicU64::new(0),
            capturing: AtomicBool::new(false),
            staging: Mutex::new(Staging::new(context, handle)),
        })
    }

    /// The context of its device.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The raw stream, for the vendor's libraries.
    pub(crate) fn handle(&self) -> CUstream {
        self.handle
    }

    fn outside_capture(&self, what: &str) -> Result<()> {
        match self.capturing.load(Acquire) {
            false => self.context.enter(),
            true => Err(Error::new(ErrorKind::InvalidState, format!("{what} during a capture: end the capture first"))),
        }
    }

    fn staging(&self) -> MutexGuard<'_, Staging> {
        // Slots are marked busy before use, so a panic elsewhere leaves them consistent.
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives this backend its own stream back.
pub(crate) fn own(stream: &dyn Stream) -> Result<&CudaStream> {
    let other = || Error::argument("a stream of another device was given to the cuda backend; make it on this device");
    (stream as &dyn Any).downcast_ref::<CudaStream>().ok_or_else(other)
}

/// Waits until `done` says so, at most `timeout`: first spinning, for the microseconds that a step lasts, then asleep.
pub(crate) fn wait_until(timeout: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    loop {
        if done()? {
            return Ok(());
        }
        let waited = start.elapsed();
        if waited >= timeout {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("the work did not finish within {timeout:?}; it may still do so"),
            ));
        }
        match waited.as_micros() {
            0..200 => std::hint::spin_loop(),
            micros => std::thread::sleep(Duration::from_micros((micros as u64 / 20).min(1000)).min(timeout - waited)),
        }
    }
}

/// The answer of a query call.
pub(crate) fn finished(context: &Context, code: CUresult, call: &str) -> Result<bool> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(true),
        CUresult::CUDA_ERROR_NOT_READY => Ok(false),
        code => context.check(code, call).map(|()| true),
    }
}

fn same_length(dst: usize, src: usize) -> Result<()> {
    match dst == src {
        true => Ok(()),
        false => Err(Error::argument(format!("a copy of {src} bytes to {dst} bytes was asked; both must be equal"))),
    }
}

/// Where a plan enqueues its launches.
#[derive(Clone, Copy)]
pub(crate) struct Queue<'a> {
    context: &'a Context,
    stream: CUstream,
}

impl Queue<'_> {
    /// The raw stream, for the vendor's libraries.
    pub(crate) fn stream(&self) -> CUstream {
        self.stream
    }

    /// The context of its device.
    pub(crate) fn context(&self) -> &Context {
        self.context
    }

    /// Enqueues one kernel. A grid without blocks is no work.
    pub(crate) fn launch<P: Params>(
        &self,
        function: Function,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        params: &P,
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let mut args = [std::ptr::from_ref(params).cast_mut().cast::<std::ffi::c_void>()];
        // SAFETY: the function was loaded in this context and takes one structure of this type, which the driver copies before it returns.
        let code = unsafe {
            cu::cuLaunchKernel(
                function.handle(),
                grid[0],
                grid[1],
                grid[2],
                threads,
                1,
                1,
                shared,
                self.stream,
                args.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        self.context.check(code, "cuLaunchKernel")
    }

    /// Enqueues a fill of `bytes` bytes.
    ///
    /// # Safety
    /// The range must stay alive until the stream has passed this call.
    pub(crate) unsafe fn fill(&self, at: Ptr, byte: u8, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: passed on from the caller.
        self.context.check(unsafe { cu::cuMemsetD8Async(at.0, byte, bytes, self.stream) }, "cuMemsetD8Async")
    }
}

impl Stream for CudaStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let plan = ops::own(plan)?;
        self.context.enter()?;
        let sequence = self.sequence.fetch_add(1, Relaxed);
        let queue = Queue { context: &self.context, stream: self.handle };
        (plan.enqueue)(plan, args, &queue).map_err(|error| error.with_op(plan.op.kind()).with_sequence(sequence))
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        same_length(dst.len, src.len)?;
        self.context.enter()?;
        if src.len == 0 {
            return Ok(());
        }
        // SAFETY: the caller keeps both ranges alive and apart. Addresses are unified: the driver finds out where each lies.
        self.context.check(unsafe { cu::cuMemcpyAsync(dst.addr, src.addr, src.len, self.handle) }, "cuMemcpyAsync")
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        self.context.enter()?;
        // SAFETY: the caller keeps the range alive.
        unsafe { Queue { context: &self.context, stream: self.handle }.fill(Ptr(dst.addr), byte, dst.len) }
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        same_length(dst.len, src.len())?;
        self.outside_capture("write")?;
        // SAFETY: the caller keeps `dst` alive.
        unsafe { self.staging().write(dst.addr, src) }
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        same_length(dst.len(), src.len)?;
        self.outside_capture("read")?;
        // SAFETY: the caller says that `src` is alive.
        unsafe { self.staging().read(src.addr, dst, timeout) }
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = event::own(event)?;
        self.context.enter()?;
        event.record(self.handle, self.capturing.load(Acquire))
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let event = event::own(event)?;
        self.context.enter()?;
        event.hold(self.handle, self.capturing.load(Acquire))
    }

    fn begin_capture(&self) -> Result<()> {
        self.outside_capture("a second capture")?;
        // Relaxed: other threads may allocate meanwhile; this crate itself refuses what a capture forbids.
        let mode = cu::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is this object's own.
        self.context.check(unsafe { cu::cuStreamBeginCapture_v2(self.handle, mode) }, "cuStreamBeginCapture")?;
        self.capturing.store(true, Release);
        Ok(())
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        self.context.enter()?;
        if !self.capturing.swap(false, Acquire) {
            return Err(Error::new(ErrorKind::InvalidState, "no capture to end: begin one on this stream first"));
        }
        let mut captured = std::ptr::null_mut();
        // SAFETY: writes one handle, null if the capture failed.
        self.context.check(unsafe { cu::cuStreamEndCapture(self.handle, &mut captured) }, "cuStreamEndCapture")?;
        // SAFETY: the graph was just made, and nothing else holds it.
        Ok(Box::new(unsafe { CudaGraph::instantiate(&self.context, captured) }?))
    }

    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        let graph = graph::own(graph)?;
        self.outside_capture("launch")?;
        graph.launch(self.handle)
    }

    fn poll(&self) -> Result<bool> {
        self.outside_capture("poll")?;
        // SAFETY: the stream is this object's own.
        finished(&self.context, unsafe { cu::cuStreamQuery(self.handle) }, "cuStreamQuery")
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.outside_capture("sync")?;
        wait_until(timeout, || self.poll())
    }
}

impl Drop for CudaStream {
    fn drop(&mut self) {
        let context = self.context.clone();
        let ended = context.enter().and_then(|()| {
            if self.capturing.swap(false, Acquire) {
                let mut captured = std::ptr::null_mut();
                // SAFETY: ends the open capture; its graph, if there is one, is destroyed at once.
                unsafe {
                    let _ = cu::cuStreamEndCapture(self.handle, &mut captured);
                    if !captured.is_null() {
                        let _ = cu::cuGraphDestroy(captured);
                    }
                }
            }
            // The staging slots may be freed only when the stream has passed them.
            let idle = wait_until(DROP_LIMIT, || self.poll());
            // SAFETY: the handle is this object's own and is not used again.
            idle.and(context.check(unsafe { cu::cuStreamDestroy_v2(self.handle) }, "cuStreamDestroy"))
        });
        context.note(ended);
    }
}
