//! Modules: shared libraries made by a host compiler from kernel files, and their kernels.

use crate::codes::{self, Code};
use libloading::Library;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// A launch as `fiber.h` takes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Launch {
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads along each axis.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// 0 forward, 1 reverse, 2 random.
    pub order: u32,
    /// Seed of the random order.
    pub seed: u64,
}

type Entry = unsafe extern "C" fn(*const Launch, *const c_void) -> *const c_char;

/// A kernel.
pub struct Kernel {
    /// Its name.
    pub name: String,
    entry: Entry,
    /// Bytes of its parameter structure.
    pub params: usize,
    /// Dynamic shared memory that it was allowed.
    pub shared: AtomicU32,
    /// Keeps its code loaded.
    _library: Arc<Library>,
}

impl Kernel {
    /// Runs a grid. The error is the kernel's own words.
    ///
    /// # Safety
    /// The addresses in `params` must be good.
    pub unsafe fn run(&self, launch: &Launch, params: &[u64]) -> Result<(), String> {
        // SAFETY: the image was made from a kernel file; it reads as many bytes as it said that its parameters have.
        let words = unsafe { (self.entry)(launch, params.as_ptr().cast()) };
        if words.is_null() {
            return Ok(());
        }
        // SAFETY: a text that ends with zero, valid until the next run on this thread.
        Err(unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
    }
}

/// A loaded image.
pub struct Module {
    library: Arc<Library>,
    kernels: Mutex<HashMap<String, Arc<Kernel>>>,
}

/// Images loaded so far.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Bytes of an ELF file: the section headers are its last part, as linkers write it.
///
/// # Safety
/// `image` must be readable for 64 bytes.
unsafe fn length(image: *const u8) -> Option<usize> {
    // SAFETY: the header of a 64-bit ELF file has 64 bytes.
    let header = unsafe { std::slice::from_raw_parts(image, 64) };
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]) as usize;
    if header[..4] != *b"\x7fELF" || header[4] != 2 {
        return None;
    }
    let sections = u64::from_le_bytes(header[40..48].try_into().ok()?) as usize;
    sections.checked_add(word(58) * word(60))
}

impl Module {
    /// Loads an image.
    ///
    /// # Safety
    /// `image` must be a whole file made by the host compiler.
    pub unsafe fn load(image: *const u8) -> Result<Module, Code> {
        // SAFETY: passed on from the caller.
        let bytes =
            unsafe { length(image).map(|len| std::slice::from_raw_parts(image, len)) }.ok_or(codes::INVALID_IMAGE)?;
        // The loader knows a library by its path: no two images may ever have the same.
        let name = format!("fake-cuda-{}-{}.so", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).map_err(|_| codes::OUT_OF_MEMORY)?;
        // SAFETY: the library runs no constructor but those of the C++ run time.
        let library = unsafe { Library::new(&path) };
        let _ = std::fs::remove_file(&path);
        let library = library.map_err(|error| {
            eprintln!("stand-in driver: an image does not load: {error}; it loads only those built with --host");
            codes::INVALID_IMAGE
        })?;
        Ok(Module { library: Arc::new(library), kernels: Mutex::default() })
    }

    /// A kernel by its name, the same one each time.
    pub fn kernel(&self, name: &CStr) -> Result<Arc<Kernel>, Code> {
        let name = name.to_str().map_err(|_| codes::NOT_FOUND)?.to_owned();
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(&name) {
            return Ok(kernel.clone());
        }
        // SAFETY: the two symbols have these types; `fiber.h` and `common.cuh` define them so.
        let (entry, params) = unsafe {
            let entry = *self.library.get::<Entry>(format!("{name}_host")).map_err(|_| codes::NOT_FOUND)?;
            let size = self
                .library
                .get::<unsafe extern "C" fn() -> u32>(format!("{name}_params"))
                .map_err(|_| codes::NOT_FOUND)?;
            (entry, size() as usize)
        };
        let shared = AtomicU32::new(48 << 10);
        let kernel = Arc::new(Kernel { name: name.clone(), entry, params, shared, _library: self.library.clone() });
        kernels.insert(name, kernel.clone());
        Ok(kernel)
    }
}

impl Kernel {
    /// Dynamic shared memory allowed.
    pub fn allowed(&self) -> u32 {
        self.shared.load(Relaxed)
    }
}
