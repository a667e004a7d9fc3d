//! A plain device whose kernels can be planted with known bugs, by which the conformance kit is itself tested.
//!
//! The device computes every operator of the catalogue on the host, in f32, in the shortest honest way. [`variant::all`] lists its
//! variants: each changes a kernel, a stream or the memory in the source, either to another legal way ([`Class::Honest`]) or to a
//! mistake of the kind that vendors' engineers make ([`Class::Planted`]). A judge worth its name accepts the former and finds the latter.

pub mod call;
mod device;
mod graph;
mod memory;
pub mod ops;
pub mod rows;
mod stream;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod variant;

pub use call::Call;
pub use device::{VariantsBackend, device, failing_plan};

pub use variant::{Class, Variant, all, find};
