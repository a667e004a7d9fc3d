//! OmniHAL backend for Ascend NPUs through CANN.
//!
//! So far it only looks for the vendor's libraries, in the order in which it will open them, and reports every place that it looked at. It
//! opens no library, finds no device and plans no operator.

mod sys;

use omnihal::{Backend, Device, Probe, Result};
use omnihal_runtime::search;
use std::sync::Arc;

/// The entry point.
#[derive(Clone, Copy, Debug, Default)]
pub struct AscendBackend;

impl Backend for AscendBackend {
    fn name(&self) -> &'static str {
        "ascend"
    }

    fn probe(&self) -> Result<Probe> {
        Ok(search::look_only(&sys::LIBRARIES))
    }

    fn open(&self, _index: usize) -> Result<Arc<dyn Device>> {
        Err(search::no_device(&self.probe()?.searched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::ErrorKind;

    #[test]
    fn without_a_device_the_answer_lists_what_was_searched() {
        let probe = AscendBackend.probe().unwrap();
        assert!(probe.devices.is_empty());
        assert!(probe.searched.iter().any(|place| place.contains("ASCEND_TOOLKIT_HOME")), "{:?}", probe.searched);
        let error = AscendBackend.open(0).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), format!("no device: searched {}", probe.searched.join(", ")));
    }
}
