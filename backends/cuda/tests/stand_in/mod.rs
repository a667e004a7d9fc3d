//! The backend over the stand-in driver: no device, no toolkit. Each test file is a process of its own, because a driver that failed stays so.
#![allow(dead_code, clippy::unwrap_used, missing_docs, reason = "test helpers, not all used by every file")]

use omnihal::{Backend, Device};
use omnihal_cuda::CudaBackend;
use omnihal_cuda::kernels::{Compiler, FOLDER, build};
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;

/// The stand-in, and the functions by which a test looks into it.
pub struct StandIn {
    library: libloading::Library,
    /// Holds the driver under its real name and the kernels' images.
    _folder: tempfile::TempDir,
}

/// Result codes of the driver.
pub const OUT_OF_MEMORY: u32 = 2;
pub const LAUNCH_FAILED: u32 = 719;

fn built() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.join("libfake_cuda.so")
}

impl StandIn {
    /// Puts the stand-in where the backend looks for the driver, with images of the given families.
    pub fn stage(families: &[&str]) -> StandIn {
        let folder = tempfile::tempdir().unwrap();
        let driver = folder.path().join("libcuda.so.1");
        std::fs::copy(built(), &driver).unwrap();
        let compiler = Compiler::Host("c++".into(), Vec::new());
        build(&compiler, folder.path(), &["sm_90a"], None, &|family| families.contains(&family)).unwrap();
        // SAFETY: the test has started no thread yet.
        unsafe {
            std::env::set_var("LD_LIBRARY_PATH", folder.path());
            std::env::set_var(FOLDER, folder.path());
        }
        // SAFETY: the stand-in has no constructors.
        StandIn { library: unsafe { libloading::Library::new(driver) }.unwrap(), _folder: folder }
    }

    pub fn open(&self) -> Arc<dyn Device> {
        CudaBackend.open(0).unwrap()
    }

    /// Calls of a driver function so far.
    pub fn calls(&self, name: &str) -> u64 {
        let name = CString::new(name).unwrap();
        // SAFETY: the stand-in's own function.
        unsafe { self.library.get::<unsafe extern "C" fn(*const i8) -> u64>("fake_cuda_calls").unwrap()(name.as_ptr()) }
    }

    /// Makes a later call of a driver function fail.
    pub fn fail(&self, name: &str, after: u64, code: u32) {
        let name = CString::new(name).unwrap();
        // SAFETY: the stand-in's own function.
        unsafe {
            self.library.get::<unsafe extern "C" fn(*const i8, u64, u32)>("fake_cuda_fail").unwrap()(
                name.as_ptr(),
                after,
                code,
            )
        }
    }

    /// Live streams, events, executable graphs, modules and blocks of memory.
    pub fn live(&self) -> [u64; 5] {
        let mut counts = [0; 5];
        // SAFETY: the stand-in's own function.
        unsafe { self.library.get::<unsafe extern "C" fn(*mut [u64; 5])>("fake_cuda_live").unwrap()(&mut counts) };
        counts
    }
}
