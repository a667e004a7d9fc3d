//! The OmniHAL CPU backend: threads, SIMD and quantised weights.
//!
//! Device memory is host memory and a stream is the calling thread plus a pool of workers, so every call has run when it returns.
//! Each output element is summed by one thread in an order that depends on the shape of its own reduction only (see
//! `ops/gemm.rs`): results have the same bits for any number of threads, rows and chunks.

mod device;
mod memory;
mod num;
mod ops;
mod pool;
mod simd;
mod stream;

use omnihal::{Backend, Device, DeviceInfo, Error, Probe, Result};
use std::sync::Arc;

/// The CPU of this host, as one device.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuBackend;

/// Environment variable that sets the number of threads.
const THREADS: &str = "OMNIHAL_THREADS";

impl CpuBackend {
    /// Opens the CPU with a given number of threads, whatever the environment says.
    pub fn open_with(threads: usize) -> Result<Arc<dyn Device>> {
        Ok(Arc::new(device::CpuDevice::new(info(), threads.max(1))?))
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn probe(&self) -> Result<Probe> {
        Ok(Probe { devices: vec![info()], searched: vec![format!("this host; {THREADS} sets the threads")] })
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        if index != 0 {
            return Err(Error::argument(format!("device {index} was asked of cpu, which has one; open device 0")));
        }
        CpuBackend::open_with(threads()?)
    }
}

fn info() -> DeviceInfo {
    DeviceInfo {
        backend: "cpu",
        index: 0,
        name: format!("{} ({} kernels)", std::env::consts::ARCH, simd::kernels().name),
        memory: memory::total(),
        versions: Vec::new(),
    }
}

/// Threads to use: the variable if it is set, else what the host offers this process.
fn threads() -> Result<usize> {
    match std::env::var(THREADS) {
        Err(_) => Ok(std::thread::available_parallelism().map_or(1, |n| n.get())),
        Ok(text) => text.parse().ok().filter(|n| (1..=pool::MAX_THREADS).contains(n)).ok_or_else(|| {
            Error::argument(format!("{THREADS} is `{text}`, expected a number from 1 to {}", pool::MAX_THREADS))
        }),
    }
}
