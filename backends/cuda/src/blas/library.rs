//! cuBLASLt as it is found at run time: the few functions used, with the types of `cudarc`, whose own loader does not look for the library's soname.

use crate::sys::{self, DEFAULTS, VARIABLES, library};
use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtHandle_t, cublasLtMatmulAlgo_t, cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t,
    cublasLtMatmulHeuristicResult_t, cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
    cublasLtMatrixLayout_t, cudaDataType_t,
};
use cudarc::driver::sys::CUstream;
use omnihal::Result;
use omnihal_runtime::search::LibrarySearch;
use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

/// The one of CUDA 13, whose driver this crate needs.
const CUBLASLT: LibrarySearch<'_> =
    LibrarySearch { library: "libcublasLt.so.13", variables: VARIABLES, defaults: DEFAULTS };

/// `cublasStatus_t`: a number, as a later library may know more of them.
pub(super) type Code = c_int;

library! {
    /// The functions of an opened library, with the signatures of cublasLt.h.
    CublasLt {
        create = "cublasLtCreate": fn(*mut cublasLtHandle_t) -> Code;
        destroy = "cublasLtDestroy": fn(cublasLtHandle_t) -> Code;
        status_string = "cublasLtGetStatusString": fn(Code) -> *const c_char;
        desc_create = "cublasLtMatmulDescCreate": fn(*mut cublasLtMatmulDesc_t, cublasComputeType_t, cudaDataType_t) -> Code;
        desc_destroy = "cublasLtMatmulDescDestroy": fn(cublasLtMatmulDesc_t) -> Code;
        desc_set = "cublasLtMatmulDescSetAttribute": fn(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, *const c_void, usize) -> Code;
        layout_create = "cublasLtMatrixLayoutCreate": fn(*mut cublasLtMatrixLayout_t, cudaDataType_t, u64, u64, i64) -> Code;
        layout_destroy = "cublasLtMatrixLayoutDestroy": fn(cublasLtMatrixLayout_t) -> Code;
        preference_create = "cublasLtMatmulPreferenceCreate": fn(*mut cublasLtMatmulPreference_t) -> Code;
        preference_destroy = "cublasLtMatmulPreferenceDestroy": fn(cublasLtMatmulPreference_t) -> Code;
        preference_set = "cublasLtMatmulPreferenceSetAttribute": fn(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, *const c_void, usize) -> Code;
        heuristic = "cublasLtMatmulAlgoGetHeuristic": fn(
            cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
            cublasLtMatmulPreference_t, c_int, *mut cublasLtMatmulHeuristicResult_t, *mut c_int) -> Code;
        matmul = "cublasLtMatmul": fn(
            cublasLtHandle_t, cublasLtMatmulDesc_t, *const c_void, *const c_void, cublasLtMatrixLayout_t, *const c_void, cublasLtMatrixLayout_t, *const c_void,
            *const c_void, cublasLtMatrixLayout_t, *mut c_void, cublasLtMatrixLayout_t, *const cublasLtMatmulAlgo_t, *mut c_void, usize, CUstream) -> Code;
    }
}

/// The library, opened once.
pub(super) fn cublaslt() -> Result<&'static CublasLt> {
    static ONCE: OnceLock<Result<CublasLt>> = OnceLock::new();
    let open = || {
        let library = sys::open_library(&CUBLASLT, "OMNIHAL_CUDA_GEMM asks for cuBLASLt")?;
        // SAFETY: a library of that name is cuBLASLt.
        unsafe { CublasLt::of(library, "cuBLASLt 13") }
    };
    ONCE.get_or_init(open).as_ref().map_err(Clone::clone)
}
