//! A stand-in for NCCL, `libnccl.so.2`: the calls that OmniHAL makes, with the library's names, signatures and rules (NCCL API reference, nccl.h). Members are threads of
//! one process over the stand-in driver, whose device memory is host memory.
//!
//! Enforced: communicators that never block (a call is in progress until every member has made it), one call at a time, the same call from every member, live handles. A
//! member that goes away is an error for those that still wait for it.
//!
//! Safety: every exported function has the contract of the library's function of that name.
#![allow(non_snake_case, reason = "the library's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the library's, as the crate says")]

use std::collections::{HashMap, HashSet};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

type Code = c_int;
const SUCCESS: Code = 0;
const UNHANDLED_CUDA_ERROR: Code = 1;
const INVALID_ARGUMENT: Code = 4;
const INVALID_USAGE: Code = 5;
const REMOTE_ERROR: Code = 6;
const IN_PROGRESS: Code = 7;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UniqueId([u8; 128]);

/// `ncclConfig_t`, as far as 2.14 has it.
#[repr(C)]
pub struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
}

/// One member's call.
#[derive(Clone, Copy)]
struct Call {
    gather: bool,
    from: usize,
    to: usize,
    count: usize,
    dtype: c_int,
}

struct Group {
    members: Vec<Member>,
    error: Code,
}

#[derive(Clone, Default)]
struct Member {
    joined: bool,
    left: bool,
    finalized: bool,
    waits: Option<Call>,
}

#[derive(Default)]
struct State {
    groups: HashMap<UniqueId, Group>,
    /// Group and rank by handle.
    comms: HashMap<usize, (UniqueId, usize)>,
    ids: HashSet<UniqueId>,
    handles: usize,
}

fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// 2.18.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetVersion(version: *mut c_int) -> Code {
    // SAFETY: the caller's integer.
    unsafe { *version = 21800 };
    SUCCESS
}

/// Gives the words of a code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetErrorString(code: Code) -> *const c_char {
    let words = match code {
        SUCCESS => c"no error",
        UNHANDLED_CUDA_ERROR => c"unhandled cuda error",
        INVALID_ARGUMENT => c"invalid argument",
        INVALID_USAGE => c"invalid usage",
        REMOTE_ERROR => c"remote process exited or there was a network error",
        _ => c"unknown result code",
    };
    words.as_ptr()
}

/// Makes the bytes of a new group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetUniqueId(id: *mut UniqueId) -> Code {
    let mut state = state();
    let mut bytes = [0x5a; 128];
    bytes[..8].copy_from_slice(&(state.ids.len() as u64).to_le_bytes());
    state.ids.insert(UniqueId(bytes));
    // SAFETY: the caller's structure.
    unsafe { *id = UniqueId(bytes) };
    SUCCESS
}

/// Joins a group: in progress until all have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommInitRankConfig(
    comm: *mut usize,
    size: c_int,
    id: UniqueId,
    rank: c_int,
    config: *mut Config,
) -> Code {
    // SAFETY: the caller's structure.
    let config = unsafe { &*config };
    // 2.18 reads no field beyond the size that it is told.
    if config.magic != 0xcafe_beef || config.version > 23099 || config.size < 48 || config.blocking != 0 {
        return INVALID_ARGUMENT;
    }
    let mut state = state();
    let (size, rank) = (size as usize, rank as usize);
    if rank >= size || !state.ids.contains(&id) {
        return INVALID_ARGUMENT;
    }
    let group =
        state.groups.entry(id).or_insert_with(|| Group { members: vec![Member::default(); size], error: SUCCESS });
    if group.members.len() != size || group.members[rank].joined {
        return INVALID_USAGE;
    }
    group.members[rank].joined = true;
    state.handles += 1;
    let handle = state.handles * 64;
    state.comms.insert(handle, (id, rank));
    // SAFETY: the caller's handle.
    unsafe { *comm = handle };
    IN_PROGRESS
}

impl State {
    fn member(&mut self, comm: usize) -> Option<(&mut Group, usize)> {
        let (id, rank) = *self.comms.get(&comm)?;
        Some((self.groups.get_mut(&id)?, rank))
    }
}

/// Says how far the last call is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommGetAsyncError(comm: usize, code: *mut Code) -> Code {
    let mut state = state();
    let Some((group, rank)) = state.member(comm) else { return INVALID_ARGUMENT };
    let waits = group.members[rank].waits.is_some();
    if waits && group.members.iter().any(|m| m.left) {
        group.error = REMOTE_ERROR;
    }
    let open = waits || group.members.iter().any(|m| !m.joined);
    let now = if group.error != SUCCESS {
        group.error
    } else if open {
        IN_PROGRESS
    } else {
        SUCCESS
    };
    // SAFETY: the caller's code.
    unsafe { *code = now };
    SUCCESS
}

