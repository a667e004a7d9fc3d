//! CUDA: kernels go to streams, streams are captured into graphs, failures come late and stay.

use crate::queue::{Column, LateStream, PassedEvent, Queue, Vendor, allocate, relu};
use omnihal::{
    Accumulation, Args, Buffer, Caps, DType, Determinism, Device, DeviceInfo, Error, ErrorKind, Event, MemoryKind, Op,
    OpKind, Plan, Result, Severity, Stream, Support, View,
};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

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
        Ok(allocate(bytes, kind))
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(LateStream::<Cuda>::default()))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(PassedEvent))
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

struct Cuda;

impl Vendor for Cuda {
    const GRAPH_CALLS: [&'static str; 3] = ["cuStreamBeginCapture", "cuGraphInstantiate", "cuGraphLaunch"];
    fn called(name: &'static str) {
        called(name);
    }
    fn check(code: i32) -> Result<()> {
        check(code)
    }
    fn run(queue: &Queue, _plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        called("cuLaunchKernel");
        // Kernel parameters are copied at launch: addresses and strides, nothing of ours.
        let [Some(x), Some(y)] = args.views else { return Err(Error::argument("relu takes x and y")) };
        let (x, y, fail) = (column(x), column(y), FAIL.replace(false));
        check(queue.push(Arc::new(move || {
            relu(x, y);
            if fail { ILLEGAL_ADDRESS } else { 0 }
        })))
    }
}
