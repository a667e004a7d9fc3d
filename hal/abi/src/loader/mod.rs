//! Loading plug-ins: tried in a child process first, then taken in for good.

mod child;
mod discover;
mod supervise;

pub use child::{ProbeReport, ProbedDevice, probe_child};
pub use discover::{Candidate, Discovery, discover, discover_with};
pub use supervise::ProbeCommand;

use crate::host::lock;
use crate::{EntryFn, Imported, Importer};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The one function that a plug-in exports, `OHAL_ENTRY_NAME`.
const ENTRY: &[u8] = b"ohal_plugin_entry\0";

/// Why a plug-in was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Only full paths are loaded, so that no search path of the system decides what runs.
    #[error("plug-in path `{}` is not absolute: give the full path", .0.display())]
    NotAbsolute(PathBuf),
    /// The file cannot be read.
    #[error("plug-in `{}` cannot be read: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not the one that the manifest speaks of.
    #[error("plug-in `{}` has SHA-256 {found}, expected {expected}: the file or its manifest was changed", .path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// From the manifest.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// The dynamic loader refuses the file.
    #[error("`{}` is no library that this machine can load: {reason}", .path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What the dynamic loader says.
        reason: String,
    },
    /// The library is something else.
    #[error("library `{}` has no function `ohal_plugin_entry`: it is no OmniHAL plug-in", .0.display())]
    NoEntry(PathBuf),
    /// A process calls a plug-in's entry once.
    #[error("the entry of plug-in `{}` was called before in this process, which is allowed once: use what was made then", .0.display())]
    AlreadyLoaded(PathBuf),
    /// The plug-in breaks the interface, or failed while it was tried.
    #[error("plug-in `{}` was refused while {stage}: {reason}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What was being done.
        stage: String,
        /// What went wrong.
        reason: String,
    },
    /// The child process died.
    #[error("plug-in `{}` ended its process ({how}) while {stage}{}", .path.display(), said(.output))]
    Crashed {
        /// The file.
        path: PathBuf,
        /// Signal or exit status.
        how: String,
        /// What was being done.
        stage: String,
        /// The end of its error output.
        output: String,
    },
    /// The child process did not come to an end.
    #[error("plug-in `{}` did nothing for {limit:?} while {stage}{}", .path.display(), said(.output))]
    Hung {
        /// The file.
        path: PathBuf,
        /// The time it had.
        limit: std::time::Duration,
        /// What was being done.
        stage: String,
        /// The end of its error output.
        output: String,
    },
    /// The child process could not be started.
    #[error("the process that tries a plug-in, `{}`, cannot be started: {error}", .program.display())]
    NoChild {
        /// The program.
        program: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

fn said(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        text => format!("; it said: {text}"),
    }
}

/// How to load a plug-in.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// How to try it in a child process first. `None`: not at all, and a plug-in that crashes takes this process with it.
    pub probe: Option<ProbeCommand>,
    /// Strictness and version of the host.
    pub importer: Importer,
    /// What the file's SHA-256 must be, in hexadecimal digits.
    pub sha256: Option<String>,
}

/// A plug-in that is loaded, for the rest of the process.
#[derive(Debug)]
pub struct Loaded {
    /// Its file.
    pub path: PathBuf,
    /// What the child process found, if it was tried.
    pub report: Option<ProbeReport>,
    /// The backend.
    pub backend: Imported,
}

/// Loads a plug-in by its full path. It is never unloaded.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    if !path.is_absolute() {
        return Err(LoadError::NotAbsolute(path.to_owned()));
    }
    let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if !meta.is_file() {
        return Err(unreadable(std::io::Error::other("it is not a file")));
    }
    if let Some(expected) = &options.sha256 {
        let found = checksum(path).map_err(unreadable)?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(LoadError::Checksum { path: path.to_owned(), expected: expected.clone(), found });
        }
    }
    let report = options.probe.as_ref().map(|command| command.run(path)).transpose()?;
    let backend = import(path, (meta.dev(), meta.ino()), options.importer)?;
    Ok(Loaded { path: path.to_owned(), report, backend })
}

/// Opens the library and calls its entry.
fn import(path: &Path, identity: (u64, u64), importer: Importer) -> Result<Imported, LoadError> {
    let entry = entry(path)?;
    if !lock(&LOADED).insert(identity) {
        return Err(LoadError::AlreadyLoaded(path.to_owned()));
    }
    // SAFETY: the library stays open, the entry was not called before, and by its name it is a plug-in's.
    unsafe { importer.import(entry) }.map_err(|e| LoadError::Refused {
        path: path.to_owned(),
        stage: "its table was checked".to_owned(),
        reason: e.to_string(),
    })
}

/// Files whose entry was called, by device and number.
static LOADED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// Opens a library for ever and finds its entry.
fn entry(path: &Path) -> Result<EntryFn, LoadError> {
    // Every symbol at once: a missing one is an error here and not a crash later.
    // SAFETY: the library's initialisers run, as the caller wants; a child process has run them before, if so asked.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|e| LoadError::NotALibrary { path: path.to_owned(), reason: with_source(&e) })?;
    // SAFETY: by its name the symbol is a plug-in's entry.
    let entry = unsafe { library.get::<EntryFn>(ENTRY) }.map(|symbol| *symbol);
    let entry = entry.map_err(|_| LoadError::NoEntry(path.to_owned()));
    // Threads and tables of the plug-in may live on, so its code must.
    std::mem::forget(library);
    entry
}

/// An error with what caused it.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_source(source)),
        None => error.to_string(),
    }
}

/// SHA-256 of a file, in lower-case digits.
fn checksum(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut Hasher(&mut hash))?;
    // Writing to a String cannot fail.
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

struct Hasher<'a>(&'a mut Sha256);

impl std::io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
