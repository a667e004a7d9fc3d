//! The device under test.

use omnihal::{Backend, Device, Result};
use std::sync::Arc;

/// A device under test, and where it came from, so that cases may open it anew.
pub struct Target {
    backend: Arc<dyn Backend>,
    index: usize,
    device: Arc<dyn Device>,
}

impl Target {
    /// Opens a device.
    pub fn open(backend: Arc<dyn Backend>, index: usize) -> Result<Target> {
        let device = backend.open(index)?;
        Ok(Target { backend, index, device })
    }

    /// The backend.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// The device that cases share.
    pub fn device(&self) -> &Arc<dyn Device> {
        &self.device
    }

    /// Opens the same device once more: for cases that spoil it.
    pub fn reopen(&self) -> Result<Arc<dyn Device>> {
        self.backend.open(self.index)
    }
}
