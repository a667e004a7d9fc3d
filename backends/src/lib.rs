//! Turns cargo features into a registry of OmniHAL backends.

use omnihal_cpu::CpuBackend;
use omnihal_null::NullBackend;
use omnihal_reference::ReferenceBackend;
use omnihal_runtime::registry::Registry;

/// What the Ascend backend finds of its installation.
#[cfg(feature = "ascend")]
pub use omnihal_ascend::doctor as ascend;

/// Backends that are in a build only with the feature of the same name.
pub const OPTIONAL: [&str; 3] = ["cuda", "ascend", "cambricon"];

/// The backends of this build, the embedded ones first. Features `cuda`, `ascend` and `cambricon` add the vendors'; none needs an SDK.
pub fn registry() -> Registry {
    let registry =
        Registry::new().with(Box::new(ReferenceBackend)).with(Box::new(CpuBackend)).with(Box::new(NullBackend::new()));
    #[cfg(feature = "cuda")]
    let registry = registry.with(Box::new(omnihal_cuda::CudaBackend));
    #[cfg(feature = "ascend")]
    let registry = registry.with(Box::new(omnihal_ascend::AscendBackend));
    #[cfg(feature = "cambricon")]
    let registry = registry.with(Box::new(omnihal_cambricon::CambriconBackend));
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_backends_are_in_every_build() {
        let names: Vec<_> = registry().names().collect();
        assert_eq!(names[..3], ["reference", "cpu", "null"]);
        let built = [cfg!(feature = "cuda"), cfg!(feature = "ascend"), cfg!(feature = "cambricon")];
        assert_eq!(OPTIONAL.map(|name| names.contains(&name)), built);
    }

    #[test]
    fn embedded_backends_open_and_vendors_answer() {
        for (name, probe) in registry().probe_all() {
            let probe = probe.unwrap();
            let opened = registry().open(name);
            match opened {
                Ok(device) => assert_eq!(device.info().backend, name),
                Err(error) => {
                    assert!(probe.devices.is_empty(), "{name}: {error}");
                    assert!(error.message().starts_with("no device: searched "), "{name}: {error}");
                }
            }
        }
    }
}
