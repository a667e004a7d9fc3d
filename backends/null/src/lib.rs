//! The OmniHAL backend that does nothing: complete, small, and meant to be copied by whoever brings a new chip.
//!
//! It accepts every operator, allocates real host memory, moves bytes when asked to copy, fill, write or read, captures and
//! launches graphs, and computes nothing: running a plan leaves every argument as it was.
//!
//! # How to read it
//!
//! Every backend crate has the same files, so that whoever knows one knows the next:
//!
//! | file | holds | a real backend adds |
//! |---|---|---|
//! | `lib.rs` | the [`Backend`]: probe and open | the search for the vendor's library, with every place it looked at |
//! | `device.rs` | [`Device`]: facts, allocation, plans | weight layouts (`weight`, `repack`), errors kept from `Drop` (`health`) |
//! | `memory.rs` | the owner of one allocation | the vendor's allocator; pinned memory |
//! | `stream.rs` | [`Stream`](omnihal::Stream) and [`Event`](omnihal::Event) | the vendor's queue; the first cause of a poisoned stream |
//! | `graph.rs` | what a capture collects | the vendor's graph handle |
//! | `ops.rs` | [`Plan`](omnihal::Plan)s | a folder `ops/` with one file for each family of the catalogue, named as in `hal/core/src/op` |
//! | `collective.rs` | [`Collective`](omnihal::Collective) over one member | the vendor's communicator |
//!
//! `calls.rs` is of this backend only: it lets a test see which calls arrived, and in which order.

mod calls;
mod collective;
mod device;
mod graph;
mod memory;
mod ops;
mod stream;

pub use calls::{Call, Calls, JOURNAL};
pub use collective::SoloCollective;

use device::NullDevice;
use omnihal::{Backend, Device, DeviceInfo, Error, ErrorKind, Probe, Result};
use std::sync::Arc;

/// The name given to `--backend`.
const NAME: &str = "null";

/// The entry point. Its devices share one journal of [`Calls`].
#[derive(Debug, Default)]
pub struct NullBackend {
    calls: Arc<Calls>,
}

impl NullBackend {
    /// A backend with an empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// The calls that have reached any device of this backend. Keep the handle before the backend moves into a registry.
    pub fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.calls)
    }
}

impl Backend for NullBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self) -> Result<Probe> {
        Ok(Probe { devices: vec![info()], searched: vec!["nothing: the null device is always there".to_owned()] })
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        if index != 0 {
            return Err(Error::new(ErrorKind::NotFound, format!("no device {NAME}:{index}: there is one, {NAME}:0")));
        }
        Ok(Arc::new(NullDevice::new(info(), self.calls())))
    }
}

fn info() -> DeviceInfo {
    DeviceInfo {
        backend: NAME,
        index: 0,
        name: "null device".to_owned(),
        memory: None,
        versions: vec![("omnihal-null".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
    }
}
