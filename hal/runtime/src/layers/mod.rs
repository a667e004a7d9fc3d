//! Layers: wrappers around a device that check, trace, record or fail its calls. They work over any backend, are chosen when a device is
//! opened, and cost nothing when they are absent.
//!
//! ```
//! use omnihal::Backend;
//! use omnihal_runtime::layers;
//!
//! let device = omnihal_null::NullBackend::new().open(0)?;
//! let (device, ring) = layers::trace(layers::validate(device));
//! device.stream()?.sync(std::time::Duration::ZERO)?;
//! assert_eq!(ring.entries()[0].name, "sync");
//! # Ok::<(), omnihal::Error>(())
//! ```
//!
//! Streams, events and plans belong to the layers they were made under: make them all on the outermost device.

mod compose;
mod fault;
pub(crate) mod layer;
mod record;
#[cfg(test)]
pub(crate) mod testing;
mod trace;
pub(crate) mod tracked;
mod validate;

pub use compose::compose;
pub use fault::{Effect, FaultPlan, FaultRule, Site, fault};
pub use record::{ArgRecord, CallRecord, MemRecord, QuantRecord, Record, RecordBuffer, record, record_to};
pub use trace::{TraceEntry, TraceRing, trace, trace_into};
pub use validate::{ValidateOptions, validate, validate_with};
