//! aclnn: every call is first sized and prepared as an executor, by dtype, shape, stride and address, then launched.

use crate::queue::{Column, Queue, Work, copy, relu};
use omnihal::{
    Accumulation, Args, Buffer, Caps, DType, Determinism, Device, DeviceInfo, Error, ErrorKind, Event, Graph, Mem,
    MemoryKind, Op, OpKind, Plan, Result, Stream, Support, View,
};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    static CALLS: RefCell<HashMap<&'static str, usize>> = RefCell::default();
    static REFUSE: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Times that a library function was called by this test.
pub fn calls(name: &str) -> usize {
    CALLS.with_borrow(|calls| calls.get(name).copied().unwrap_or(0))
}

/// Makes the library refuse the next executor.
pub fn refuse_next_executor() {
    REFUSE.set(true);
}

/// The last refusal, as the sketch returned it.
pub fn last_error() -> Option<Error> {
    LAST.with_borrow(Clone::clone)
}

fn called(name: &'static str) {
    CALLS.with_borrow_mut(|calls| *calls.entry(name).or_default() += 1);
}

/// An executor is prepared for addresses and is used up by one launch, unless it is made repeatable.
#[derive(Clone, Copy)]
struct Executor {
    x: Column,
    y: Column,
    workspace: usize,
}

/// First phase. A strided input is made contiguous in the workspace, so its size depends on the strides.
fn relu_get_workspace_size(x: &View, y: &View) -> Result<Executor> {
    called("aclnnReluGetWorkspaceSize");
    if REFUSE.replace(false) {
        // The text belongs to this thread's last failure: taken before any other call can replace it.
        let error = Error::new(ErrorKind::Unsupported, "the library refused this call")
            .with_vendor(161_002, "EZ1001: dtype of self is not supported")
            .with_op(OpKind::Unary);
        LAST.set(Some(error.clone()));
        return Err(error);
    }
    let column = |view: &View| Column { addr: view.addr(), rows: view.dim(0), stride: view.strides[0] };
    let workspace = if x.is_contiguous() { 0 } else { 4 * x.elements() };
    Ok(Executor { x: column(x), y: column(y), workspace })
}

pub fn open() -> Arc<dyn Device> {
    CALLS.with_borrow_mut(HashMap::clear);
    let info = DeviceInfo { backend: "aclnn-sketch", index: 0, name: "sketch".into(), memory: None, versions: vec![] };
    let caps = Caps {
        activations: vec![DType::F32],
        ops: [OpKind::Unary].into_iter().collect(),
        host_addressable: false,
        native_graphs: true,
        alignment: 512,
    };
    Arc::new(AclDevice { info, caps })
}

struct AclDevice {
    info: DeviceInfo,
    caps: Caps,
}

impl Device for AclDevice {
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
        Ok(Box::new(AclStream { queue: Arc::default() }))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(AclEvent))
    }
    fn supports(&self, _op: &Op) -> Support {
        Support::Native
    }
    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        Ok(Arc::new(AclPlan { op: *op, executor: None }))
    }
}

struct AclPlan {
    op: Op,
    /// Present in plans bound to their addresses.
    executor: Option<Executor>,
}

impl Plan for AclPlan {
    fn op(&self) -> &Op {
        &self.op
    }
    fn workspace_for(&self, views: &[Option<View>]) -> Result<usize> {
        let [Some(x), Some(y)] = views else { return Err(Error::argument("relu takes x and y")) };
        // An executor is made and destroyed: only the size is wanted, addresses are not final.
        relu_get_workspace_size(x, y).map(|executor| executor.workspace)
    }
    fn bind(&self, args: &Args<'_>) -> Result<Option<Arc<dyn Plan>>> {
        let [Some(x), Some(y)] = args.views else { return Err(Error::argument("relu takes x and y")) };
        let executor = relu_get_workspace_size(x, y)?;
        called("aclSetAclOpExecutorRepeatable");
        Ok(Some(Arc::new(AclPlan { op: self.op, executor: Some(executor) })))
    }
    fn determinism(&self) -> Determinism {
        Determinism::Repeatable
    }
    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

struct AclStream {
    queue: Arc<Queue>,
}

/// ACL_ERROR_RT_VECTOR_CORE_EXCEPTION.
fn check(code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Error::new(ErrorKind::Execution, "a task failed on the device").with_vendor(code.into(), "EZ9999")),
    }
}

impl Stream for AclStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let plan = (plan as &dyn Any).downcast_ref::<AclPlan>();
        let Some(executor) = plan.and_then(|p| p.executor) else {
            return Err(Error::argument("the plan was not bound to its arguments"));
        };
        if args.workspace.len < executor.workspace {
            return Err(Error::argument(format!(
                "workspace of {} bytes, {} needed",
                args.workspace.len, executor.workspace
            )));
        }
        called("aclnnRelu");
        check(self.queue.push(Arc::new(move || {
            relu(executor.x, executor.y);
            0
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
        called("aclmdlRICaptureBegin");
        self.queue.begin_capture();
        Ok(())
    }
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        called("aclmdlRICaptureEnd");
        Ok(Box::new(AclGraph { tasks: self.queue.end_capture() }))
    }
    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        called("aclmdlRIExecuteAsync");
        let graph = graph.as_any().downcast_ref::<AclGraph>();
        let tasks = graph.ok_or_else(|| Error::argument("a graph of another device"))?.tasks.clone();
        check(self.queue.push(Arc::new(move || tasks.iter().map(|t| t()).find(|&code| code != 0).unwrap_or(0))))
    }
    fn poll(&self) -> Result<bool> {
        check(self.queue.synchronize()).map(|()| true)
    }
    fn sync(&self, _timeout: Duration) -> Result<()> {
        check(self.queue.synchronize())
    }
}

struct AclGraph {
    tasks: Vec<Work>,
}

impl Graph for AclGraph {
    fn nodes(&self) -> usize {
        self.tasks.len()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct AclEvent;

impl Event for AclEvent {
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
