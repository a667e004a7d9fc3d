//! Loaded kernels: one module for each operator family, loaded when its first plan is made.

use crate::blas::Blas;
use crate::context::Context;
use crate::kernels;
use cudarc::driver::sys::{self as cu, CUfunction, CUmodule};
use omnihal::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

/// A kernel of a module that is loaded for as long as its device lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function(CUfunction);

// SAFETY: the driver's function handles may be used from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Function {
    pub(crate) fn handle(self) -> CUfunction {
        self.0
    }
}

/// Shared memory that a kernel may use without asking (CUDA C++ Programming Guide, "Shared Memory").
const SHARED_FREE: u32 = 48 << 10;

/// The kernels of one device.
pub(crate) struct Modules {
    context: Arc<Context>,
    /// Compute capability as `10 * major + minor`.
    pub(crate) capability: u32,
    /// Multiprocessors.
    pub(crate) multiprocessors: u32,
    /// Bytes of shared memory that a block may ask for.
    pub(crate) shared: u32,
    loaded: Mutex<HashMap<&'static str, Module>>,
    /// Dynamic shared memory that kernels may use, by family and name: the most that any plan has asked for, as a kernel is the same one for all plans.
    limits: Mutex<HashMap<(&'static str, String), u32>>,
    /// cuBLASLt, from the first plan on that wants it.
    blas: Mutex<Option<Arc<Blas>>>,
}

struct Module(CUmodule);

// SAFETY: the driver's module handles may be used from any thread.
unsafe impl Send for Module {}

impl Modules {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Modules> {
        use cu::CUdevice_attribute as Attribute;
        let number = |attribute| context.attribute(attribute).map(|value| value.max(0) as u32);
        let major = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let capability = 10 * major + minor;
        if capability < kernels::OLDEST_CAPABILITY {
            return Err(Error::unsupported(format!(
                "the device has compute capability {major}.{minor}, 8.0 or later is needed"
            )));
        }
        Ok(Modules {
            context: context.clone(),
            capability,
            multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared: number(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            loaded: Mutex::new(HashMap::new()),
            limits: Mutex::new(HashMap::new()),
            blas: Mutex::new(None),
        })
    }

    /// The kernel `name` of `family`, allowed to use `shared` bytes of dynamic shared memory.
    pub(crate) fn function(&self, family: &'static str, name: &str, shared: u32) -> Result<Function> {
        self.context.enter()?;
        if shared > self.shared {
            return Err(Error::unsupported(format!(
                "{name} needs {shared} bytes of shared memory, a block of this device has {}",
                self.shared
            )));
        }
        let module = self.module(family)?;
        let symbol = CString::new(name).map_err(|_| Error::argument("a kernel name holds a zero byte"))?;
        let mut function = std::ptr::null_mut();
        // SAFETY: the module is loaded; the call writes one handle.
        let code = unsafe { cu::cuModuleGetFunction(&mut function, module, symbol.as_ptr()) };
        self.context.check(code, "cuModuleGetFunction").map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("kernel {name} of {family}: {}", error.message()))
        })?;
        if shared > SHARED_FREE {
            // Held over the call, so that a smaller limit never comes after a larger one.
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = limits.entry((family, name.to_owned())).or_insert(0);
            *limit = shared.max(*limit);
            let attribute = cu::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: sets an attribute of a function of this context.
            let code = unsafe { cu::cuFuncSetAttribute(function, attribute, *limit as i32) };
            self.context.check(code, "cuFuncSetAttribute")?;
        }
        Ok(Function(function))
    }

    /// cuBLASLt for this device.
    pub(crate) fn blas(&self) -> Result<Arc<Blas>> {
        self.context.enter()?;
        let mut blas = self.blas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blas) = &*blas {
            return Ok(blas.clone());
        }
        Ok(blas.insert(Arc::new(Blas::new()?)).clone())
    }

    fn module(&self, family: &'static str) -> Result<CUmodule> {
        // An entry is inserted whole, so a panic elsewhere cannot have left it half made.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.get(family) {
            return Ok(module.0);
        }
        let image = kernels::image(family, self.capability)?;
        let mut module = std::ptr::null_mut();
        // SAFETY: the image is a whole cubin, checked against its digest; the driver copies it.
        let code = unsafe { cu::cuModuleLoadData(&mut module, image.as_ptr().cast()) };
        self.context.check(code, "cuModuleLoadData")?;
        loaded.insert(family, Module(module));
        Ok(module)
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        let modules = std::mem::take(self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.context.note(self.context.enter());
        for module in modules.into_values() {
            // SAFETY: plans hold an `Arc` of this table, so nobody uses the module's functions any more.
            self.context.note(self.context.check(unsafe { cu::cuModuleUnload(module.0) }, "cuModuleUnload"));
        }
    }
}
