//! NCCL as it is found at run time: the few functions used, with the types of `cudarc`, whose own loader does not look for the library's soname.

use crate::sys::{self, DEFAULTS, VARIABLES, library};
use cudarc::driver::sys::CUstream;
use cudarc::nccl::sys::{ncclComm_t, ncclDataType_t, ncclRedOp_t, ncclUniqueId};
use omnihal::{Error, Result};
use omnihal_runtime::search::LibrarySearch;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

const NCCL: LibrarySearch<'_> = LibrarySearch { library: "libnccl.so.2", variables: VARIABLES, defaults: DEFAULTS };

/// 2.18, the first whose configuration has all fields of [`Config`].
const OLDEST: i32 = 21800;

/// `ncclConfig_t` as of 2.18; later versions take the shorter form by its size and version.
#[repr(C)]
pub(super) struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
    cga_cluster_size: c_int,
    min_ctas: c_int,
    max_ctas: c_int,
    net_name: *const c_char,
    split_share: c_int,
}

impl Config {
    /// No call of the communicator blocks; all else is NCCL's choice.
    pub(super) fn non_blocking() -> Config {
        // `NCCL_CONFIG_UNDEF_INT` and the magic number of `NCCL_CONFIG_INITIALIZER` (nccl.h).
        let unset = c_int::MIN;
        Config {
            size: std::mem::size_of::<Config>(),
            magic: 0xcafe_beef,
            version: OLDEST as c_uint,
            blocking: 0,
            cga_cluster_size: unset,
            min_ctas: unset,
            max_ctas: unset,
            net_name: std::ptr::null(),
            split_share: unset,
        }
    }
}

/// `ncclResult_t`: a number, as a later library may know more of them.
pub(super) type Code = c_int;

library! {
    /// The functions of an opened library, with the signatures of nccl.h.
    Nccl {
        get_version = "ncclGetVersion": fn(*mut c_int) -> Code;
        get_unique_id = "ncclGetUniqueId": fn(*mut ncclUniqueId) -> Code;
        init_rank = "ncclCommInitRankConfig": fn(*mut ncclComm_t, c_int, ncclUniqueId, c_int, *mut Config) -> Code;
        async_error = "ncclCommGetAsyncError": fn(ncclComm_t, *mut Code) -> Code;
        all_reduce = "ncclAllReduce": fn(*const c_void, *mut c_void, usize, ncclDataType_t, ncclRedOp_t, ncclComm_t, CUstream) -> Code;
        all_gather = "ncclAllGather": fn(*const c_void, *mut c_void, usize, ncclDataType_t, ncclComm_t, CUstream) -> Code;
        finalize = "ncclCommFinalize": fn(ncclComm_t) -> Code;
        destroy = "ncclCommDestroy": fn(ncclComm_t) -> Code;
        abort = "ncclCommAbort": fn(ncclComm_t) -> Code;
        error_string = "ncclGetErrorString": fn(Code) -> *const c_char;
    }
}

/// The library, opened once.
pub(super) fn nccl() -> Result<&'static Nccl> {
    static ONCE: OnceLock<Result<Nccl>> = OnceLock::new();
    ONCE.get_or_init(open).as_ref().map_err(Clone::clone)
}

fn open() -> Result<Nccl> {
    let library = sys::open_library(&NCCL, "several devices need NCCL")?;
    // SAFETY: a library of that name is NCCL.
    let nccl = unsafe { Nccl::of(library, "NCCL 2.18") }?;
    let mut version = 0;
    // SAFETY: writes one integer.
    super::check(&nccl, unsafe { (nccl.get_version)(&mut version) }, "ncclGetVersion")?;
    if version < OLDEST {
        return Err(Error::unsupported(format!("NCCL {version} was found, 2.18 or later is needed: update it")));
    }
    Ok(nccl)
}
