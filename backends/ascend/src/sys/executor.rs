//! The two phases of an operator, with the rules of executors in the type: an executor is used once, by the thread that made it, and is
//! destroyed if it is not used.

use super::call::{Acl, Base};
use super::types::{aclOpExecutor, aclnnStatus, aclrtStream};
use crate::errors;
use omnihal::{Error, ErrorKind, Result};
use std::ffi::{CStr, c_void};

/// What every operator needs beside itself.
#[derive(Debug)]
pub struct Api {
    /// Devices, memory, streams.
    pub acl: Acl,
    /// Tensors and executors.
    pub base: Base,
}

impl Api {
    /// Turns the result of a call into an error, with the vendor's text. The text is the calling thread's and reading it consumes it, so
    /// this must follow the call at once, on its thread.
    pub fn check(&self, call: &str, code: i32) -> Result<()> {
        self.acl.check(call, code)
    }
}

impl Acl {
    /// As [`Api::check`].
    pub fn check(&self, call: &str, code: i32) -> Result<()> {
        match errors::classify(code).class {
            errors::Class::Success => Ok(()),
            _ => Err(errors::error(call, code, &self.recent_text())),
        }
    }

    /// The vendor's words about this thread's last failure, empty if it has none. Consumes them.
    pub fn recent_text(&self) -> String {
        // SAFETY: takes nothing.
        let text = unsafe { self.aclGetRecentErrMsg() };
        match text {
            Ok(text) if !text.is_null() => {
                // SAFETY: a text that stays until the thread's next call; it is copied here.
                unsafe { CStr::from_ptr(text.cast()) }.to_string_lossy().trim().to_owned()
            }
            _ => String::new(),
        }
    }
}

/// The second phase of every operator.
pub type SecondPhase = unsafe extern "C" fn(
    workspace: *mut c_void,
    workspace_size: u64,
    executor: *mut aclOpExecutor,
    stream: aclrtStream,
) -> aclnnStatus;

/// An operator after its first phase.
///
/// The raw pointer keeps it on its thread. No other operator's first phase may run on that thread before it is launched or dropped: the
/// vendor keeps state between the phases.
#[derive(Debug)]
pub struct Prepared<'a> {
    api: &'a Api,
    operator: &'static str,
    second: SecondPhase,
    workspace: u64,
    executor: *mut aclOpExecutor,
}

impl<'a> Prepared<'a> {
    /// Runs a first phase that stores the workspace's size and the executor.
    pub(super) fn first_phase(
        api: &'a Api,
        operator: &'static str,
        second: SecondPhase,
        call: impl FnOnce(*mut u64, *mut *mut aclOpExecutor) -> aclnnStatus,
    ) -> Result<Self> {
        let (mut workspace, mut executor) = (0, std::ptr::null_mut());
        api.check(operator, call(&mut workspace, &mut executor))?;
        if executor.is_null() {
            let words = format!(
                "{operator} was prepared and left no executor: report this with the versions that `doctor` prints"
            );
            return Err(Error::new(ErrorKind::Execution, words));
        }
        Ok(Prepared { api, operator, second, workspace, executor })
    }

    /// Bytes of workspace that the second phase wants.
    pub fn workspace(&self) -> u64 {
        self.workspace
    }

    /// Enqueues the operator. The executor is consumed, whatever the result.
    ///
    /// # Safety
    /// `workspace` must point at [`Prepared::workspace`] bytes of device memory that, like all arguments, stay allocated until the stream
    /// has passed this call.
    pub unsafe fn launch(self, workspace: *mut c_void, stream: aclrtStream) -> Result<()> {
        let (api, operator, second) = (self.api, self.operator, self.second);
        let (size, executor) = (self.workspace, self.executor);
        // From here on the executor belongs to the second phase, which deletes it even when it refuses.
        std::mem::forget(self);
        // SAFETY: the caller's promise; the executor comes from the first phase and is used once.
        let code = unsafe { second(workspace, size, executor, stream) };
        api.check(operator, code)
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // SAFETY: never launched, so the executor is alive and nobody else's. A refusal leaks it: there is nobody to tell.
        let _ = unsafe { self.api.base.aclDestroyAclOpExecutor(self.executor) };
    }
}
