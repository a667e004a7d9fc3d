//! Dense products of bf16 by cuBLASLt, where the user asks for it. The library's choice of algorithm is part of the plan: a run looks nothing up and allocates nothing.

mod library;

use crate::context::Context;
use crate::modules::Modules;
use crate::stream::Queue;
use cudarc::cublaslt::sys as lt;
use library::{Code, CublasLt, cublaslt};
use omnihal::{DType, Error, ErrorKind, Mem, Result, Severity};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// Variable that says who multiplies dense bf16 matrices: `own`, which is the default, or `cublaslt`.
pub(crate) const VARIABLE: &str = "OMNIHAL_CUDA_GEMM";

/// Most workspace that is offered: what NVIDIA recommends for Hopper (cuBLAS documentation, "cublasSetWorkspace").
const MOST_WORKSPACE: usize = 32 << 20;
/// Alignment of workspaces (cuBLAS documentation, "cublasLtMatmul"), and of operands, which the library may assume.
pub(crate) const WORKSPACE_ALIGN: usize = 256;
const ALIGN: u32 = 16;

/// `cublasStatus_t` of what has its own answer.
const SUCCESS: Code = 0;
const ALLOC_FAILED: Code = 3;
const INVALID_VALUE: Code = 7;
const EXECUTION_FAILED: Code = 13;
const NOT_SUPPORTED: Code = 15;

/// Whether the user wants cuBLASLt.
pub(crate) fn wanted() -> Result<bool> {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "own") => Ok(false),
        Ok("cublaslt") => Ok(true),
        Ok(other) => Err(Error::argument(format!("{VARIABLE} is `{other}`, expected `own` or `cublaslt`"))),
    }
}

/// The library with its handle for one device.
pub(crate) struct Blas {
    library: &'static CublasLt,
    handle: lt::cublasLtHandle_t,
}

// SAFETY: the library's handles may be used from any thread (cuBLAS documentation, "Thread Safety").
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

impl Blas {
    /// Opens the library for the context that is current.
    pub(crate) fn new() -> Result<Blas> {
        let (library, mut handle) = (cublaslt()?, null_mut());
        // SAFETY: writes one handle.
        check(library, unsafe { (library.create)(&mut handle) }, "cublasLtCreate")?;
        Ok(Blas { library, handle })
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: plans keep the table that owns this, so nobody uses the handle any more. An error has no one to go to.
        let _ = unsafe { (self.library.destroy)(self.handle) };
    }
}

/// Sizes of `y = a w^T`, all contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dense {
    pub rows: usize,
    pub inner: usize,
    pub outer: usize,
    pub output: DType,
}

impl Dense {
    /// Whether rows of all three are whole vectors.
    pub(crate) fn aligned(&self) -> bool {
        self.rows > 0 && self.inner > 0 && self.outer > 0 && self.inner % 8 == 0 && self.outer % 8 == 0
    }
}

/// A product with its algorithm.
pub(crate) struct Matmul {
    blas: Arc<Blas>,
    pub(crate) dense: Dense,
    objects: Objects,
    algorithm: lt::cublasLtMatmulAlgo_t,
    /// Bytes of scratch memory.
    pub(crate) workspace: usize,
}

/// What describes a product to the library. Not changed once made.
struct Objects {
    library: &'static CublasLt,
    product: lt::cublasLtMatmulDesc_t,
    weight: lt::cublasLtMatrixLayout_t,
    input: lt::cublasLtMatrixLayout_t,
    output: lt::cublasLtMatrixLayout_t,
    preference: lt::cublasLtMatmulPreference_t,
}

// SAFETY: the library only reads them after `Objects::new`.
unsafe impl Send for Objects {}
// SAFETY: as above.
unsafe impl Sync for Objects {}

