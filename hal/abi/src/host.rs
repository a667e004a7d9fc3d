//! The host's side of the interface: the table that a plug-in is given, the errors it makes, the fallbacks it confesses.

use crate::convert::{broken, lossy};
use crate::errors::{WITHOUT_DETAILS, info_in};
use crate::structs::blank;
use crate::{ABI_MAJOR, sys};
use omnihal::{Error, ErrorKind, OpKind, Result};
use std::alloc::Layout;
use std::collections::HashSet;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `OHAL_HOST_MAGIC`.
pub(crate) const HOST_MAGIC: u32 = u32::from_le_bytes(*b"OHAL");

/// Reasons that are kept in words; all are counted.
const REASONS: usize = 64;

/// What a plug-in let the host processor compute instead of its device.
#[derive(Debug)]
pub struct Fallbacks {
    total: AtomicU64,
    by_op: [AtomicU64; OpKind::ALL.len()],
    /// How many a strict host has already answered with an error.
    answered: AtomicU64,
    reasons: Mutex<Vec<(Option<OpKind>, String)>>,
}

impl Default for Fallbacks {
    fn default() -> Self {
        Fallbacks {
            total: AtomicU64::new(0),
            by_op: [const { AtomicU64::new(0) }; OpKind::ALL.len()],
            answered: AtomicU64::new(0),
            reasons: Mutex::default(),
        }
    }
}

impl Fallbacks {
    /// How often the plug-in said so.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// How often it said so for this operator.
    pub fn of(&self, op: OpKind) -> u64 {
        self.by_op[op as usize].load(Relaxed)
    }

    /// The first different reasons that it gave, with the operator if it is one of the catalogue.
    pub fn reasons(&self) -> Vec<(Option<OpKind>, String)> {
        lock(&self.reasons).clone()
    }

    fn note(&self, op: u32, reason: String) {
        self.total.fetch_add(1, Relaxed);
        let kind = OpKind::ALL.get(op as usize).copied();
        if let Some(kind) = kind {
            self.by_op[kind as usize].fetch_add(1, Relaxed);
        }
        let mut reasons = lock(&self.reasons);
        if reasons.len() < REASONS && !reasons.iter().any(|(k, r)| *k == kind && *r == reason) {
            reasons.push((kind, reason));
        }
    }

