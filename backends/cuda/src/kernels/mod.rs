//! Kernel sources and their compiled images: where an image comes from, and how it is known to be the right one.
//!
//! An image belongs to a family, an architecture and the exact text that it was compiled from. It is looked for
//! 1. in the folder that `OMNIHAL_CUDA_KERNELS` names, made ahead by [`build`];
//! 2. in the cache, `$XDG_CACHE_HOME/omnihal/cuda` or `~/.cache/omnihal/cuda`;
//! 3. by compiling with nvcc, if one is found, or else with NVRTC; the result goes to the cache.

mod compile;
mod store;

pub use compile::{Compiler, build};

use omnihal::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Variable that names a folder of images built ahead.
pub const FOLDER: &str = "OMNIHAL_CUDA_KERNELS";

/// The oldest compute capability that the kernels are written for: bf16 tensor cores and asynchronous copies.
pub const OLDEST_CAPABILITY: u32 = 80;

macro_rules! texts {
    ($($file:literal),* $(,)?) => { &[$(($file, include_str!(concat!("../../kernels/", $file)))),*] };
}

/// What families include. `fiber.h`, which only host compilers read, is the last.
pub(crate) const HEADERS: &[(&str, &str)] = texts![
    "common.cuh",
    "mma.cuh",
    "key_rows.cuh",
    "attention_list.cuh",
    "attention_simple.cuh",
    "attention_stage.cuh",
    "attention_tile.cuh",
    "params.h",
    "fiber.h",
];

macro_rules! families {
    ($($family:literal),* $(,)?) => { &[$(Family {
        name: $family,
        source: include_str!(concat!("../../kernels/", $family, ".cu")),
        params: include_str!(concat!("../../kernels/params_", $family, ".h")),
    }),*] };
}

/// The kernels of a family.
pub(crate) struct Family {
    pub name: &'static str,
    /// The text of its file.
    pub source: &'static str,
    /// The text of its parameter header.
    pub params: &'static str,
}

pub(crate) const FAMILIES: &[Family] = families![
    "attention",
    "cache",
    "compress",
    "copy",
    "elementwise",
    "embed",
    "gemm",
    "hyper",
    "indexer",
    "moe",
    "norm",
    "quant",
    "rope",
    "sample",
];

/// The families, by name.
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

/// A family by its name.
pub(crate) fn family(name: &str) -> Result<&'static Family> {
    let found = FAMILIES.iter().find(|family| family.name == name);
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there are no kernels of family {name}")))
}

/// The files that the compiler of a family reads, by name.
pub(crate) fn files(family: &Family) -> impl Iterator<Item = (String, &'static str)> {
    let own = [(format!("{}.cu", family.name), family.source), (format!("params_{}.h", family.name), family.params)];
    HEADERS.iter().map(|(name, text)| ((*name).to_owned(), *text)).chain(own)
}

/// The files that the compiler of a family reads: name and text.
pub fn sources(name: &str) -> Result<Vec<(String, &'static str)>> {
    Ok(files(family(name)?).collect())
}

/// The digest of everything that a device compiler reads for a family, in hexadecimal. `fiber.h` is not part of it.
pub fn digest(name: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, text) in files(family(name)?).filter(|(name, _)| name != "fiber.h") {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    Ok(hex(&hash.finalize()))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The architecture that a device of this compute capability wants: `sm_90a` has instructions that nothing later runs.
pub fn architecture(capability: u32) -> String {
    match capability {
        90 => "sm_90a".to_owned(),
        other => format!("sm_{other}"),
    }
}

/// Architectures whose images a device runs, best first: its own, then the oldest of its generation.
fn acceptable(capability: u32) -> Vec<String> {
    let mut all = vec![architecture(capability)];
    let oldest = format!("sm_{}", capability / 10 * 10);
    if !all.contains(&oldest) && capability / 10 == OLDEST_CAPABILITY / 10 {
        all.push(oldest);
    }
    all
}

/// The compiled image of a family for a device.
pub(crate) fn image(family: &str, capability: u32) -> Result<Vec<u8>> {
    let digest = digest(family)?;
    if let Some(folder) = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        for arch in acceptable(capability) {
            if let Some(image) = store::read(&folder, family, &arch, &digest)? {
                return Ok(image);
            }
        }
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "{FOLDER} names {}, which has no kernels of {family} for {}; build them there",
                folder.display(),
                architecture(capability)
            ),
        ));
    }
    let arch = architecture(capability);
    let cache = store::cache();
    if let Some(cache) = &cache {
        match store::read(cache, family, &arch, &digest) {
            Ok(Some(image)) => return Ok(image),
            Ok(None) => {}
            // What is damaged is made anew.
            Err(error) => tracing::warn!(%error, "the kernel cache is damaged"),
        }
    }
    let image = compile::found()?.image(family, &arch)?;
    if let Some(cache) = &cache
        && let Err(error) = store::write(cache, family, &arch, &digest, &image)
    {
        tracing::warn!(%error, "compiled kernels were not kept");
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_runs_images_of_its_own_architecture_and_of_the_oldest_of_its_generation() {
        assert_eq!(acceptable(90), ["sm_90a"]);
        assert_eq!(acceptable(86), ["sm_86", "sm_80"]);
        assert_eq!(acceptable(80), ["sm_80"]);
        assert_eq!(acceptable(100), ["sm_100"]);
    }

    #[test]
    fn the_digest_depends_on_the_family() {
        assert_eq!(digest("norm").unwrap().len(), 64);
        assert!(digest("nothing").is_err());
    }
}