impl Objects {
    /// The library counts columns first: it sees `y^T = w a^T`, with `w` transposed.
    fn new(library: &'static CublasLt, dense: &Dense) -> Result<Objects> {
        use lt::cublasLtMatmulPreferenceAttributes_t as Preference;
        let mut objects = Objects {
            library,
            product: null_mut(),
            weight: null_mut(),
            input: null_mut(),
            output: null_mut(),
            preference: null_mut(),
        };
        let output =
            if dense.output == DType::F32 { lt::cudaDataType_t::CUDA_R_32F } else { lt::cudaDataType_t::CUDA_R_16BF };
        let input = lt::cudaDataType_t::CUDA_R_16BF;
        let [rows, inner, outer] = [dense.rows, dense.inner, dense.outer].map(|n| n as u64);
        // SAFETY: each call writes one handle of an object that `drop` frees.
        unsafe {
            let (compute, scale) = (lt::cublasComputeType_t::CUBLAS_COMPUTE_32F, lt::cudaDataType_t::CUDA_R_32F);
            check(library, (library.desc_create)(&mut objects.product, compute, scale), "cublasLtMatmulDescCreate")?;
            for (layout, dtype, first, second) in [
                (&mut objects.weight, input, inner, outer),
                (&mut objects.input, input, inner, rows),
                (&mut objects.output, output, outer, rows),
            ] {
                let code = (library.layout_create)(layout, dtype, first, second, first as i64);
                check(library, code, "cublasLtMatrixLayoutCreate")?;
            }
            check(library, (library.preference_create)(&mut objects.preference), "cublasLtMatmulPreferenceCreate")?;
        }
        objects.transpose_weight()?;
        // Parts of k are added up in f32, by blocks that wait for each other: the same bits each time.
        let schemes = lt::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        objects.prefer(Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes)?;
        objects.prefer(Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &(MOST_WORKSPACE as u64))?;
        for operand in [
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ] {
            objects.prefer(operand, &ALIGN)?;
        }
        Ok(objects)
    }

    fn transpose_weight(&self) -> Result<()> {
        // `CUBLAS_OP_T` of `cublasOperation_t`.
        let transposed = 1i32;
        let attribute = lt::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
        let value = std::ptr::from_ref(&transposed).cast::<c_void>();
        // SAFETY: the attribute is an integer of 32 bits.
        let code = unsafe { (self.library.desc_set)(self.product, attribute, value, size_of_val(&transposed)) };
        check(self.library, code, "cublasLtMatmulDescSetAttribute")
    }

    /// Sets one of the integers of a preference.
    fn prefer<T: Copy>(&self, attribute: lt::cublasLtMatmulPreferenceAttributes_t, value: &T) -> Result<()> {
        let at = std::ptr::from_ref(value).cast::<c_void>();
        // SAFETY: the value has the size that is told; the library refuses a size that is not the attribute's.
        let code = unsafe { (self.library.preference_set)(self.preference, attribute, at, size_of::<T>()) };
        check(self.library, code, "cublasLtMatmulPreferenceSetAttribute")
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // SAFETY: each was made by the library and is used no more; one that was not made is null, which is left alone. Errors have no one to go to.
        unsafe {
            if !self.preference.is_null() {
                let _ = (self.library.preference_destroy)(self.preference);
            }
            for layout in [self.weight, self.input, self.output] {
                if !layout.is_null() {
                    let _ = (self.library.layout_destroy)(layout);
                }
            }
            if !self.product.is_null() {
                let _ = (self.library.desc_destroy)(self.product);
            }
        }
    }
}

impl Matmul {
    /// The library's first choice for a product; `None` if it has none.
    pub(crate) fn new(modules: &Modules, dense: Dense) -> Result<Option<Matmul>> {
        let blas = modules.blas()?;
        let (library, objects) = (blas.library, Objects::new(blas.library, &dense)?);
        let mut found = std::mem::MaybeUninit::<lt::cublasLtMatmulHeuristicResult_t>::zeroed();
        let mut count = 0;
        // SAFETY: the objects live; room for one result is given.
        let code = unsafe {
            let o = &objects;
            (library.heuristic)(
                blas.handle,
                o.product,
                o.weight,
                o.input,
                o.output,
                o.output,
                o.preference,
                1,
                found.as_mut_ptr(),
                &mut count,
            )
        };
        if code == NOT_SUPPORTED || (code == SUCCESS && count == 0) {
            return Ok(None);
        }
        check(library, code, "cublasLtMatmulAlgoGetHeuristic")?;
        // SAFETY: the library has written it, as its count says; its fields are numbers of which zero is one.
        let found = unsafe { found.assume_init() };
        let (algorithm, workspace) = (found.algo, found.workspaceSize);
        Ok(Some(Matmul { blas, dense, objects, algorithm, workspace }))
    }

