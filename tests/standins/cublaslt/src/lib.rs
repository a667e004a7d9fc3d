//! A stand-in for cuBLASLt, `libcublasLt.so.13`: the calls that OmniHAL makes, with the library's names, signatures and rules (cuBLAS documentation, cublasLt.h). Products are
//! computed on the CPU when the stream of the stand-in driver comes to them, in f32 in the order of k.
//!
//! Enforced: live handles, sizes of attributes, an algorithm for exactly the matrices that it was given for, its workspace and alignment.
//!
//! Safety: every exported function has the contract of the library's function of that name.
#![allow(non_snake_case, reason = "the library's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the library's, as the crate says")]

mod objects;
mod product;

use objects::{Algorithm, Layout, Object, Preference, state};
use product::Product;
use std::ffi::{c_char, c_int, c_uint, c_void};

type Code = c_int;
const SUCCESS: Code = 0;
pub(crate) const INVALID_VALUE: Code = 7;
const EXECUTION_FAILED: Code = 13;
const NOT_SUPPORTED: Code = 15;

/// `cudaDataType_t`.
pub(crate) const F32: u32 = 0;
pub(crate) const BF16: u32 = 14;
/// `CUBLAS_COMPUTE_32F`.
const COMPUTE_F32: c_uint = 68;

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
pub struct Choice {
    algorithm: [u64; 8],
    workspace: usize,
    state: Code,
    waves: f32,
    reserved: [c_int; 4],
}

fn answer(result: Result<(), Code>) -> Code {
    result.err().unwrap_or(SUCCESS)
}

unsafe fn make(handle: *mut usize, object: Object) -> Code {
    // SAFETY: the caller's handle.
    unsafe { *handle = state().put(object) };
    SUCCESS
}

fn forget(handle: usize) -> Code {
    answer(state().objects.remove(&handle).map(|_| ()).ok_or(INVALID_VALUE))
}

/// Gives the words of a code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtGetStatusString(code: Code) -> *const c_char {
    let words = match code {
        SUCCESS => c"success",
        INVALID_VALUE => c"an unsupported value or parameter was passed to the function",
        EXECUTION_FAILED => c"the program failed to execute",
        NOT_SUPPORTED => c"the functionality requested is not supported",
        _ => c"unknown status",
    };
    words.as_ptr()
}

/// Makes the library's handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtCreate(handle: *mut usize) -> Code {
    // SAFETY: passed on from the caller.
    unsafe { make(handle, Object::Library) }
}

/// Forgets the library's handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtDestroy(handle: usize) -> Code {
    forget(handle)
}

/// Makes a product in f32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulDescCreate(handle: *mut usize, compute: c_uint, scale: u32) -> Code {
    match (compute, scale) {
        // SAFETY: passed on from the caller.
        (COMPUTE_F32, F32) => unsafe { make(handle, Object::Product(false)) },
        _ => NOT_SUPPORTED,
    }
}

/// Forgets a product.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulDescDestroy(handle: usize) -> Code {
    forget(handle)
}

/// Transposes the first operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulDescSetAttribute(
    handle: usize,
    attribute: c_uint,
    value: *const c_void,
    size: usize,
) -> Code {
    // CUBLASLT_MATMUL_DESC_TRANSA
    if attribute != 3 || size != 4 {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's value has four bytes.
    let transposed = unsafe { value.cast::<c_int>().read_unaligned() } == 1;
    match state().objects.get_mut(&handle) {
        Some(Object::Product(of)) => {
            *of = transposed;
            SUCCESS
        }
        _ => INVALID_VALUE,
    }
}

/// Makes a matrix.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatrixLayoutCreate(
    handle: *mut usize,
    dtype: u32,
    rows: u64,
    columns: u64,
    leading: i64,
) -> Code {
    if rows == 0 || columns == 0 || leading < rows as i64 {
        return INVALID_VALUE;
    }
    let layout = Layout { dtype, rows: rows as usize, columns: columns as usize, leading: leading as usize };
    // SAFETY: passed on from the caller.
    unsafe { make(handle, Object::Layout(layout)) }
}

/// Forgets a matrix.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatrixLayoutDestroy(handle: usize) -> Code {
    forget(handle)
}

/// Makes a preference: no workspace, aligned to 256 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulPreferenceCreate(handle: *mut usize) -> Code {
    // SAFETY: passed on from the caller.
    unsafe { make(handle, Object::Preference(Preference { workspace: 0, alignment: [256; 4] })) }
}

