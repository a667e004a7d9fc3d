//! What every client needs: a device that is set, memory, tensors, an operator.

use crate::libraries::Cann;
use fake_cann::abi::{constants::*, types::*};
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::time::Duration;

/// Elements of the tensors here.
pub const N: usize = 64;
/// Their bytes.
pub const BYTES: usize = 4 * N;

/// A client with a stream.
pub struct Rig {
    /// The libraries.
    pub cann: Cann,
    /// A stream of the device.
    pub stream: aclrtStream,
}

/// An operator after its first phase.
#[derive(Clone, Copy)]
pub struct Prepared {
    /// Bytes of workspace that it wants.
    pub size: u64,
    /// Its executor.
    pub executor: *mut aclOpExecutor,
}

unsafe extern "C" fn sleep(_: *mut c_void) {
    std::thread::sleep(Duration::from_millis(200));
}

impl Rig {
    /// Initialises, sets the device, makes a stream.
    pub fn new(cann: Cann) -> Rig {
        let mut stream = aclrtStream::NULL;
        // SAFETY: the interface's own order.
        unsafe {
            (cann.acl.aclInit)(null());
            (cann.acl.aclrtSetDevice)(0);
            (cann.acl.aclrtCreateStream)(&mut stream);
        }
        Rig { cann, stream }
    }

    /// Device memory.
    pub fn memory(&self, bytes: usize) -> *mut c_void {
        let mut at = null_mut();
        // SAFETY: a place to write to.
        unsafe { (self.cann.acl.aclrtMalloc)(&mut at, bytes, aclrtMemMallocPolicy::ACL_MEM_MALLOC_HUGE_FIRST) };
        at
    }

    /// Frees device memory.
    pub fn free(&self, at: *mut c_void) -> i32 {
        // SAFETY: whether it may be freed is what the clients try.
        unsafe { (self.cann.acl.aclrtFree)(at) }
    }

    /// A tensor of [`N`] elements.
    pub fn tensor(&self, at: *mut c_void, kind: aclDataType) -> *mut aclTensor {
        self.tensor_of(at, kind, N as i64, 0)
    }

    /// A tensor of so many elements behind so many.
    pub fn tensor_of(&self, at: *mut c_void, kind: aclDataType, n: i64, offset: i64) -> *mut aclTensor {
        let (dims, storage) = ([n], [n + offset]);
        let format = aclFormat::ACL_FORMAT_ND;
        // SAFETY: arrays of one element.
        unsafe {
            (self.cann.base.aclCreateTensor)(dims.as_ptr(), 1, kind, null(), offset, format, storage.as_ptr(), 1, at)
        }
    }

    /// The first phase of an exponential; the code if it is refused.
    pub fn exp(&self, x: *mut aclTensor, y: *mut aclTensor) -> Result<Prepared, i32> {
        let (mut size, mut executor) = (0, null_mut());
        // SAFETY: two places to write to.
        let code = unsafe { (self.cann.ops.aclnnExpGetWorkspaceSize)(x, y, &mut size, &mut executor) };
        if code == 0 { Ok(Prepared { size, executor }) } else { Err(code) }
    }

    /// A prepared exponential between two fresh tensors.
    pub fn prepared(&self) -> (Prepared, [*mut aclTensor; 2], [*mut c_void; 2]) {
        let memory = [self.memory(BYTES), self.memory(BYTES)];
        let tensors = memory.map(|at| self.tensor(at, aclDataType::ACL_FLOAT));
        let prepared = self.exp(tensors[0], tensors[1]).unwrap_or(Prepared { size: 0, executor: null_mut() });
        (prepared, tensors, memory)
    }

    /// The second phase.
    pub fn launch(&self, prepared: Prepared, workspace: *mut c_void, size: u64) -> i32 {
        // SAFETY: whether it may run is what the clients try.
        unsafe { (self.cann.ops.aclnnExp)(workspace, size, prepared.executor, self.stream) }
    }

    /// The second phase as it should be.
    pub fn launch_well(&self, prepared: Prepared) -> (i32, *mut c_void) {
        let workspace = self.memory(prepared.size.max(1) as usize);
        (self.launch(prepared, workspace, prepared.size), workspace)
    }

    /// Keeps the stream busy for a while.
    pub fn busy(&self) {
        // SAFETY: the function takes nothing.
        unsafe { (self.cann.acl.aclrtLaunchHostFunc)(self.stream, Some(sleep), null_mut()) };
    }

    /// A fill that is enqueued.
    pub fn fill(&self, at: *mut c_void) -> i32 {
        // SAFETY: whether it may run is what the clients try.
        unsafe { (self.cann.acl.aclrtMemsetAsync)(at, BYTES, 0, BYTES, self.stream) }
    }

    /// Waits for the stream.
    pub fn sync(&self) -> i32 {
        // SAFETY: as above.
        unsafe { (self.cann.acl.aclrtSynchronizeStream)(self.stream) }
    }

    /// A copy that is enqueued.
    pub fn copy(&self, to: *mut c_void, most: usize, from: *const c_void, bytes: usize, kind: aclrtMemcpyKind) -> i32 {
        // SAFETY: as above.
        unsafe { (self.cann.acl.aclrtMemcpyAsync)(to, most, from, bytes, kind, self.stream) }
    }

    /// Starts a capture that only this thread is bound by.
    pub fn capture(&self) {
        // SAFETY: as above.
        unsafe {
            (self.cann.acl.aclmdlRICaptureBegin)(
                self.stream,
                aclmdlRICaptureMode::ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL,
            )
        };
    }

    /// Ends it.
    pub fn captured(&self) -> (i32, aclmdlRI) {
        let mut graph = aclmdlRI::NULL;
        // SAFETY: a place to write to.
        let code = unsafe { (self.cann.acl.aclmdlRICaptureEnd)(self.stream, &mut graph) };
        (code, graph)
    }

    /// Enqueues a graph.
    pub fn replay(&self, graph: aclmdlRI) -> i32 {
        // SAFETY: as above.
        unsafe { (self.cann.acl.aclmdlRIExecuteAsync)(graph, self.stream) }
    }
}

// SAFETY: handles and functions of a C interface, which is what the clients try from other threads.
unsafe impl Sync for Rig {}
