//! The driver's result codes as errors of the boundary (CUDA Driver API, `CUresult`).

use cudarc::driver::sys::{self as cu, CUresult};
use omnihal::{Error, ErrorKind, Result, Severity};
use std::ffi::CStr;

/// `Ok` for success, else the error with the driver's own words.
pub(crate) fn check(code: CUresult, call: &str) -> Result<()> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(error(code, call)),
    }
}

/// The error that a code stands for.
pub(crate) fn error(code: CUresult, call: &str) -> Error {
    let (kind, severity, words) = classify(code);
    Error::new(kind, format!("{call}: {words}")).with_severity(severity).with_vendor(code as i64, text(code))
}

/// The driver's name and words for a code.
fn text(code: CUresult) -> String {
    let (mut name, mut words) = (std::ptr::null(), std::ptr::null());
    // SAFETY: both calls write the address of a static string, or null for a code that the driver does not know.
    unsafe {
        let _ = cu::cuGetErrorName(code, &mut name);
        let _ = cu::cuGetErrorString(code, &mut words);
        let part = |p: *const std::ffi::c_char| {
            if p.is_null() { "unknown".into() } else { CStr::from_ptr(p).to_string_lossy() }
        };
        format!("{}, {}", part(name), part(words))
    }
}

/// What a code means for the caller: kind, what is left of the device, what to do.
pub(crate) fn classify(code: CUresult) -> (ErrorKind, Severity, &'static str) {
    use CUresult::*;
    use ErrorKind::*;
    use Severity::*;
    match code {
        CUDA_ERROR_OUT_OF_MEMORY => {
            (OutOfMemory, Rejected, "the device has not that much memory left; free some or ask for less")
        }
        CUDA_ERROR_NOT_READY => (Timeout, Rejected, "the work is not finished"),
        CUDA_ERROR_NO_DEVICE | CUDA_ERROR_INVALID_DEVICE => (NotFound, Rejected, "there is no such device"),
        CUDA_ERROR_NO_BINARY_FOR_GPU
        | CUDA_ERROR_INVALID_IMAGE
        | CUDA_ERROR_INVALID_PTX
        | CUDA_ERROR_UNSUPPORTED_PTX_VERSION => (
            Unsupported,
            Rejected,
            "the kernels were compiled for another device or a newer driver; compile them for this one",
        ),
        CUDA_ERROR_NOT_SUPPORTED | CUDA_ERROR_STUB_LIBRARY | CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            (Unsupported, Rejected, "this driver or device does not do that")
        }
        CUDA_ERROR_NOT_FOUND => (NotFound, Rejected, "a name was not found"),
        CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES | CUDA_ERROR_INVALID_VALUE | CUDA_ERROR_INVALID_HANDLE => {
            (InvalidArgument, Rejected, "the driver refused the call")
        }
        CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
        | CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
        | CUDA_ERROR_STREAM_CAPTURE_MERGE
        | CUDA_ERROR_STREAM_CAPTURE_UNMATCHED
        | CUDA_ERROR_STREAM_CAPTURE_UNJOINED
        | CUDA_ERROR_STREAM_CAPTURE_ISOLATION
        | CUDA_ERROR_STREAM_CAPTURE_IMPLICIT
        | CUDA_ERROR_CAPTURED_EVENT
        | CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD => {
            (InvalidState, Rejected, "the capture forbids this call; end the capture first")
        }
        // Those that the driver documents as leaving the process in an inconsistent state: every later call fails.
        CUDA_ERROR_ILLEGAL_ADDRESS
        | CUDA_ERROR_LAUNCH_TIMEOUT
        | CUDA_ERROR_ASSERT
        | CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUDA_ERROR_MISALIGNED_ADDRESS
        | CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUDA_ERROR_INVALID_PC
        | CUDA_ERROR_LAUNCH_FAILED
        | CUDA_ERROR_ECC_UNCORRECTABLE
        | CUDA_ERROR_NVLINK_UNCORRECTABLE
        | CUDA_ERROR_CONTEXT_IS_DESTROYED
        | CUDA_ERROR_EXTERNAL_DEVICE
        | CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUDA_ERROR_DEINITIALIZED
        | CUDA_ERROR_TENSOR_MEMORY_LEAK => {
            (Execution, DeviceLost, "the device failed and is lost; open it anew in a new process")
        }
        CUDA_ERROR_UNKNOWN => (Execution, DeviceLost, "the driver does not say what failed; the device is lost"),
        _ => (InvalidState, Rejected, "the driver refused the call"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_kernel_lose_the_device_and_refusals_do_not() {
        use CUresult::*;
        for code in
            [CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_UNKNOWN]
        {
            assert_eq!(classify(code).1, Severity::DeviceLost, "{code:?}");
        }
        for code in [
            CUDA_ERROR_OUT_OF_MEMORY,
            CUDA_ERROR_INVALID_VALUE,
            CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
            CUDA_ERROR_NOT_READY,
        ] {
            assert_eq!(classify(code).1, Severity::Rejected, "{code:?}");
        }
        assert_eq!(classify(CUDA_ERROR_OUT_OF_MEMORY).0, ErrorKind::OutOfMemory);
    }
}
