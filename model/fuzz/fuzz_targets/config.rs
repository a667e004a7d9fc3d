//! Any bytes as a config: an error, or a config whose sizes can be counted without overflow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omnihal_deepseek::config::{Config, Precision};
use omnihal_deepseek::weights::manifest;

/// Enough to see every kind of tensor of the first blocks.
const SPECS: usize = 500;

fuzz_target!(|data: &[u8]| {
    let Ok(config) = Config::from_slice("config.json", data) else {
        return;
    };
    assert_eq!(config.validate(), Ok(()));
    for mode in Precision::ALL {
        let _ = config.check_precision(mode);
    }
    for block in config.blocks.iter().chain(&config.mtp) {
        let _ = (config.rope(block), block.pooled_tokens());
    }
    let mut elements = 0usize;
    for spec in manifest(&config).take(SPECS) {
        let size = spec.shape.iter().try_fold(1usize, |n, dim| n.checked_mul(*dim));
        elements = size.and_then(|n| elements.checked_add(n)).expect("sizes overflow");
    }
    elements.checked_mul(8).expect("bytes overflow");
});
