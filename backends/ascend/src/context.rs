//! What all objects of an open device share: the toolkit, the context that calls act on, and the failure that ended it.

use crate::errors::FirstCause;
use crate::ops::Tables;
use crate::selfcheck::Checks;
use crate::sys::call::Acl;
use crate::sys::types::aclrtContext;
use crate::toolkit::Toolkit;
use omnihal::{Error, Result, Severity};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

thread_local! {
    /// The context that this crate last made current on this thread. Asking a thread that never had one would be an error with a log line.
    static ENTERED: Cell<aclrtContext> = const { Cell::new(aclrtContext::NULL) };
}

/// The default context of a device, which all users of that device in the process share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) toolkit: Arc<Toolkit>,
    device: i32,
    handle: aclrtContext,
    lost: FirstCause,
    /// Pinned ranges by address. The vendor wants the direction of every copy, and an address does not tell where it lies.
    pinned: RwLock<BTreeMap<u64, usize>>,
    any_pinned: AtomicBool,
    /// Constants on the device.
    pub(crate) tables: Tables,
    /// What fused operators did when they were first wanted.
    pub(crate) checks: Checks,
}

impl Context {
    /// Attaches to a device. The calling thread has it current afterwards.
    pub(crate) fn new(toolkit: Arc<Toolkit>, index: usize) -> Result<Self> {
        let found = toolkit.devices;
        let device = i32::try_from(index).ok().filter(|_| index < found);
        let device =
            device.ok_or_else(|| Error::argument(format!("device {index} was asked for, the runtime has {found}")))?;
        let acl = &toolkit.api.acl;
        let mut handle = aclrtContext::NULL;
        // SAFETY: an index that the runtime counted.
        acl.check("aclrtSetDevice", unsafe { acl.aclrtSetDevice(device) }?)?;
        // SAFETY: a place to write to.
        let current = unsafe { acl.aclrtGetCurrentContext(&mut handle) };
        if let Err(error) = current.and_then(|code| acl.check("aclrtGetCurrentContext", code)) {
            // SAFETY: undoes the call above.
            let _ = unsafe { acl.aclrtResetDevice(device) };
            return Err(error);
        }
        ENTERED.set(handle);
        let (lost, pinned) = (FirstCause::default(), RwLock::default());
        Ok(Context {
            toolkit,
            device,
            handle,
            lost,
            pinned,
            any_pinned: AtomicBool::new(false),
            tables: Tables::default(),
            checks: Checks::default(),
        })
    }

    /// The device's place among those that the runtime counts.
    pub(crate) fn index(&self) -> usize {
        usize::try_from(self.device).unwrap_or_default()
    }

    /// The runtime's functions.
    pub(crate) fn acl(&self) -> &Acl {
        &self.toolkit.api.acl
    }

    /// Makes the context current on this thread, unless the device is lost.
    pub(crate) fn enter(&self) -> Result<&Acl> {
        self.lost.check()?;
        self.enter_anyway()
    }

    /// As [`Context::enter`], to give back what a lost device still holds.
    pub(crate) fn enter_anyway(&self) -> Result<&Acl> {
        let acl = self.acl();
        let mut current = aclrtContext::NULL;
        // Others on this thread may have changed it since: the runtime is asked, once it is known to have an answer.
        if ENTERED.get() == self.handle {
            // SAFETY: a place to write to.
            let code = unsafe { acl.aclrtGetCurrentContext(&mut current) }?;
            if code == 0 && current == self.handle {
                return Ok(acl);
            }
            if code != 0 {
                // The words of this failure would be taken for those of the next one.
                let _ = acl.recent_text();
            }
        }
        // SAFETY: the context lives as long as the device is set, which is until `self` is dropped.
        self.check("aclrtSetCurrentContext", unsafe { acl.aclrtSetCurrentContext(self.handle) }?)?;
        ENTERED.set(self.handle);
        Ok(acl)
    }

    /// Turns the result of a call into an error, with the vendor's text, and keeps the first one that loses the device.
    pub(crate) fn check(&self, call: &str, code: i32) -> Result<()> {
        self.acl().check(call, code).map_err(|error| self.keep(error))
    }

    /// Keeps an error that loses the device; gives back the first such.
    pub(crate) fn keep(&self, error: Error) -> Error {
        match error.severity() {
            Severity::DeviceLost => self.lost.record(error),
            _ => error,
        }
    }

    /// Keeps an error that was found where none can be returned.
    pub(crate) fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.keep(error);
        }
    }

    /// Fails with the cause if the device is lost.
    pub(crate) fn health(&self) -> Result<()> {
        self.lost.check()
    }

    /// Remembers a pinned range.
    pub(crate) fn pin(&self, addr: u64, bytes: usize) {
        self.pinned.write().unwrap_or_else(PoisonError::into_inner).insert(addr, bytes);
        self.any_pinned.store(true, Relaxed);
    }

    /// Forgets a pinned range.
    pub(crate) fn unpin(&self, addr: u64) {
        self.pinned.write().unwrap_or_else(PoisonError::into_inner).remove(&addr);
    }

    /// True if the address lies in pinned host memory of this device.
    pub(crate) fn is_pinned(&self, addr: u64) -> bool {
        if !self.any_pinned.load(Relaxed) {
            return false;
        }
        let ranges = self.pinned.read().unwrap_or_else(PoisonError::into_inner);
        ranges.range(..=addr).next_back().is_some_and(|(start, bytes)| addr - start < *bytes as u64)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Ok(acl) = self.enter_anyway() {
            self.tables.free(acl);
        }
        let acl = self.acl();
        // SAFETY: everything that was made in the context holds an `Arc` of it, so nothing is left. The runtime counts the users of a device.
        // An error has no one to go to.
        let _ = unsafe { acl.aclrtResetDevice(self.device) };
    }
}
