//! Errors on their way across the interface.

use crate::codes::{Coded, NONE};
use crate::convert::{lossy, str_out};
use crate::structs::{blank, read};
use crate::sys;
use omnihal::{Error, ErrorKind, OpKind, Result, Severity};

/// Stands for "not numbered".
const UNKNOWN: u64 = u64::MAX;

/// `OHAL_ERROR_WITHOUT_DETAILS`.
pub(crate) const WITHOUT_DETAILS: sys::Fallible = std::ptr::without_provenance_mut(1);

/// What an error says, in C form, valid while the error lives.
pub(crate) fn info_out(error: &Error) -> sys::ErrorInfo {
    let vendor = error.vendor();
    sys::ErrorInfo {
        kind: error.kind().code(),
        severity: error.severity().code(),
        op: error.op().map_or(NONE, |op| op as u32),
        sequence: error.sequence().unwrap_or(UNKNOWN),
        message: str_out(error.message()),
        vendor_code: vendor.map_or(0, |v| v.code),
        vendor_text: str_out(vendor.map_or("", |v| &v.text)),
        has_vendor: u32::from(vendor.is_some()),
        ..blank()
    }
}

/// The error that a plug-in described. Nothing in it is trusted, and no part of it can make the error vanish.
///
/// # Safety
/// `info` must be NULL or point to a struct as long as it says, with readable texts.
pub(crate) unsafe fn info_in(info: *const sys::ErrorInfo) -> Result<Error> {
    // SAFETY: promised by the caller.
    let info = unsafe { read(info, "an error", std::mem::offset_of!(sys::ErrorInfo, vendor_code), usize::MAX)? };
    // SAFETY: promised by the caller.
    let mut message = unsafe { lossy(info.message, "the message of an error") };
    let kind = ErrorKind::from_code(info.kind).unwrap_or_else(|| {
        message += &format!(" (error kind {}, unknown to this host)", info.kind);
        ErrorKind::Unsupported
    });
    // A severity from a newer plug-in says more than these do, so nothing of the stream is trusted any more.
    let severity = Severity::from_code(info.severity).unwrap_or(Severity::StreamPoisoned);
    let mut error = Error::new(kind, message).with_severity(severity);
    if info.has_vendor != 0 {
        // SAFETY: promised by the caller.
        error = error.with_vendor(info.vendor_code, unsafe { lossy(info.vendor_text, "the vendor's text") });
    }
    if let Some(op) = OpKind::ALL.get(info.op as usize) {
        error = error.with_op(*op);
    }
    if info.sequence != UNKNOWN {
        error = error.with_sequence(info.sequence);
    }
    Ok(error)
}

/// The words of a panic.
pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Error {
    let words = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words");
    Error::new(ErrorKind::Execution, format!("the backend panicked: {words}"))
}