/// Waits for what is enqueued on a stream of the stand-in driver.
fn wait_for(stream: usize) -> bool {
    // SAFETY: the driver is loaded already, under this name; the function has this type.
    let code = unsafe {
        libloading::Library::new("libcuda.so.1").ok().and_then(|driver| {
            let sync = *driver.get::<unsafe extern "C" fn(usize) -> c_uint>(b"cuStreamSynchronize\0").ok()?;
            Some(sync(stream))
        })
    };
    code == Some(0)
}

/// Takes one member's call; the last member's does the work for all.
unsafe fn take(comm: usize, call: Call, stream: usize) -> Code {
    if !wait_for(stream) {
        return UNHANDLED_CUDA_ERROR;
    }
    let mut state = state();
    let Some((group, rank)) = state.member(comm) else { return INVALID_ARGUMENT };
    if group.error != SUCCESS {
        return group.error;
    }
    if group.members[rank].waits.is_some() || group.members[rank].finalized || group.members.iter().any(|m| !m.joined) {
        return INVALID_USAGE;
    }
    group.members[rank].waits = Some(call);
    let calls: Vec<Call> = group.members.iter().filter_map(|m| m.waits).collect();
    if calls.len() == group.members.len() {
        if calls.iter().any(|c| (c.gather, c.count, c.dtype) != (call.gather, call.count, call.dtype)) {
            group.error = INVALID_USAGE;
            return INVALID_USAGE;
        }
        // SAFETY: the members' memory is host memory, and each waits until this is done.
        let done = unsafe { if call.gather { gather(&calls) } else { sum(&calls) } };
        if done != SUCCESS {
            group.error = done;
            return done;
        }
        group.members.iter_mut().for_each(|m| m.waits = None);
    }
    IN_PROGRESS
}

unsafe fn gather(calls: &[Call]) -> Code {
    // Codes of one byte are all that is gathered.
    if calls[0].dtype > 1 {
        return INVALID_ARGUMENT;
    }
    let part = |c: &Call| {
        // SAFETY: passed on from the caller.
        unsafe { std::slice::from_raw_parts(c.from as *const u8, c.count) }
    };
    let all: Vec<u8> = calls.iter().flat_map(part).copied().collect();
    // SAFETY: passed on from the caller.
    calls.iter().for_each(|c| unsafe { (c.to as *mut u8).copy_from_nonoverlapping(all.as_ptr(), all.len()) });
    SUCCESS
}

unsafe fn sum(calls: &[Call]) -> Code {
    macro_rules! sums {
        ($t:ty, $get:expr, $put:expr) => {
            for i in 0..calls[0].count {
                // SAFETY: passed on from the caller.
                let of = |c: &Call| $get(unsafe { (c.from as *const $t).add(i).read_unaligned() });
                let all = calls.iter().map(of).reduce(|a, b| a + b).unwrap_or_default();
                // SAFETY: as above.
                calls.iter().for_each(|c| unsafe { (c.to as *mut $t).add(i).write_unaligned($put(all)) });
            }
        };
    }
    match calls[0].dtype {
        2 => sums!(i32, |x| x, |x| x),
        7 => sums!(f32, |x| x, |x| x),
        // BF16: the upper half of f32, here without rounding, as tests add what it holds exactly.
        9 => sums!(u16, |x: u16| f32::from_bits(u32::from(x) << 16), |x: f32| (x.to_bits() >> 16) as u16),
        _ => return INVALID_ARGUMENT,
    }
    SUCCESS
}

/// Adds up over all members.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllReduce(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    dtype: c_int,
    operation: c_int,
    comm: usize,
    stream: usize,
) -> Code {
    if operation != 0 {
        return INVALID_ARGUMENT;
    }
    // SAFETY: passed on from the caller.
    unsafe { take(comm, Call { gather: false, from: from as usize, to: to as usize, count, dtype }, stream) }
}

/// Puts the parts of all members one after the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllGather(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    dtype: c_int,
    comm: usize,
    stream: usize,
) -> Code {
    // SAFETY: passed on from the caller.
    unsafe { take(comm, Call { gather: true, from: from as usize, to: to as usize, count, dtype }, stream) }
}

/// Ends the use of a communicator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommFinalize(comm: usize) -> Code {
    let mut state = state();
    let Some((group, rank)) = state.member(comm) else { return INVALID_ARGUMENT };
    group.members[rank].finalized = true;
    SUCCESS
}

fn leave(comm: usize, finalized: bool) -> Code {
    let mut state = state();
    let Some((group, rank)) = state.member(comm) else { return INVALID_ARGUMENT };
    if finalized && !group.members[rank].finalized {
        return INVALID_USAGE;
    }
    group.members[rank].left = true;
    state.comms.remove(&comm);
    SUCCESS
}

/// Frees a communicator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommDestroy(comm: usize) -> Code {
    leave(comm, true)
}

/// Frees a communicator whatever state it is in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommAbort(comm: usize) -> Code {
    leave(comm, false)
}

/// For tests: communicators that are not freed.
#[unsafe(no_mangle)]
pub extern "C" fn fake_nccl_live() -> u64 {
    state().comms.len() as u64
}
