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

// `HEADERS`: what families may include, name and text; only host compilers read `fiber.h`. `FAMILIES`: name and text of each family's file. Listed by build.rs.
include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The families, by name.
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

/// The text of a family's file.
pub(crate) fn source(family: &str) -> Result<&'static str> {
    let found = FAMILIES.iter().find(|(name, _)| *name == family);
    found
        .map(|(_, text)| *text)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there are no kernels of family {family}")))
}

/// The files that a compiler of a family may read: name and text.
pub fn sources(family: &str) -> Result<Vec<(String, &'static str)>> {
    let own = (format!("{family}.cu"), source(family)?);
    Ok(HEADERS.iter().map(|(name, text)| ((*name).to_owned(), *text)).chain([own]).collect())
}

/// The files that a device compiler does read for a family: its own, and what they include, once each, in the order in which they are met.
fn included(family: &str) -> Result<Vec<(String, &'static str)>> {
    let all = sources(family)?;
    let mut met = vec![format!("{family}.cu")];
    let mut next = 0;
    while let Some(name) = met.get(next) {
        let text = all.iter().find(|(file, _)| file == name).map_or("", |(_, text)| *text);
        let includes = text.lines().filter_map(|line| line.trim().strip_prefix("#include \"")?.strip_suffix('"'));
        let new: Vec<_> =
            includes.filter(|file| *file != "fiber.h" && !met.iter().any(|m| m == file)).map(str::to_owned).collect();
        met.extend(new);
        next += 1;
    }
    let named = |name: String| all.iter().find(|(file, _)| *file == name).cloned();
    Ok(met.into_iter().filter_map(named).collect())
}

/// The digest of everything that a device compiler reads for a family, in hexadecimal. `fiber.h` is not part of it.
pub fn digest(name: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, text) in included(name)? {
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
    fn the_digest_is_of_what_the_family_reads() {
        assert_eq!(digest("norm").unwrap().len(), 64);
        assert!(digest("nothing").is_err());
        let read: Vec<_> = included("norm").unwrap().into_iter().map(|(name, _)| name).collect();
        assert!(
            ["norm.cu", "common.cuh", "params.h", "params_norm.h"].iter().all(|file| read.iter().any(|r| r == file)),
            "{read:?}"
        );
        assert!(!read.iter().any(|file| file == "fiber.h" || file == "params_moe.h"), "{read:?}");
    }
}
