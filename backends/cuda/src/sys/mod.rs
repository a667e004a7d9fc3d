//! The vendor's libraries: which are needed, where they are looked for, and how their answers become errors.
//!
//! * `libcuda.so.1`: the driver interface; its name carries the version that the driver itself installs
//! * `libnccl.so.2`: for several devices
//! * `libcublasLt.so.13`: if `OMNIHAL_CUDA_GEMM` asks for it
//!
//! The driver's functions are those of `cudarc`, which looks each up when it is first called and panics if a library is missing. So nothing outside this crate's
//! probe may call one before [`driver`] has answered.

use crate::errors;
use cudarc::driver::sys as cu;
use omnihal::{Error, ErrorKind, Result};
use omnihal_runtime::search::LibrarySearch;
use std::sync::OnceLock;

/// Variables that name a CUDA installation.
pub(crate) const VARIABLES: &[(&str, &str)] = &[("CUDA_PATH", "lib64"), ("CUDA_HOME", "lib64")];

/// Where the CUDA installer, its compatibility package and WSL put libraries.
pub(crate) const DEFAULTS: &[&str] = &["/usr/local/cuda/compat", "/usr/local/cuda/lib64", "/usr/lib/wsl/lib"];

/// The library without which no device can be driven.
pub(crate) const DRIVER: LibrarySearch<'_> =
    LibrarySearch { library: "libcuda.so.1", variables: VARIABLES, defaults: DEFAULTS };

/// The oldest driver that loads what this crate compiles: CUDA 13.0.
const OLDEST_DRIVER: i32 = 13000;

/// An initialised driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver {
    /// 1000 * major + 10 * minor.
    pub version: i32,
}

/// Opens and initialises the driver, once. `None`: there is no library, or it sees no device.
pub(crate) fn driver() -> Result<Option<Driver>> {
    static ONCE: OnceLock<Result<Option<Driver>>> = OnceLock::new();
    ONCE.get_or_init(open).clone()
}

fn open() -> Result<Option<Driver>> {
    let Some(path) = DRIVER.run().path else { return Ok(None) };
    // SAFETY: the vendor's library has no constructor that depends on this process.
    let library = unsafe { libloading::Library::new(&path) }
        .map_err(|e| Error::new(ErrorKind::NotFound, format!("{} was found and does not open: {e}", path.display())))?;
    // Kept for ever: cudarc then finds the same library by its soname, whatever folder it is in.
    std::mem::forget(library);
    // SAFETY: only asks whether the library can be opened.
    if !unsafe { cu::is_culib_present() } {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("{} opens and has no soname libcuda.so.1", path.display()),
        ));
    }
    // SAFETY: the first call of the driver, as it demands.
    match unsafe { cu::cuInit(0) } {
        cu::CUresult::CUDA_SUCCESS => {}
        cu::CUresult::CUDA_ERROR_NO_DEVICE => return Ok(None),
        code => return Err(errors::error(code, "cuInit")),
    }
    let mut version = 0;
    // SAFETY: writes one integer.
    errors::check(unsafe { cu::cuDriverGetVersion(&mut version) }, "cuDriverGetVersion")?;
    if version < OLDEST_DRIVER {
        return Err(Error::unsupported(format!(
            "the driver speaks CUDA {}.{}, this build needs {}.{} or later: update the driver",
            version / 1000,
            version % 1000 / 10,
            OLDEST_DRIVER / 1000,
            OLDEST_DRIVER % 1000 / 10
        )));
    }
    Ok(Some(Driver { version }))
}

/// Declares the functions of a library that is opened by its full path.
macro_rules! library {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $symbol:literal: fn($($arg:ty),* $(,)?) -> $result:ty;)* }) => {
        $(#[$doc])*
        pub(super) struct $name {
            $(pub(super) $field: unsafe extern "C" fn($($arg),*) -> $result,)*
            _library: libloading::Library,
        }

        impl $name {
            /// # Safety
            /// The library must be `what`, whose functions have these signatures.
            unsafe fn of(library: libloading::Library, what: &str) -> omnihal::Result<$name> {
                let lacks = |error| omnihal::Error::new(omnihal::ErrorKind::NotFound, format!("a function of {what} is missing: {error}"));
                // SAFETY: passed on from the caller.
                unsafe { Ok($name { $($field: *library.get(concat!($symbol, "\0").as_bytes()).map_err(lacks)?,)* _library: library }) }
            }
        }
    };
}
pub(crate) use library;

/// Opens the first library that a search finds; `why` says who needs it.
pub(crate) fn open_library(search: &LibrarySearch<'_>, why: &str) -> Result<libloading::Library> {
    let found = search.run();
    let missing = |text| Error::new(ErrorKind::NotFound, text);
    let path = found.path.ok_or_else(|| {
        missing(format!("{why}, and {} was not found: searched {}", search.library, found.searched.join(", ")))
    })?;
    // SAFETY: the vendor's library has no constructor that depends on this process.
    unsafe { libloading::Library::new(&path) }
        .map_err(|e| missing(format!("{} was found and does not open: {e}", path.display())))
}