/// Forgets a preference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulPreferenceDestroy(handle: usize) -> Code {
    forget(handle)
}

/// Sets the workspace, the schemes of reduction, and alignments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulPreferenceSetAttribute(
    handle: usize,
    attribute: c_uint,
    value: *const c_void,
    size: usize,
) -> Code {
    let mut state = state();
    let Some(Object::Preference(preference)) = state.objects.get_mut(&handle) else { return INVALID_VALUE };
    // SAFETY: the caller's value has `size` bytes.
    unsafe {
        match (attribute, size) {
            // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
            (1, 8) => preference.workspace = value.cast::<u64>().read_unaligned(),
            // CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
            (3, 4) => {}
            // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES and the other three
            (5..=8, 4) => preference.alignment[attribute as usize - 5] = value.cast::<u32>().read_unaligned(),
            _ => return INVALID_VALUE,
        }
    }
    SUCCESS
}

fn choose(layouts: [usize; 4], product: usize, preference: usize) -> Result<(u64, usize), Code> {
    let mut state = state();
    let [a, b, c, d] = layouts.map(|handle| state.layout(handle));
    let ([a, b, c, d], preference) = ([a?, b?, c?, d?], state.preference(preference)?);
    let sizes = a.rows == b.rows && a.columns == d.rows && b.columns == d.columns && c == d;
    if !state.product(product)? || !sizes {
        return Err(INVALID_VALUE);
    }
    if a.dtype != BF16 || b.dtype != BF16 || ![BF16, F32].contains(&d.dtype) {
        return Err(NOT_SUPPORTED);
    }
    let workspace = (4 * d.rows * d.columns).min(preference.workspace as usize);
    state.algorithms.push(Algorithm { layouts: [a, b, d], workspace, alignment: preference.alignment });
    Ok((state.algorithms.len() as u64, workspace))
}

/// Gives one algorithm.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulAlgoGetHeuristic(
    library: usize,
    product: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    preference: usize,
    wanted: c_int,
    choices: *mut Choice,
    count: *mut c_int,
) -> Code {
    if wanted < 1 || !state().is_library(library) {
        return INVALID_VALUE;
    }
    answer(choose([a, b, c, d], product, preference).map(|(number, workspace)| {
        let algorithm = [number, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: the caller's array has room for one, and its count.
        unsafe {
            choices.write(Choice { algorithm, workspace, state: SUCCESS, waves: 1.0, reserved: [0; 4] });
            *count = 1;
        }
    }))
}

/// Enqueues a product.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmul(
    library: usize,
    product: usize,
    alpha: *const f32,
    a: usize,
    a_layout: usize,
    b: usize,
    b_layout: usize,
    beta: *const f32,
    c: usize,
    c_layout: usize,
    d: usize,
    d_layout: usize,
    algorithm: *const [u64; 8],
    workspace: usize,
    bytes: usize,
    stream: usize,
) -> Code {
    // SAFETY: the caller's algorithm and scalars.
    let (number, alpha, beta) = unsafe { ((*algorithm)[0], *alpha, *beta) };
    let check = || {
        let mut state = state();
        let layouts = [state.layout(a_layout)?, state.layout(b_layout)?, state.layout(d_layout)?];
        let known = state.algorithms.get((number as usize).wrapping_sub(1)).copied().ok_or(INVALID_VALUE)?;
        let aligned = [a, b, c, d].iter().zip(known.alignment).all(|(at, align)| at % align as usize == 0);
        let same = layouts == known.layouts && state.layout(c_layout)? == layouts[2] && state.product(product)?;
        if !state.is_library(library) || !same || !aligned || bytes < known.workspace || workspace % 256 != 0 {
            return Err(INVALID_VALUE);
        }
        state.products += 1;
        Ok(Product { layouts, addresses: [a, b, c, d], alpha, beta, workspace, bytes: known.workspace })
    };
    answer(check().and_then(|product| product::enqueue(product, stream).ok_or(EXECUTION_FAILED)))
}

/// For tests: objects that are not freed, and products enqueued.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cublaslt_counts(counts: *mut [u64; 2]) {
    let state = state();
    // SAFETY: the caller's array.
    unsafe { *counts = [state.objects.len() as u64, state.products] };
}
