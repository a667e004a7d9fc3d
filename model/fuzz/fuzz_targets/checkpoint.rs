//! Any bytes as a weights file: an error, or tensors whose every byte can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omnihal_deepseek::config::Config;
use omnihal_deepseek::weights::{Checkpoint, manifest};
use std::sync::LazyLock;

/// Quantised, official names; plain, library names.
static CONFIGS: LazyLock<[Config; 2]> = LazyLock::new(|| {
    [include_str!("../configs/official.json"), include_str!("../configs/library.json")]
        .map(|text| Config::from_slice("config.json", text.as_bytes()).expect("the config is good"))
});

/// The first byte chooses the config and what the rest is: a whole file, or the text of a header
/// whose length field and data are then made to fit, so that changes to it get past the first check.
fn file(choice: u8, rest: &[u8]) -> Vec<u8> {
    if choice & 2 == 0 {
        return rest.to_vec();
    }
    let (header, data) = match rest {
        [low, high, header @ ..] => (header, usize::from(u16::from_le_bytes([*low, *high]))),
        _ => (rest, 0),
    };
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.resize(file.len() + data, 0);
    file
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let config = CONFIGS[usize::from(choice & 1)].clone();
    let Ok(checkpoint) = Checkpoint::from_memory(config, "m.safetensors", file(*choice, rest)) else {
        return;
    };
    for spec in manifest(checkpoint.config()) {
        let tensor = checkpoint.tensor(&spec.name).expect("open found every tensor");
        assert_eq!(tensor.shape, spec.shape);
        let elements = tensor.shape.iter().product();
        assert_eq!(tensor.bytes.len(), tensor.dtype.bytes(elements));
        let _ = tensor.read_checked();
        checkpoint.release(&tensor);
    }
});