    /// Fails once after new fallbacks. Takes no lock and allocates nothing when there are none.
    pub(crate) fn refuse_new(&self) -> Result<()> {
        let total = self.total();
        if self.answered.swap(total, Relaxed) == total {
            return Ok(());
        }
        let (op, reason) = self.reasons().pop().unwrap_or_default();
        let error = Error::unsupported(format!("the plug-in let the host processor compute this: {reason}"));
        Err(op.into_iter().fold(error, Error::with_op))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes hold is whole after every statement, so a panic elsewhere left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host of one plug-in. Lives for ever, as the interface promises.
pub(crate) struct HostState {
    table: sys::Host,
    pub(crate) fallbacks: Arc<Fallbacks>,
    /// Errors made and not yet returned, by address: a plug-in may return nothing else.
    errors: Mutex<HashSet<usize>>,
}

// SAFETY: the table never changes after construction; its pointers lead to this very value, whose other parts are `Sync`.
unsafe impl Sync for HostState {}
// SAFETY: as above.
unsafe impl Send for HostState {}

impl HostState {
    /// A host that shows itself as version `minor`.
    pub(crate) fn leak(minor: u32) -> &'static HostState {
        let table = sys::Host {
            magic: HOST_MAGIC,
            abi_major: ABI_MAJOR,
            abi_minor: minor,
            context: ptr::null_mut(),
            alloc: Some(alloc),
            free: Some(free),
            log: Some(log),
            error_create: Some(error_create),
            report_fallback: Some(report_fallback),
            ..blank()
        };
        let state: &'static mut HostState =
            Box::leak(Box::new(HostState { table, fallbacks: Arc::default(), errors: Mutex::default() }));
        let context = ptr::from_mut(state);
        // SAFETY: the value was just made, lives for ever, and nobody else has its address yet.
        unsafe {
            (*context).table.context = context.cast();
            &*context
        }
    }

    /// What the plug-in is given.
    pub(crate) fn table(&self) -> *const sys::Host {
        &raw const self.table
    }

    /// Takes what a function returned.
    pub(crate) fn check(&self, returned: sys::Fallible) -> Result<()> {
        match returned.is_null() {
            true => Ok(()),
            false => Err(self.take(returned)),
        }
    }

    #[cold]
    fn take(&self, returned: sys::Fallible) -> Error {
        if returned == WITHOUT_DETAILS {
            return Error::new(ErrorKind::Execution, "the plug-in failed and gave no details");
        }
        if !lock(&self.errors).remove(&returned.addr()) {
            return broken(format!(
                "the plug-in returned {returned:?} as an error, which this host did not make or has taken before"
            ));
        }
        // SAFETY: the address was in the list, so `error_create` made it with `Box::into_raw` and nobody has taken it since.
        *unsafe { Box::from_raw(returned.cast::<Error>()) }
    }
}

/// The host behind a table that a plug-in passes back.
///
/// # Safety
/// `host` must be NULL or the table of a [`HostState`].
unsafe fn state<'a>(host: *const sys::Host) -> Option<&'a HostState> {
    // SAFETY: promised by the caller; `context` leads to the state that holds the table.
    unsafe { host.as_ref()?.context.cast::<HostState>().as_ref() }
}

fn layout(size: u64, align: u64) -> Option<Layout> {
    Layout::from_size_align(usize::try_from(size).ok()?, usize::try_from(align).ok()?).ok().filter(|l| l.size() > 0)
}

unsafe extern "C" fn alloc(_host: *const sys::Host, size: u64, align: u64) -> *mut c_void {
    match layout(size, align) {
        // SAFETY: the layout is of at least one byte.
        Some(layout) => unsafe { std::alloc::alloc(layout).cast() },
        None => ptr::null_mut(),
    }
}

unsafe extern "C" fn free(_host: *const sys::Host, data: *mut c_void, size: u64, align: u64) {
    if let Some(layout) = layout(size, align)
        && !data.is_null()
    {
        // SAFETY: the plug-in gives back what `alloc` gave, with the same size and alignment.
        unsafe { std::alloc::dealloc(data.cast(), layout) }
    }
}

unsafe extern "C" fn log(_host: *const sys::Host, level: u32, text: sys::Str) {
    // A subscriber of the program runs here; its panic must not reach the plug-in.
    let _ = catch_unwind(|| {
        // SAFETY: the plug-in's text is readable during the call.
        let text = unsafe { lossy(text, "a log line") };
        match level {
            0 => tracing::error!(target: "omnihal_abi::plugin", "{text}"),
            1 => tracing::warn!(target: "omnihal_abi::plugin", "{text}"),
            2 => tracing::info!(target: "omnihal_abi::plugin", "{text}"),
            _ => tracing::debug!(target: "omnihal_abi::plugin", "{text}"),
        }
    });
}

unsafe extern "C" fn error_create(host: *const sys::Host, info: *const sys::ErrorInfo) -> sys::Fallible {
    catch_unwind(|| {
        // SAFETY: the plug-in passes the table it was given.
        let Some(state) = (unsafe { state(host) }) else { return WITHOUT_DETAILS };
        // SAFETY: the plug-in's struct and texts are readable during the call.
        let error = unsafe { info_in(info) }.unwrap_or_else(|e| e.with_severity(omnihal::Severity::StreamPoisoned));
        let made = Box::into_raw(Box::new(error));
        lock(&state.errors).insert(made.addr());
        made.cast()
    })
    .unwrap_or(WITHOUT_DETAILS)
}

unsafe extern "C" fn report_fallback(host: *const sys::Host, op: u32, reason: sys::Str) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the plug-in passes the table it was given, and a text that is readable during the call.
        if let Some(state) = unsafe { state(host) } {
            // SAFETY: as above.
            state.fallbacks.note(op, unsafe { lossy(reason, "the reason of a fallback") });
        }
    }));
}
