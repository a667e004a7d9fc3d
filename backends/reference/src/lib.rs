//! The judge: every operator in f64, plain and slow, with an error bound beside each result.
//!
//! Nothing here is optimised, and nothing is shared with another backend. [`evaluate`] gives the results with their bounds; a
//! stream of this backend is that, stored.

mod device;
pub mod format;
mod memory;
pub mod num;
mod ops;
pub mod rows;
mod stream;
pub mod tensor;
#[cfg(test)]
mod testing;

pub use num::Num;
pub use tensor::{Choice, Output, Packed, Tensor, Values};

use omnihal::{Accumulation, Args, Backend, Device, Error, ErrorKind, Op, Probe, Result};
use std::sync::Arc;

/// The backend's name.
const NAME: &str = "reference";

/// The judge as a backend: one device, always there.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceBackend;

impl Backend for ReferenceBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self) -> Result<Probe> {
        Ok(Probe { devices: vec![device::describe()], searched: vec!["the host itself".into()] })
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        if index > 0 {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("device {index} of `{NAME}` was asked for, found only device 0"),
            ));
        }
        Ok(Arc::new(device::ReferenceDevice::new(device::describe())))
    }
}

/// Evaluates one operator: reads the arguments and returns what each output becomes, with bounds. Writes nothing.
///
/// # Safety
/// Every view must name live host memory that nobody writes during the call.
pub unsafe fn evaluate(op: &Op, args: &Args<'_>) -> Result<Vec<Output>> {
    ops::run(op, args)
}

/// [`evaluate`], with the bounds of a device that adds up products in this class.
///
/// # Safety
/// As for [`evaluate`].
pub unsafe fn evaluate_as(op: &Op, args: &Args<'_>, class: Accumulation) -> Result<Vec<Output>> {
    num::accumulating(class, || ops::run(op, args))
}
