//! Any backend as a C table.
//!
//! Objects behind the handles are boxes that hold the Rust object and the host. Each function turns a handle back, does its work inside
//! [`guard`], and turns the outcome into what the interface wants; a panic becomes an error of the host.

mod device;
mod plan;
mod probe;
mod stream;

use crate::convert::{broken, str_out};
use crate::errors::{WITHOUT_DETAILS, info_out, panicked};
use crate::host::HOST_MAGIC;
use crate::structs::{blank, read};
use crate::{ABI_MAJOR, ABI_MINOR, PLUGIN_MAGIC, sys};
use omnihal::{Backend, Error, Result};
use probe::Found;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex};

/// The host that a table was made for.
#[derive(Clone, Copy)]
pub(crate) struct HostRef {
    table: *const sys::Host,
    error_create: unsafe extern "C" fn(*const sys::Host, *const sys::ErrorInfo) -> sys::Fallible,
}

// SAFETY: a host's table is valid for ever and its functions may be called from any thread.
unsafe impl Send for HostRef {}
// SAFETY: as above.
unsafe impl Sync for HostRef {}

impl HostRef {
    /// Checks the table of a host.
    ///
    /// # Safety
    /// `host` must be NULL or point to what may be a host's table, readable as far as it says.
    unsafe fn new(host: *const sys::Host) -> Result<Self> {
        let needed = offset_of!(sys::Host, report_fallback);
        // SAFETY: promised by the caller.
        let table = unsafe { read(host, "the host's table", needed, usize::MAX)? };
        if table.magic != HOST_MAGIC || table.abi_major != ABI_MAJOR {
            return Err(broken(format!(
                "the host has magic {:#x} and version {}.{}, expected {HOST_MAGIC:#x} and {ABI_MAJOR}.x",
                table.magic, table.abi_major, table.abi_minor
            )));
        }
        let error_create = table.error_create.ok_or_else(|| broken("the host has no function `error_create`"))?;
        Ok(HostRef { table: host, error_create })
    }

    #[cold]
    fn error(&self, error: &Error) -> sys::Fallible {
        let info = info_out(error);
        // SAFETY: the host copies what it is given.
        let made = unsafe { (self.error_create)(self.table, &raw const info) };
        // A host that cannot make an error must not turn the failure into a success.
        if made.is_null() { WITHOUT_DETAILS } else { made }
    }
}

/// Does `f`; whatever goes wrong becomes an error of the host.
pub(crate) fn guard(host: HostRef, f: impl FnOnce() -> Result<()>) -> sys::Fallible {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => ptr::null_mut(),
        Ok(Err(error)) => host.error(&error),
        Err(payload) => {
            let error = host.error(&panicked(&*payload));
            discard(payload);
            error
        }
    }
}

/// Does `f` where nothing can be returned.
pub(crate) fn guard_drop(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        discard(payload);
    }
}

/// Drops what a panic carried. If that panics in turn, what is left is leaked: it must not reach the host.
fn discard(payload: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// The object behind a handle, which the host promises to be alive.
///
/// # Safety
/// `handle` must be NULL or come from [`give`] with the same type, and not be taken back yet.
pub(crate) unsafe fn object<'a, T, H>(handle: *mut H) -> Option<&'a T> {
    // SAFETY: promised by the caller.
    unsafe { handle.cast::<T>().as_ref() }
}

/// Writes a new handle to `out`.
///
/// # Safety
/// `out` must be NULL or writable.
pub(crate) unsafe fn give<T, H>(out: *mut *mut H, value: T) -> Result<()> {
    if out.is_null() {
        return Err(broken("the place for the new object is NULL"));
    }
    // SAFETY: promised by the caller.
    unsafe { out.write(Box::into_raw(Box::new(value)).cast()) };
    Ok(())
}

/// Takes an object back and drops it.
///
/// # Safety
/// As for [`object`]; nobody may use the handle any more.
pub(crate) unsafe fn take_back<T, H>(handle: *mut H) {
    guard_drop(|| {
        if !handle.is_null() {
            // SAFETY: promised by the caller.
            drop(unsafe { Box::from_raw(handle.cast::<T>()) });
        }
    });
}

/// Writes a plain result to `out`.
///
/// # Safety
/// `out` must be NULL or writable.
pub(crate) unsafe fn put<T>(out: *mut T, value: T) -> Result<()> {
    if out.is_null() {
        return Err(broken("the place for the result is NULL"));
    }
    // SAFETY: promised by the caller.
    unsafe { out.write(value) };
    Ok(())
}

/// What `Plugin::context` leads to.
pub(crate) struct Exported {
    pub(crate) host: HostRef,
    pub(crate) backend: Box<dyn Backend>,
    /// What the latest search found, in C form; the host may still read it.
    pub(crate) found: Mutex<Option<Arc<Found>>>,
}

/// A backend as a plug-in's table, for the given host. The table lives for ever: this is for the one call of `ohal_plugin_entry`.
/// NULL if the host's table breaks the interface.
///
/// # Safety
/// `host` must be what the host gave to `ohal_plugin_entry`.
pub unsafe fn export(backend: Box<dyn Backend>, host: *const sys::Host) -> *const sys::Plugin {
    // SAFETY: promised by the caller.
    let made = catch_unwind(AssertUnwindSafe(|| match unsafe { HostRef::new(host) } {
        Ok(host) => table(backend, host),
        Err(error) => {
            tracing::error!("{error}");
            ptr::null()
        }
    }));
    made.unwrap_or_else(|payload| {
        discard(payload);
        ptr::null()
    })
}

fn table(backend: Box<dyn Backend>, host: HostRef) -> *const sys::Plugin {
    let name = str_out(backend.name());
    let exported = Box::leak(Box::new(Exported { host, backend, found: Mutex::default() }));
    Box::leak(Box::new(sys::Plugin {
        magic: PLUGIN_MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        name,
        version: str_out(env!("CARGO_PKG_VERSION")),
        context: ptr::from_mut(exported).cast(),
        probe: Some(probe::probe),
        device_info: Some(probe::device_info),
        device_open: Some(device::open),
        device_close: Some(device::close),
        device_caps: Some(device::caps),
        buffer_alloc: Some(device::alloc),
        buffer_free: Some(device::free),
        buffer_import: Some(device::import),
        stream_create: Some(stream::create),
        stream_destroy: Some(stream::destroy),
        event_create: Some(stream::event_create),
        event_destroy: Some(stream::event_destroy),
        supports: Some(plan::supports),
        plan_create: Some(plan::create),
        plan_destroy: Some(plan::destroy),
        plan_info: Some(plan::info),
        plan_prologue: Some(plan::prologue),
        plan_workspace_for: Some(plan::workspace_for),
        plan_bind: Some(plan::bind),
        weight_form: Some(device::weight_form),
        repack: Some(device::repack),
        health: Some(device::health),
        stream_run: Some(stream::run),
        stream_copy: Some(stream::copy),
        stream_fill: Some(stream::fill),
        stream_write: Some(stream::write),
        stream_read: Some(stream::read),
        stream_record: Some(stream::record),
        stream_wait: Some(stream::wait),
        stream_begin_capture: Some(stream::begin_capture),
        stream_end_capture: Some(stream::end_capture),
        stream_launch: Some(stream::launch),
        stream_poll: Some(stream::poll),
        stream_sync: Some(stream::sync),
        graph_nodes: Some(stream::graph_nodes),
        graph_destroy: Some(stream::graph_destroy),
        event_poll: Some(stream::event_poll),
        event_sync: Some(stream::event_sync),
        device_memory: Some(device::memory),
        ..blank()
    }))
}
