//! Any C table as a backend.
//!
//! Nothing that comes from the table is trusted: sizes, counts, texts, numbers and handles are checked as they arrive. What cannot be checked
//! is the plug-in's code itself, which is why the loader tries it in a child process first.

mod device;
mod plan;
mod probe;
mod stream;

use crate::convert::{broken, str_in};
use crate::host::{Fallbacks, HostState, lock};
use crate::structs::read;
use crate::{ABI_MAJOR, ABI_MINOR, PLUGIN_MAGIC, limits, sys};
use device::ImportedDevice;
use omnihal::{Backend, Device, DeviceInfo, Error, ErrorKind, Probe, Result};
use std::collections::BTreeSet;
use std::mem::offset_of;
use std::sync::{Arc, Mutex};

/// The function that a plug-in exports.
pub type EntryFn = unsafe extern "C" fn(*const sys::Host) -> *const sys::Plugin;

/// Calls a function of the table; a function that is not there is unsupported.
macro_rules! call {
    ($shared:expr, $function:ident($($arg:expr),* $(,)?)) => {
        match $shared.table.$function {
            Some(function) => {
                // SAFETY: the table's function by its name; the arguments are what the interface says, objects are alive and the plug-in's own.
                let returned = unsafe { function($($arg),*) };
                $shared.host.check(returned)
            }
            None => Err($crate::import::missing(stringify!($function))),
        }
    };
}
pub(crate) use call;

#[cold]
pub(crate) fn missing(function: &str) -> Error {
    Error::unsupported(format!("the plug-in has no function `{function}`"))
}

macro_rules! functions {
    (required: $($required:ident)*; optional: $($optional:ident)*;) => {
        fn absent(table: &sys::Plugin) -> (Vec<&'static str>, Vec<&'static str>) {
            let required = [$((stringify!($required), table.$required.is_none())),*];
            let optional = [$((stringify!($optional), table.$optional.is_none())),*];
            let names = |list: &[(&'static str, bool)]| list.iter().filter(|f| f.1).map(|f| f.0).collect();
            (names(&required), names(&optional))
        }
    };
}
functions! {
    required: probe device_info device_open device_close device_caps buffer_alloc buffer_free stream_create stream_destroy event_create
        event_destroy supports plan_create plan_destroy plan_info stream_run stream_copy stream_fill stream_write stream_read stream_record
        stream_wait stream_poll stream_sync event_poll event_sync;
    optional: buffer_import plan_prologue plan_workspace_for plan_bind weight_form repack health stream_begin_capture stream_end_capture
        stream_launch graph_nodes graph_destroy device_memory;
}

/// What all objects of one plug-in share.
pub(crate) struct Shared {
    /// The plug-in's own table, which its functions get back.
    own: *const sys::Plugin,
    /// The part that both sides know.
    pub(crate) table: sys::Plugin,
    pub(crate) host: &'static HostState,
    pub(crate) name: &'static str,
    strict: bool,
    /// Held while `probe` or `device_info` runs, and while what they gave out is read.
    probing: Mutex<()>,
    /// The devices of the latest search.
    known: Mutex<Vec<DeviceInfo>>,
}

// SAFETY: the interface allows every function from every thread, with the exceptions that `probing` and Rust's ownership rule out; the
// pointers lead to what lives for ever.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// On a strict host, fails once after the plug-in let the host processor compute.
    pub(crate) fn refuse_fallbacks(&self) -> Result<()> {
        match self.strict {
            true => self.host.fallbacks.refuse_new(),
            false => Ok(()),
        }
    }
}

/// Takes plug-ins in.
#[derive(Clone, Copy, Debug)]
pub struct Importer {
    strict: bool,
    minor: u32,
}

impl Default for Importer {
    fn default() -> Self {
        Importer { strict: false, minor: ABI_MINOR }
    }
}

impl Importer {
    /// An importer of this version of the interface, which counts fallbacks and lets them pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether runs fail that the plug-in let the host processor compute.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Behaves as a host of an older minor version: newer functions do not exist.
    #[must_use]
    pub fn minor(mut self, minor: u32) -> Self {
        self.minor = minor.min(ABI_MINOR);
        self
    }

    /// Calls a plug-in's entry and checks its table. No device is looked for yet.
    ///
    /// # Safety
    /// `entry` must be a plug-in's entry, not called before in this process; its code must stay loaded for ever.
    pub unsafe fn import(&self, entry: EntryFn) -> Result<Imported> {
        let host = HostState::leak(self.minor);
        // SAFETY: the host's table lives for ever.
        let own = unsafe { entry(host.table()) };
        // SAFETY: promised by the caller.
        unsafe { self.take(own, host) }
    }

    /// # Safety
    /// `own` must be what an entry returned for `host`.
    unsafe fn take(&self, own: *const sys::Plugin, host: &'static HostState) -> Result<Imported> {
        if own.is_null() {
            return Err(broken("the plug-in's entry returned NULL: it refuses this host; its log may say why"));
        }
        // Version 0.1 ended before `device_memory`; a table of another major may have any shape after its versions.
        let known = if self.minor < 2 { offset_of!(sys::Plugin, device_memory) } else { size_of::<sys::Plugin>() };
        // SAFETY: promised by the caller.
        let table = unsafe { read(own, "the plug-in's table", offset_of!(sys::Plugin, name), known)? };
        if table.magic != PLUGIN_MAGIC {
            return Err(broken(format!(
                "the plug-in's table has magic {:#x}, expected {PLUGIN_MAGIC:#x}",
                table.magic
            )));
        }
        if table.abi_major != ABI_MAJOR {
            return Err(broken(format!(
                "the plug-in speaks version {}.{} of the interface, this host {ABI_MAJOR}.{}: build it with this host's headers",
                table.abi_major, table.abi_minor, self.minor
            )));
        }
        if (table.struct_size as usize) < offset_of!(sys::Plugin, probe) {
            return Err(broken(format!(
                "the plug-in's table ends after {} bytes, before its functions",
                table.struct_size
            )));
        }
        let (required, optional) = absent(&table);
        // SAFETY: promised by the caller.
        let (name, version) =
            unsafe { (str_in(table.name, "the plug-in's name")?, str_in(table.version, "the plug-in's version")?) };
        let name = checked_name(name)?;
        if !required.is_empty() {
            return Err(broken(format!("plug-in `{name}` lacks required functions: {}", required.join(", "))));
        }
        let shared =
            Shared { own, table, host, name, strict: self.strict, probing: Mutex::default(), known: Mutex::default() };
        Ok(Imported { shared: Arc::new(shared), version: version.to_owned(), missing: optional })
    }
}

/// `Backend::name` is for ever, so each name is kept once.
fn checked_name(name: &str) -> Result<&'static str> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if name.is_empty() || name.len() > limits::NAME || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Err(broken(format!(
            "the plug-in calls itself {name:?}, expected 1 to {} printable ASCII characters without space and `:`",
            limits::NAME
        )));
    }
    let mut names = lock(&NAMES);
    if let Some(known) = names.get(name) {
        return Ok(known);
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    Ok(kept)
}

