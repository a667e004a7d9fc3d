//! Opening a vendor library and looking up its functions.

use super::table::Library;
use libloading::os::unix;
use omnihal::{Error, ErrorKind, Result};
use std::ffi::{CStr, OsStr, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The files of one library, open until the process ends.
#[derive(Debug)]
pub struct OpenLibrary {
    library: Library,
    // Never unloaded: the vendor's libraries keep threads and other users of the process may share them.
    parts: Vec<(PathBuf, ManuallyDrop<unix::Library>)>,
}

impl OpenLibrary {
    /// Opens files that together are `library`. Lookups try them in this order.
    pub fn open(library: Library, files: &[PathBuf]) -> Result<Self> {
        let mut parts = Vec::with_capacity(files.len());
        for file in files {
            // Lazy, because a dependency with an unrelated missing symbol must not make the library unusable; local, because two packages
            // export the same names with different parameters.
            let flags = unix::RTLD_LAZY | unix::RTLD_LOCAL;
            // SAFETY: the vendor's initialisers run; that is what a user asks for who installs the library at this path.
            let opened = unsafe { unix::Library::open(Some(file), flags) };
            let opened = opened.map_err(|found| not_a_library(file, &found))?;
            parts.push((file.clone(), ManuallyDrop::new(opened)));
        }
        Ok(OpenLibrary { library, parts })
    }

    /// Which library it is.
    pub fn library(&self) -> Library {
        self.library
    }

    /// The files, in lookup order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|(path, _)| path.as_path())
    }

    /// The address of a symbol and the file that holds it.
    fn find(&self, symbol: &CStr) -> Result<(*const c_void, PathBuf)> {
        let name = symbol.to_string_lossy();
        for (path, part) in &self.parts {
            // SAFETY: the symbol is only taken for an address here.
            let Ok(address) = (unsafe { part.get::<*const c_void>(symbol) }) else { continue };
            let address = *address;
            let Some(file) = (!address.is_null()).then(|| file_of(address)).flatten() else { continue };
            if self.library == Library::CustOpApi && !same_file(&file, path) {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "function {name} asked for in {}, found in {}: another package's function of that name takes other parameters and \
                         is not called",
                        path.display(),
                        file.display()
                    ),
                ));
            }
            return Ok((address, file));
        }
        let searched: Vec<_> = self.files().map(|path| path.display().to_string()).collect();
        Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "function {name} asked for, not found in {}: install a CANN release that has it",
                searched.join(", ")
            ),
        ))
    }
}

fn not_a_library(file: &Path, found: &libloading::Error) -> Error {
    // The loader's own words are in the source, where it gives any.
    let words = std::error::Error::source(found).map_or_else(|| found.to_string(), ToString::to_string);
    Error::new(
        ErrorKind::NotFound,
        format!("library {} asked for, the loader answers `{words}`: install the CANN release again", file.display()),
    )
}

/// The file that an address was loaded from.
fn file_of(address: *const c_void) -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address may be asked about; `info` is writable.
    let known = unsafe { libc::dladdr(address, info.as_mut_ptr()) } != 0;
    // SAFETY: all zero bytes are a value of this structure of pointers, and the call may have filled it.
    let info = unsafe { info.assume_init() };
    if !known || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's text lives as long as the library, which is open.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// A function pointer that is looked up at its first use, with the file that it came from.
#[derive(Debug)]
pub struct Slot<F>(OnceLock<Result<(F, PathBuf)>>);

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Slot(OnceLock::new())
    }
}

impl<F: Copy> Slot<F> {
    /// The function.
    ///
    /// # Safety
    /// `F` must be the type of a function pointer, that of `symbol` in `library`.
    pub unsafe fn get(&self, library: &OpenLibrary, symbol: &CStr) -> Result<F> {
        // SAFETY: the caller's promise.
        unsafe { self.resolve(library, symbol) }.as_ref().map(|(call, _)| *call).map_err(Clone::clone)
    }

    /// The file that the function comes from.
    ///
    /// # Safety
    /// As for [`Slot::get`].
    pub unsafe fn file(&self, library: &OpenLibrary, symbol: &CStr) -> Result<&Path> {
        // SAFETY: the caller's promise.
        unsafe { self.resolve(library, symbol) }.as_ref().map(|(_, file)| file.as_path()).map_err(Clone::clone)
    }

    unsafe fn resolve(&self, library: &OpenLibrary, symbol: &CStr) -> &Result<(F, PathBuf)> {
        const { assert!(size_of::<F>() == size_of::<*const c_void>(), "only function pointers are looked up") };
        self.0.get_or_init(|| {
            let (address, file) = library.find(symbol)?;
            // SAFETY: same size, checked above; the caller promises the type.
            Ok((unsafe { std::mem::transmute_copy::<*const c_void, F>(&address) }, file))
        })
    }
}

#[cfg(test)]
mod tests;