    /// Enqueues `y = a w^T`, or `y += a w^T`.
    ///
    /// # Safety
    /// The addresses must be of contiguous matrices of these sizes, at multiples of 16 bytes, and stay alive until the stream has passed this call.
    pub(crate) unsafe fn run(
        &self,
        [a, w, y]: [u64; 3],
        accumulate: bool,
        workspace: Mem,
        queue: &Queue<'_>,
    ) -> Result<()> {
        if workspace.len < self.workspace || !workspace.addr.is_multiple_of(WORKSPACE_ALIGN as u64) {
            let found = (workspace.len, workspace.addr);
            return Err(Error::argument(format!(
                "cuBLASLt needs {} bytes of workspace at a multiple of {WORKSPACE_ALIGN}, found {} at {:#x}",
                self.workspace, found.0, found.1
            )));
        }
        let (alpha, beta) = (1.0f32, if accumulate { 1.0f32 } else { 0.0 });
        let (o, library) = (&self.objects, self.blas.library);
        let scalar = |x: &f32| std::ptr::from_ref(x).cast::<c_void>();
        // SAFETY: passed on from the caller; the scalars are read before the call returns.
        let code = unsafe {
            (library.matmul)(
                self.blas.handle,
                o.product,
                scalar(&alpha),
                w as *const c_void,
                o.weight,
                a as *const c_void,
                o.input,
                scalar(&beta),
                y as *const c_void,
                o.output,
                y as *mut c_void,
                o.output,
                &self.algorithm,
                workspace.addr as *mut c_void,
                self.workspace,
                queue.stream(),
            )
        };
        check(library, code, "cublasLtMatmul").map_err(|error| Context::keep(queue.context(), error))
    }

    /// Whether these addresses may be given to [`Matmul::run`].
    pub(crate) fn takes(addresses: [u64; 3]) -> bool {
        addresses.iter().all(|at| at.is_multiple_of(u64::from(ALIGN)))
    }
}

fn check(library: &CublasLt, code: Code, call: &str) -> Result<()> {
    let (kind, severity, words) = match code {
        SUCCESS => return Ok(()),
        ALLOC_FAILED => (ErrorKind::OutOfMemory, Severity::Rejected, "the library could not allocate what it needs"),
        INVALID_VALUE => (ErrorKind::InvalidArgument, Severity::Rejected, "the library refused an argument"),
        NOT_SUPPORTED => (ErrorKind::Unsupported, Severity::Rejected, "the library does not do that on this device"),
        EXECUTION_FAILED => {
            (ErrorKind::Execution, Severity::DeviceLost, "the device failed and is lost; open it anew in a new process")
        }
        _ => (ErrorKind::InvalidState, Severity::Rejected, "the library refused the call"),
    };
    // SAFETY: gives the address of a static string.
    let text = unsafe { CStr::from_ptr((library.status_string)(code)) }.to_string_lossy().into_owned();
    Err(Error::new(kind, format!("{call}: {words}")).with_severity(severity).with_vendor(code.into(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{self, DEFAULTS, VARIABLES};
    use omnihal_runtime::search::LibrarySearch;

    #[test]
    fn without_the_library_the_answer_lists_what_was_searched() {
        let absent = LibrarySearch { library: "libcublasLt.so.absent", variables: VARIABLES, defaults: DEFAULTS };
        let Err(error) = sys::open_library(&absent, "cuBLASLt was asked for") else {
            panic!("nobody has that library")
        };
        assert_eq!(error.kind(), ErrorKind::NotFound);
        for word in ["cuBLASLt was asked for", "searched $CUDA_PATH", "/usr/lib/libcublasLt.so.absent"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
