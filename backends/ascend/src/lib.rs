//! OmniHAL backend for Ascend NPUs through CANN.
//!
//! The vendor's libraries are found and opened at run time; without them the backend reports every place that it looked at. It drives memory,
//! streams, events and graphs, and runs the core operators by the vendor's plain two-phase calls.
//!
//! ABI verified against vendor headers, by `ci/check-ascend-abi`; semantics exercised on a strict stand-in; not yet run on Ascend hardware.

mod capture;
mod context;
mod device;
mod event;
mod graph;
mod memory;
mod ops;
mod pool;
mod selfcheck;
mod staging;
mod stream;

pub mod collective;
pub mod doctor;
pub mod errors;
pub mod sys;
pub mod toolkit;

use device::{AscendDevice, FusedMode};
use omnihal::{Backend, Device, Probe, Result};
use omnihal_runtime::search::no_device;
use std::sync::Arc;
use toolkit::search::{Env, Files, locate};
use toolkit::{Toolkit, VOUCHED};

/// The entry point.
#[derive(Clone, Copy, Debug, Default)]
pub struct AscendBackend;

impl Backend for AscendBackend {
    fn name(&self) -> &'static str {
        "ascend"
    }

    fn probe(&self) -> Result<Probe> {
        Ok(probe_with(&|name| std::env::var_os(name)))
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        open_with(&|name| std::env::var_os(name), index)
    }
}

fn probe_with(env: Env<'_>) -> Probe {
    let located = locate(env);
    let mut probe = Probe { devices: Vec::new(), searched: located.searched };
    let Some(files) = located.files else { return probe };
    match toolkit(env, &files) {
        Ok(toolkit) => {
            let toolkit = Arc::new(toolkit);
            probe.devices = (0..toolkit.devices).map(|index| device::found(&toolkit, index)).collect();
            probe.searched.extend(toolkit.left_out.iter().cloned());
        }
        Err(error) => probe.searched.push(error.to_string()),
    }
    probe
}

fn toolkit(env: Env<'_>, files: &Files) -> Result<Toolkit> {
    let vouched = env(VOUCHED).map(|sum| sum.to_string_lossy().into_owned());
    Toolkit::open(files, vouched.as_deref())
}

fn open_with(env: Env<'_>, index: usize) -> Result<Arc<dyn Device>> {
    let located = locate(env);
    let files = located.files.ok_or_else(|| no_device(&located.searched))?;
    let mode = FusedMode::of(env);
    Ok(Arc::new(AscendDevice::open(Arc::new(toolkit(env, &files)?), index, mode)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::ErrorKind;
    use tempfile::TempDir;

    #[test]
    fn without_a_device_the_answer_lists_what_was_searched() {
        let probe = AscendBackend.probe().unwrap();
        assert!(probe.devices.is_empty());
        assert!(probe.searched.iter().any(|place| place.contains("ASCEND_TOOLKIT_HOME")), "{:?}", probe.searched);
        let error = AscendBackend.open(0).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), format!("no device: searched {}", probe.searched.join(", ")));
    }

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_loaders_words() {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("lib64");
        std::fs::create_dir(&folder).unwrap();
        for name in ["libascendcl.so", "libnnopbase.so", "libopapi.so"] {
            std::fs::write(folder.join(name), b"").unwrap();
        }
        let env = |name: &str| (name == toolkit::search::EXPLICIT).then(|| root.path().as_os_str().to_owned());
        let probe = probe_with(&env);
        assert!(probe.devices.is_empty());
        let last = probe.searched.last().unwrap();
        assert!(last.contains("lib64/libascendcl.so asked for, the loader answers `"), "{last}");
        assert!(last.contains("file too short"), "{last}");
        assert!(last.ends_with("install the CANN release again"), "{last}");
        assert_eq!(open_with(&env, 0).err().unwrap().message(), last);
    }
}
