//! Searching for devices.

use super::{Exported, guard, object};
use crate::convert::{broken, str_out};
use crate::host::lock;
use crate::structs::{blank, write};
use crate::{errors, sys};
use omnihal::{DeviceInfo, Error, ErrorKind, Probe, Result};
use std::sync::Arc;

/// What a search found, kept alive for the host's pointers into it.
pub(crate) struct Found {
    devices: Vec<DeviceInfo>,
    /// Owns the texts of `lines`.
    _searched: Vec<String>,
    lines: Vec<sys::Str>,
    versions: Vec<Vec<sys::Version>>,
}

// SAFETY: the pointers lead into strings of the same value, which never change.
unsafe impl Send for Found {}
// SAFETY: as above.
unsafe impl Sync for Found {}

impl Found {
    fn new(probe: Probe) -> Self {
        let version = |(name, value): &(String, String)| sys::Version { name: str_out(name), value: str_out(value) };
        Found {
            lines: probe.searched.iter().map(|s| str_out(s)).collect(),
            versions: probe.devices.iter().map(|d| d.versions.iter().map(version).collect()).collect(),
            devices: probe.devices,
            _searched: probe.searched,
        }
    }
}

/// The backend behind a table.
///
/// # Safety
/// `plugin` must be NULL or a table that `export` made.
pub(super) unsafe fn exported<'a>(plugin: *const sys::Plugin) -> Option<&'a Exported> {
    // SAFETY: promised by the caller; `context` was set to an `Exported`.
    unsafe { plugin.as_ref().and_then(|p| object(p.context)) }
}

pub(super) unsafe extern "C" fn probe(plugin: *const sys::Plugin, out: *mut sys::Probe) -> sys::Fallible {
    // SAFETY: the host passes its table.
    let Some(own) = (unsafe { exported(plugin) }) else { return errors::WITHOUT_DETAILS };
    guard(own.host, || {
        let found = Arc::new(Found::new(own.backend.probe()?));
        let filled = sys::Probe {
            device_count: found.devices.len() as u64,
            searched: found.lines.as_ptr(),
            searched_count: found.lines.len() as u64,
            ..blank()
        };
        *lock(&own.found) = Some(found);
        // SAFETY: the host's struct is as long as it says.
        unsafe { write(out, &filled) }
    })
}

pub(super) unsafe extern "C" fn device_info(
    plugin: *const sys::Plugin,
    index: u64,
    out: *mut sys::DeviceInfo,
) -> sys::Fallible {
    // SAFETY: the host passes its table.
    let Some(own) = (unsafe { exported(plugin) }) else { return errors::WITHOUT_DETAILS };
    guard(own.host, || {
        let found = lock(&own.found).clone().ok_or_else(|| broken("facts of a device were asked before a search"))?;
        // SAFETY: the host's struct is as long as it says.
        unsafe { write(out, &facts(&found, index)?) }
    })
}

fn facts(found: &Found, index: u64) -> Result<sys::DeviceInfo> {
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let (Some(info), Some(versions)) = (found.devices.get(at), found.versions.get(at)) else {
        let text = format!("no device {index}: the search found {}", found.devices.len());
        return Err(Error::new(ErrorKind::NotFound, text));
    };
    Ok(sys::DeviceInfo {
        name: str_out(&info.name),
        memory: info.memory.unwrap_or(u64::MAX),
        versions: versions.as_ptr(),
        version_count: versions.len() as u64,
        ..blank()
    })
}
