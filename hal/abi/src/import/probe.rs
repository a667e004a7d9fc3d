//! Searching for devices.

use super::{Shared, call};
use crate::convert::{array_in, broken, str_in};
use crate::host::lock;
use crate::structs::blank;
use crate::{limits, sys};
use omnihal::{DeviceInfo, Probe, Result};

impl Shared {
    /// Searches and remembers what was found.
    pub(super) fn probe(&self) -> Result<Probe> {
        let _one_at_a_time = lock(&self.probing);
        let mut out: sys::Probe = blank();
        call!(self, probe(self.own, &raw mut out))?;
        if out.device_count > limits::DEVICES {
            let (found, limit) = (out.device_count, limits::DEVICES);
            return Err(broken(format!("the search found {found} devices, expected at most {limit}")));
        }
        // SAFETY: what the search gave out stays valid until the next one, which `probing` holds off.
        let lines = unsafe { array_in(out.searched, out.searched_count, limits::SEARCHED, "lines of search")? };
        let line = |s: &sys::Str| {
            // SAFETY: as above.
            unsafe { str_in(*s, "a line of search") }.map(str::to_owned)
        };
        let searched = lines.iter().map(line).collect::<Result<_>>()?;
        let devices = (0..out.device_count).map(|index| self.info(index)).collect::<Result<Vec<_>>>()?;
        lock(&self.known).clone_from(&devices);
        Ok(Probe { devices, searched })
    }

    /// The facts of one device. `probing` is held by the caller.
    fn info(&self, index: u64) -> Result<DeviceInfo> {
        let mut out = sys::DeviceInfo { memory: u64::MAX, ..blank() };
        call!(self, device_info(self.own, index, &raw mut out))?;
        // SAFETY: what the search gave out stays valid until the next one.
        let (name, versions) = unsafe {
            (
                str_in(out.name, "a device's name")?,
                array_in(out.versions, out.version_count, limits::VERSIONS, "versions")?,
            )
        };
        let version = |v: &sys::Version| {
            // SAFETY: as above.
            unsafe {
                Ok((str_in(v.name, "the name of a version")?.to_owned(), str_in(v.value, "a version")?.to_owned()))
            }
        };
        Ok(DeviceInfo {
            backend: self.name,
            index: index as usize,
            name: name.to_owned(),
            memory: (out.memory != u64::MAX).then_some(out.memory),
            versions: versions.iter().map(version).collect::<Result<_>>()?,
        })
    }

    /// The facts of a device that was opened.
    pub(super) fn known(&self, index: usize) -> Result<DeviceInfo> {
        if let Some(info) = lock(&self.known).get(index) {
            return Ok(info.clone());
        }
        let probe = self.probe()?;
        let count = probe.devices.len();
        let mut devices = probe.devices.into_iter();
        devices.nth(index).ok_or_else(|| broken(format!("device {index} opens, but the search finds {count} devices")))
    }
}
