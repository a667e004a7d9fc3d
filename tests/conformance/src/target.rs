//! The device under test.

use crate::batch;
use crate::case::Case;
use crate::draw;
use omnihal::{Backend, Device, Result};
use omnihal_abi::Fallbacks;
use omnihal_runtime::{TierLimit, layers};
use std::sync::Arc;

/// A device under test, and where it came from, so that cases may open it anew.
pub struct Target {
    backend: Arc<dyn Backend>,
    index: usize,
    device: Arc<dyn Device>,
    fallbacks: Option<Arc<Fallbacks>>,
    composing: Option<TierLimit>,
}

impl Target {
    /// Opens a device.
    pub fn open(backend: Arc<dyn Backend>, index: usize) -> Result<Target> {
        let device = backend.open(index)?;
        Ok(Target { backend, index, device, fallbacks: None, composing: None })
    }

    /// Watches what a plug-in reports of work that the host did for it.
    #[must_use]
    pub fn watching(mut self, fallbacks: Arc<Fallbacks>) -> Target {
        self.fallbacks = Some(fallbacks);
        self
    }

    /// Lets the device compose fused operators of smaller ones: those that it lacks, or with [`TierLimit::Core`] all.
    #[must_use]
    pub fn composing(mut self, limit: TierLimit) -> Target {
        self.composing = Some(limit);
        self
    }

    /// The device as one case meets it.
    pub fn device_for(&self, case: &Case) -> Arc<dyn Device> {
        match self.composing {
            Some(limit) => {
                // An operator outside a step asks for none of its columns: any will do.
                let step = draw::step(case).unwrap_or_else(|| batch::ALONE.shape());
                layers::compose(self.device.clone(), limit, step)
            }
            None => self.device.clone(),
        }
    }

    /// Runs so far that the host did for the device, by the plug-in's own word.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.as_ref().map_or(0, |f| f.total())
    }

    /// The last reason given for one.
    pub fn last_fallback(&self) -> Option<String> {
        self.fallbacks.as_ref()?.reasons().pop().map(|(_, reason)| reason)
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
