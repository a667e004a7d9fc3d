//! Several devices together, through NCCL where it is found.
//!
//! One member calls [`unique_id`] and gives the bytes to the others by whatever way they have; then every member calls [`join`] with the same bytes. No call waits
//! longer than the limit that was given to [`join`]; sums and copies are enqueued on the stream that they are given, and may be captured.

mod library;

use crate::context::Context;
use crate::stream::{self, CudaStream};
use cudarc::nccl::sys::{ncclComm_t, ncclDataType_t, ncclRedOp_t, ncclResult_t, ncclUniqueId};
use library::{Code, Config, Nccl, nccl};
use omnihal::{Collective, DType, Error, ErrorKind, Result, Severity, Stream, View};
use std::ffi::{CStr, c_char, c_int};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

const SUCCESS: Code = ncclResult_t::ncclSuccess as Code;
const UNHANDLED_CUDA_ERROR: Code = ncclResult_t::ncclUnhandledCudaError as Code;
const SYSTEM_ERROR: Code = ncclResult_t::ncclSystemError as Code;
const INVALID_ARGUMENT: Code = ncclResult_t::ncclInvalidArgument as Code;
const REMOTE_ERROR: Code = ncclResult_t::ncclRemoteError as Code;
const IN_PROGRESS: Code = ncclResult_t::ncclInProgress as Code;

/// Bytes by which the members of a group find each other.
pub type UniqueId = [u8; 128];

/// Makes the bytes of a new group.
pub fn unique_id() -> Result<UniqueId> {
    let nccl = nccl()?;
    let mut id = ncclUniqueId { internal: [0; 128] };
    // SAFETY: writes the structure.
    check(nccl, unsafe { (nccl.get_unique_id)(&mut id) }, "ncclGetUniqueId")?;
    Ok(id.internal.map(|byte| byte as u8))
}

/// Makes the device of `stream` member `rank` of `size`. Returns when all members have joined, or after `limit`.
pub fn join(
    stream: &dyn Stream,
    id: &UniqueId,
    rank: usize,
    size: usize,
    limit: Duration,
) -> Result<Box<dyn Collective>> {
    if rank >= size || size > c_int::MAX as usize {
        return Err(Error::argument(format!("member {rank} of {size} was asked; members count from 0")));
    }
    let (nccl, context) = (nccl()?, stream::own(stream)?.context().clone());
    context.enter()?;
    let (id, mut config) = (ncclUniqueId { internal: id.map(|byte| byte as c_char) }, Config::non_blocking());
    let mut comm = std::ptr::null_mut();
    // SAFETY: writes one handle; the device's context is current.
    let code = unsafe { (nccl.init_rank)(&mut comm, size as c_int, id, rank as c_int, &mut config) };
    let group = Group { nccl, context, comm: Mutex::new(Comm(comm)), failed: OnceLock::new(), rank, size, limit };
    group.settle(comm, code, "ncclCommInitRankConfig")?;
    Ok(Box::new(group))
}

struct Comm(ncclComm_t);

// SAFETY: a communicator may be used from any thread, by one at a time.
unsafe impl Send for Comm {}

/// A member's communicator.
struct Group {
    nccl: &'static Nccl,
    context: Arc<Context>,
    comm: Mutex<Comm>,
    /// The first failure: a communicator does not recover.
    failed: OnceLock<Error>,
    rank: usize,
    size: usize,
    limit: Duration,
}

impl Group {
    /// Waits until the communicator has taken a call.
    fn settle(&self, comm: ncclComm_t, code: Code, call: &str) -> Result<()> {
        let mut state = code;
        let done = || {
            if state == IN_PROGRESS {
                // SAFETY: writes one code; the communicator is alive.
                check(self.nccl, unsafe { (self.nccl.async_error)(comm, &mut state) }, "ncclCommGetAsyncError")?;
            }
            match state {
                IN_PROGRESS => Ok(false),
                code => check(self.nccl, code, call).map(|()| true),
            }
        };
        stream::wait_until(self.limit, done).map_err(|error| {
            let error = self.context.keep(error);
            self.failed.get_or_init(|| error).clone()
        })
    }

    /// Makes one call on a stream of this device.
    fn call(&self, stream: &CudaStream, call: &str, run: impl FnOnce(ncclComm_t, &CudaStream) -> Code) -> Result<()> {
        if !Arc::ptr_eq(stream.context(), &self.context) {
            return Err(Error::argument(format!("{call}: the stream is of another device than the group's member")));
        }
        // Nothing below panics while the handle is held in another state.
        let comm = self.comm.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        self.context.enter()?;
        let mut before = SUCCESS;
        // SAFETY: writes one code; the communicator is alive.
        let asked = unsafe { (self.nccl.async_error)(comm.0, &mut before) };
        self.settle(comm.0, if asked == SUCCESS { before } else { asked }, "an earlier call")?;
        self.settle(comm.0, run(comm.0, stream), call)
    }
}