/// A plug-in as a backend.
pub struct Imported {
    shared: Arc<Shared>,
    version: String,
    missing: Vec<&'static str>,
}

impl Imported {
    /// The plug-in's own version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Version of the interface that it was built for.
    pub fn abi(&self) -> (u32, u32) {
        (self.shared.table.abi_major, self.shared.table.abi_minor)
    }

    /// Optional functions that it does not have.
    pub fn missing_functions(&self) -> &[&'static str] {
        &self.missing
    }

    /// What it lets the host processor compute, over all its devices. Keep the handle before the backend moves into a registry.
    pub fn fallbacks(&self) -> Arc<Fallbacks> {
        Arc::clone(&self.shared.host.fallbacks)
    }
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.abi();
        write!(f, "plug-in {} {} (interface {major}.{minor})", self.shared.name, self.version)
    }
}

impl Backend for Imported {
    fn name(&self) -> &'static str {
        self.shared.name
    }

    fn probe(&self) -> Result<Probe> {
        self.shared.probe()
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        ImportedDevice::open(&self.shared, index)
    }
}

/// Sends a backend out as a C table and takes it in again, so that all its work passes the C interface. For tests that judge a backend
/// by the door of a plug-in. The table is never freed.
pub fn through_table(backend: Box<dyn Backend>) -> Box<dyn Backend> {
    match through_table_with(backend, Importer::new()) {
        Ok(imported) => Box::new(imported),
        Err(error) => Box::new(Refused(error)),
    }
}

/// [`through_table`] with an importer of choice.
pub fn through_table_with(backend: Box<dyn Backend>, importer: Importer) -> Result<Imported> {
    let host = HostState::leak(importer.minor);
    // SAFETY: the host's table lives for ever.
    let own = unsafe { crate::export::export(backend, host.table()) };
    // SAFETY: the table was made for this host.
    unsafe { importer.take(own, host) }
}

/// A backend that could not be taken in.
struct Refused(Error);

impl Backend for Refused {
    fn name(&self) -> &'static str {
        "refused"
    }

    fn probe(&self) -> Result<Probe> {
        Err(self.0.clone())
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        Err(Error::new(ErrorKind::NotFound, format!("no device {index}: {}", self.0)))
    }
}
