//! aclnn: every call is first sized and prepared as an executor, by dtype, shape, stride and address, then launched.

use crate::queue::{Column, LateStream, PassedEvent, Queue, Vendor, allocate, relu};
use omnihal::{
    Accumulation, Args, Buffer, Caps, DType, Determinism, Device, DeviceInfo, Error, ErrorKind, Event, MemoryKind, Op,
    OpKind, Plan, Result, Stream, Support, View,
};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

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
        Ok(allocate(bytes, kind))
    }
    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(LateStream::<Acl>::default()))
    }
    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(PassedEvent))
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

/// ACL_ERROR_RT_VECTOR_CORE_EXCEPTION.
fn check(code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Error::new(ErrorKind::Execution, "a task failed on the device").with_vendor(code.into(), "EZ9999")),
    }
}

struct Acl;

impl Vendor for Acl {
    const GRAPH_CALLS: [&'static str; 3] = ["aclmdlRICaptureBegin", "aclmdlRICaptureEnd", "aclmdlRIExecuteAsync"];
    fn called(name: &'static str) {
        called(name);
    }
    fn check(code: i32) -> Result<()> {
        check(code)
    }
    fn run(queue: &Queue, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
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
        check(queue.push(Arc::new(move || {
            relu(executor.x, executor.y);
            0
        })))
    }
}