impl Collective for Group {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    unsafe fn all_reduce(&self, stream: &dyn Stream, data: &View) -> Result<()> {
        let dtype = summed(data.dtype)?;
        whole(data, "data")?;
        self.call(stream::own(stream)?, "ncclAllReduce", |comm, stream| {
            let at = data.addr() as *mut _;
            // SAFETY: the caller keeps the range alive; in place is allowed.
            unsafe {
                (self.nccl.all_reduce)(at, at, data.elements(), dtype, ncclRedOp_t::ncclSum, comm, stream.handle())
            }
        })
    }

    unsafe fn all_gather(&self, stream: &dyn Stream, part: &View, all: &View) -> Result<()> {
        whole(part, "part")?;
        whole(all, "whole")?;
        let bytes = part.dtype.bytes(part.elements());
        if all.dtype != part.dtype || Some(all.elements()) != part.elements().checked_mul(self.size) {
            return Err(Error::argument(format!(
                "parts of {} {:?} from {} members were asked into {} {:?}; give as many elements as all parts have",
                part.dtype, part.shape, self.size, all.dtype, all.shape
            )));
        }
        self.call(stream::own(stream)?, "ncclAllGather", |comm, stream| {
            // SAFETY: the caller keeps both ranges alive.
            unsafe {
                (self.nccl.all_gather)(
                    part.addr() as *const _,
                    all.addr() as *mut _,
                    bytes,
                    ncclDataType_t::ncclUint8,
                    comm,
                    stream.handle(),
                )
            }
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let comm = self.comm.get_mut().unwrap_or_else(PoisonError::into_inner).0;
        if comm.is_null() {
            return;
        }
        self.context.note(self.context.enter());
        // SAFETY: the handle is this object's own and is not used again. What failed may never end by itself.
        unsafe {
            let ended = match self.failed.get() {
                None => self.settle(comm, (self.nccl.finalize)(comm), "ncclCommFinalize"),
                Some(error) => Err(error.clone()),
            };
            let freed = if ended.is_ok() { (self.nccl.destroy)(comm) } else { (self.nccl.abort)(comm) };
            self.context.note(check(self.nccl, freed, "the end of a communicator"));
        }
    }
}

fn whole(view: &View, name: &str) -> Result<()> {
    match view.is_contiguous() && view.quant.is_none() {
        true => Ok(()),
        false => Err(Error::argument(format!("`{name}` must be contiguous and without scales to be exchanged"))),
    }
}

fn summed(dtype: DType) -> Result<ncclDataType_t> {
    match dtype {
        DType::F32 => Ok(ncclDataType_t::ncclFloat32),
        DType::F16 => Ok(ncclDataType_t::ncclFloat16),
        DType::BF16 => Ok(ncclDataType_t::ncclBfloat16),
        DType::I32 => Ok(ncclDataType_t::ncclInt32),
        DType::U32 => Ok(ncclDataType_t::ncclUint32),
        DType::I64 => Ok(ncclDataType_t::ncclInt64),
        other => {
            Err(Error::unsupported(format!("a sum of {other} over devices was asked; use F32, F16, BF16 or integers")))
        }
    }
}

/// `Ok` for success, else the error with the library's own words.
fn check(nccl: &Nccl, code: Code, call: &str) -> Result<()> {
    use ErrorKind::*;
    let (kind, severity, words) = match code {
        SUCCESS => return Ok(()),
        UNHANDLED_CUDA_ERROR => {
            (Execution, Severity::DeviceLost, "a call of the driver failed; open the device anew in a new process")
        }
        SYSTEM_ERROR => (Io, Severity::Rejected, "the system refused a call; see its own log"),
        REMOTE_ERROR => (Execution, Severity::StreamPoisoned, "another member failed or went away; join anew"),
        INVALID_ARGUMENT => (InvalidArgument, Severity::Rejected, "the library refused an argument"),
        IN_PROGRESS => (Timeout, Severity::Rejected, "the call is not finished"),
        _ => (InvalidState, Severity::Rejected, "the library refused the call"),
    };
    // SAFETY: gives the address of a static string.
    let text = unsafe { CStr::from_ptr((nccl.error_string)(code)) }.to_string_lossy().into_owned();
    Err(Error::new(kind, format!("{call}: {words}")).with_severity(severity).with_vendor(code.into(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_library_the_answer_lists_what_was_searched() {
        match unique_id() {
            Ok(id) => assert!(id.iter().any(|&byte| byte != 0)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert!(error.message().contains("searched $CUDA_PATH"), "{error}");
            }
        }
    }
}
