//! OmniHAL backend for NVIDIA devices through the CUDA driver, with kernels of its own.
//!
//! Nothing of CUDA is needed to build it. The driver is opened when a device is looked for; without one the answer lists every place that was searched, and nothing
//! else happens. Kernels come from a folder built ahead ([`kernels`]), from the cache, from nvcc or from NVRTC, in this order.
//!
//! Kernels add up in f32 in an order that a plan fixes; no result depends on which thread comes first. A failure while a kernel runs is, with CUDA, the loss of the
//! device: every later call returns the first cause.

mod blas;
pub mod collective;
mod context;
mod device;
mod errors;
mod event;
mod graph;
pub mod kernels;
mod memory;
mod modules;
mod ops;
mod params;
mod staging;
mod stream;
mod sys;

use cudarc::driver::sys as cu;
use omnihal::{Backend, Device, DeviceInfo, Error, Probe, Result};
use omnihal_runtime::search;
use std::ffi::CStr;
use std::sync::Arc;

/// The entry point.
#[derive(Clone, Copy, Debug, Default)]
pub struct CudaBackend;

impl Backend for CudaBackend {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn probe(&self) -> Result<Probe> {
        let mut probe = Probe { devices: Vec::new(), searched: sys::DRIVER.run().searched };
        if let Some(driver) = sys::driver()? {
            let mut count = 0;
            // SAFETY: the driver is initialised; the call writes one integer.
            errors::check(unsafe { cu::cuDeviceGetCount(&mut count) }, "cuDeviceGetCount")?;
            probe.devices = (0..count as usize).map(|index| describe(driver, index)).collect::<Result<_>>()?;
        }
        Ok(probe)
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        let probe = self.probe()?;
        let Some(driver) = sys::driver()? else { return Err(search::no_device(&probe.searched)) };
        let count = probe.devices.len();
        let Some(info) = probe.devices.into_iter().nth(index) else {
            return Err(Error::argument(format!(
                "device {index} was asked of cuda, which has {count}; give a smaller index"
            )));
        };
        Ok(Arc::new(device::CudaDevice::open(driver, info)?))
    }
}

/// What the driver says of a device.
fn describe(driver: sys::Driver, index: usize) -> Result<DeviceInfo> {
    let (mut device, mut bytes, mut name) = (0, 0usize, [0; 256]);
    // SAFETY: each call writes what it is given; the name ends with a zero within its array.
    let name = unsafe {
        errors::check(cu::cuDeviceGet(&mut device, index as i32), "cuDeviceGet")?;
        errors::check(cu::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, device), "cuDeviceGetName")?;
        errors::check(cu::cuDeviceTotalMem_v2(&mut bytes, device), "cuDeviceTotalMem")?;
        CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned()
    };
    let version = format!("{}.{}", driver.version / 1000, driver.version % 1000 / 10);
    Ok(DeviceInfo {
        backend: "cuda",
        index,
        name,
        memory: Some(bytes as u64),
        versions: vec![("driver".to_owned(), version)],
    })
}

/// The headers `kernels/params*.h`, name and text, made from the parameter structures of this crate.
pub fn params_headers() -> impl Iterator<Item = (&'static str, String)> {
    ops::STRUCTS.iter().map(|(file, structs)| (*file, params::header(structs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::ErrorKind;

    #[test]
    fn without_a_device_the_answer_lists_what_was_searched() {
        let probe = CudaBackend.probe().unwrap();
        assert!(probe.searched.iter().any(|place| place.contains("CUDA_PATH")), "{:?}", probe.searched);
        if probe.devices.is_empty() {
            let error = CudaBackend.open(0).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(error.message(), format!("no device: searched {}", probe.searched.join(", ")));
        }
    }

    #[test]
    fn the_headers_of_the_kernels_are_what_the_declarations_make() {
        for (file, text) in params_headers() {
            let kept = std::fs::read_to_string(format!("{}/kernels/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            assert_eq!(kept, text, "{file}: run `cargo run -p omnihal-cuda --example params`");
        }
    }
}
