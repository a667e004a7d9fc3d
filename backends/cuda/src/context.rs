//! What all objects of an open device share: its context, its failure, and the driver's entry to both.

use crate::errors;
use cudarc::driver::sys::{self as cu, CUcontext, CUdevice, CUresult, CUstream};
use omnihal::{Error, Result, Severity};
use std::sync::OnceLock;

/// A retained primary context.
pub(crate) struct Context {
    device: CUdevice,
    handle: CUcontext,
    /// Carries allocations and frees; nothing else runs on it.
    pub(crate) memory_stream: CUstream,
    /// The first failure after which the device is useless.
    lost: OnceLock<Error>,
}

// SAFETY: the driver's handles may be used from any thread; which context is current is set before each call.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Retains the primary context of a device.
    pub(crate) fn new(ordinal: usize) -> Result<Context> {
        let (mut device, mut handle, mut memory_stream) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: each call writes one handle; the stream is made in the context that was just made current.
        unsafe {
            errors::check(cu::cuDeviceGet(&mut device, ordinal as i32), "cuDeviceGet")?;
            errors::check(cu::cuDevicePrimaryCtxRetain(&mut handle, device), "cuDevicePrimaryCtxRetain")?;
            let made = errors::check(cu::cuCtxSetCurrent(handle), "cuCtxSetCurrent")
                .and_then(|()| errors::check(cu::cuStreamCreate(&mut memory_stream, NON_BLOCKING), "cuStreamCreate"));
            if let Err(error) = made {
                let _ = cu::cuDevicePrimaryCtxRelease_v2(device);
                return Err(error);
            }
        }
        Ok(Context { device, handle, memory_stream, lost: OnceLock::new() })
    }

    /// Makes the context current on this thread, unless the device is lost.
    pub(crate) fn enter(&self) -> Result<()> {
        if let Some(error) = self.lost.get() {
            return Err(error.clone());
        }
        let mut current = std::ptr::null_mut();
        // SAFETY: reads and sets the thread's current context; the handle is retained for as long as `self` lives.
        unsafe {
            if cu::cuCtxGetCurrent(&mut current) == CUresult::CUDA_SUCCESS && current == self.handle {
                return Ok(());
            }
            self.check(cu::cuCtxSetCurrent(self.handle), "cuCtxSetCurrent")
        }
    }

    /// Turns a result code into an error, and keeps the first one that loses the device.
    pub(crate) fn check(&self, code: CUresult, call: &str) -> Result<()> {
        match code {
            CUresult::CUDA_SUCCESS => Ok(()),
            code => Err(self.keep(errors::error(code, call))),
        }
    }

    /// Keeps an error if it loses the device; gives back the first such.
    pub(crate) fn keep(&self, error: Error) -> Error {
        if error.severity() != Severity::DeviceLost {
            return error;
        }
        tracing::error!(%error, "the device is lost");
        self.lost.get_or_init(|| error).clone()
    }

    /// Keeps an error that was found where none can be returned.
    pub(crate) fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!(%error, "while an object was dropped");
            let _ = self.keep(error);
        }
    }

    /// Fails with the cause if the device is lost.
    pub(crate) fn health(&self) -> Result<()> {
        self.lost.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// An attribute of the device.
    pub(crate) fn attribute(&self, attribute: cu::CUdevice_attribute) -> Result<i32> {
        let mut value = 0;
        // SAFETY: writes one integer.
        self.check(unsafe { cu::cuDeviceGetAttribute(&mut value, attribute, self.device) }, "cuDeviceGetAttribute")?;
        Ok(value)
    }
}

/// `CU_STREAM_NON_BLOCKING`: not tied to the default stream, which this crate never uses.
pub(crate) const NON_BLOCKING: u32 = 1;

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: everything that was made in the context holds an `Arc` of it, so nothing is left. Errors have no one to go to.
        unsafe {
            let _ = cu::cuCtxSetCurrent(self.handle);
            let _ = cu::cuStreamDestroy_v2(self.memory_stream);
            let _ = cu::cuDevicePrimaryCtxRelease_v2(self.device);
        }
    }
}
