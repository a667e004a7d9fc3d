//! What both stand-ins share: memory, and streams that run late.

use omnihal::{Args, Buffer, Error, Event, Graph, Mem, MemoryKind, Plan, Result, Stream};
use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Work of a queue: returns a vendor code, 0 for success.
pub type Work = Arc<dyn Fn() -> i32 + Send + Sync>;

/// A queue that runs nothing until somebody waits, and can collect instead.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Work>,
    captured: Option<Vec<Work>>,
    /// First failure; it stays.
    failed: i32,
}

impl Queue {
    pub fn push(&self, work: Work) -> i32 {
        let mut state = self.state.lock().unwrap();
        if state.failed == 0 {
            match &mut state.captured {
                Some(captured) => captured.push(work),
                None => state.waiting.push(work),
            }
        }
        state.failed
    }

    pub fn begin_capture(&self) {
        self.state.lock().unwrap().captured = Some(Vec::new());
    }

    pub fn end_capture(&self) -> Vec<Work> {
        self.state.lock().unwrap().captured.take().unwrap_or_default()
    }

    pub fn synchronize(&self) -> i32 {
        let mut state = self.state.lock().unwrap();
        for work in std::mem::take(&mut state.waiting) {
            if state.failed == 0 {
                state.failed = work();
            }
        }
        state.failed
    }
}

/// Addresses of a strided column of floats.
#[derive(Clone, Copy)]
pub struct Column {
    pub addr: u64,
    pub rows: usize,
    pub stride: usize,
}

pub fn relu(x: Column, y: Column) {
    for i in 0..x.rows {
        // SAFETY: the stand-ins' device memory is host memory, kept alive by the program under test.
        unsafe {
            let value = *(x.addr as *const f32).add(i * x.stride);
            *(y.addr as *mut f32).add(i * y.stride) = value.max(0.0);
        }
    }
}

pub fn copy(dst: u64, src: u64, bytes: usize) {
    // SAFETY: as above; callers give ranges of live allocations.
    unsafe { std::ptr::copy_nonoverlapping(src as *const u8, dst as *mut u8, bytes) }
}

pub fn allocate(bytes: usize, kind: MemoryKind) -> Buffer {
    let memory: Arc<Vec<u64>> = Arc::new(vec![0; bytes.div_ceil(8)]);
    Buffer::new(Mem { addr: memory.as_ptr() as u64, len: bytes }, kind, memory)
}

/// Where two vendors differ.
pub trait Vendor: Send + Sync + 'static {
    /// Functions that begin a capture, make a graph of it, and launch a graph.
    const GRAPH_CALLS: [&'static str; 3];
    /// Counts a call of the vendor's interface.
    fn called(name: &'static str);
    /// A vendor code as an error of the boundary.
    fn check(code: i32) -> Result<()>;
    /// Enqueues one run of a plan.
    fn run(queue: &Queue, plan: &dyn Plan, args: &Args<'_>) -> Result<()>;
}

/// A stream of either vendor.
pub struct LateStream<V> {
    queue: Queue,
    vendor: PhantomData<V>,
}

impl<V> Default for LateStream<V> {
    fn default() -> Self {
        LateStream { queue: Queue::default(), vendor: PhantomData }
    }
}

impl<V: Vendor> Stream for LateStream<V> {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        V::run(&self.queue, plan, args)
    }
    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        V::check(self.queue.push(Arc::new(move || {
            copy(dst.addr, src.addr, src.len);
            0
        })))
    }
    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: passed on from the caller.
        unsafe { self.write(dst, &vec![byte; dst.len]) }
    }
    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // Pinned staging: the source may be reused at once.
        let staged = src.to_vec();
        V::check(self.queue.push(Arc::new(move || {
            copy(dst.addr, staged.as_ptr() as u64, staged.len());
            0
        })))
    }
    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        self.sync(timeout)?;
        copy(dst.as_mut_ptr() as u64, src.addr, dst.len());
        Ok(())
    }
    fn record(&self, _event: &dyn Event) -> Result<()> {
        Ok(())
    }
    fn wait(&self, _event: &dyn Event) -> Result<()> {
        Ok(())
    }
    fn begin_capture(&self) -> Result<()> {
        V::called(V::GRAPH_CALLS[0]);
        self.queue.begin_capture();
        Ok(())
    }
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        V::called(V::GRAPH_CALLS[1]);
        Ok(Box::new(LateGraph { nodes: self.queue.end_capture() }))
    }
    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        V::called(V::GRAPH_CALLS[2]);
        let graph = graph.as_any().downcast_ref::<LateGraph>();
        let nodes = graph.ok_or_else(|| Error::argument("a graph of another device"))?.nodes.clone();
        V::check(self.queue.push(Arc::new(move || nodes.iter().map(|n| n()).find(|&code| code != 0).unwrap_or(0))))
    }
    fn poll(&self) -> Result<bool> {
        V::check(self.queue.synchronize()).map(|()| true)
    }
    fn sync(&self, _timeout: Duration) -> Result<()> {
        V::check(self.queue.synchronize())
    }
}

struct LateGraph {
    nodes: Vec<Work>,
}

impl Graph for LateGraph {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An event that has always passed: no test here waits on one.
pub struct PassedEvent;

impl Event for PassedEvent {
    fn poll(&self) -> Result<bool> {
        Ok(true)
    }
    fn sync(&self, _timeout: Duration) -> Result<()> {
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
