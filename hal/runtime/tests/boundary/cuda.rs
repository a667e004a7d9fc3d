//! CUDA: kernels go to streams, streams are captured into graphs, failures come late and stay.

use crate::queue::{Column, Queue, Work, copy, relu};
use omnihal::{
    Accumulation, Args, Buffer, Caps, DType, Determinism, Device, DeviceInfo, Error, ErrorKind, Event, Graph, Mem,
    MemoryKind, Op, OpKind, Plan, Result, Severity, Stream, Support, View,
};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    static CALLS: RefCell<HashMap<&'static str, usize>> = RefCell::default();
    static FAIL: Cell<bool> = const { Cell::new(false) };
}

/// Times that a driver function was called by this test.
pub fn calls(name: &str) -> usize {
    CALLS.with_borrow(|calls| calls.get(name).copied().unwrap_or(0))
}

/// Makes the next kernel fail on the device.
pub fn fail_next_kernel() {
    FAIL.set(true);
}

fn called(name: &'static str) {
    CALLS.with_borrow_mut(|calls| *calls.entry(name).or_default() += 1);
}

/// CUDA_ERROR_ILLEGAL_ADDRESS: the context is lost with it.
const ILLEGAL_ADDRESS: i32 = 700;

fn check(code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Error::new(ErrorKind::Execution, "a kernel failed on the device: open it anew")
            .with_severity(Severity::DeviceLost)
            .with_vendor(code.into(), "an illegal memory access was encountered")),
    }
}

pub fn open() -> Arc<dyn Device> {
    CALLS.with_borrow_mut(HashMap::clear);
    let info = DeviceInfo { backend: "cuda-sketch", index: 0, name: "sketch".into(), memory: None, versions: vec![] };
    let caps = Caps {
        activations: vec![DType::F32],
        ops: [OpKind::Unary].into_iter().collect(),
        host_addressable: false,
        native_graphs: true,
        alignment: 256,
    };
    Arc::new(CudaDevice { info, caps })
}

struct CudaDevice {
    info: DeviceInfo,
    caps: Caps,
}

impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn caps(&self) -> &Caps {
        &self.caps
    }
    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        let memory: Arc<Vec<u64>> = Arc::new(vec![0; bytes.div_ceil(8)]);
        Ok(Buffer::new(Mem { addr: memory.as_ptr() as u64, len: bytes }, kind, memory))
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(CudaStream { queue: Arc::default() }))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(CudaEvent))
    }
    fn supports(&self, _op: &Op) -> Support {
        Support::Native
    }
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        Ok(Arc::new(CudaPlan { op: *op }))
    }
}

struct CudaPlan {
    op: Op,
}

impl Plan for CudaPlan {
    fn op(&self) -> &Op {
        &self.op
    }
    fn determinism(&self) -> Determinism {
        Determinism::RowInvariant
    }
    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

fn column(view: &View) -> Column {
    Column { addr: view.addr(), rows: view.dim(0), stride: view.strides[0] }
}

struct CudaStream {
    queue: Arc<Queue>,
}

impl Stream for CudaStream {
    unsafe fn run(&self, _plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        called("cuLaunchKernel");
        // Kernel parameters are copied at launch: addresses and strides, nothing of ours.
        let [Some(x), Some(y)] = args.views else { return Err(Error::argument("relu takes x and y")) };
        let (x, y, fail) = (column(x), column(y), FAIL.replace(false));
        check(self.queue.push(Arc::new(move || {
            relu(x, y);
            if fail { ILLEGAL_ADDRESS } else { 0 }
        })))
    }
    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        check(self.queue.push(Arc::new(move || {
            copy(dst.addr, src.addr, src.len);
            0
        })))
    }
    unsafe fn fill(&self, _dst: Mem, _byte: u8) -> Result<()> {
        Ok(())
    }
    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        // Pinned staging: the source may be reused at once.
        let staged = src.to_vec();
        check(self.queue.push(Arc::new(move || {
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
        called("cuStreamBeginCapture");
        self.queue.begin_capture();
        Ok(())
    }
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        called("cuGraphInstantiate");
        Ok(Box::new(CudaGraph { nodes: self.queue.end_capture() }))
    }
    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        called("cuGraphLaunch");
        let graph = graph.as_any().downcast_ref::<CudaGraph>();
        let nodes = graph.ok_or_else(|| Error::argument("a graph of another device"))?.nodes.clone();
        check(self.queue.push(Arc::new(move || nodes.iter().map(|n| n()).find(|&code| code != 0).unwrap_or(0))))
    }
    fn poll(&self) -> Result<bool> {
        check(self.queue.synchronize()).map(|()| true)
    }
    fn sync(&self, _timeout: Duration) -> Result<()> {
        check(self.queue.synchronize())
    }
}

struct CudaGraph {
    nodes: Vec<Work>,
}

impl Graph for CudaGraph {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct CudaEvent;

impl Event for CudaEvent {
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
