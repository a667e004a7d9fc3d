//! Parity with the oracle: runs a model on a device and compares every golden tensor that there is.
//!
//! The golden values come from `tests/e2e/oracle`, which nobody on this project wrote. Limits are those of its README: 1e-4 on logits, 2e-4 on
//! everything else that is a real number, equality of index and expert sets.

mod compare;
mod derive;
mod golden;
mod judge;
mod ops;
mod parity;
mod report;
mod run;
mod state;

pub use golden::{Golden, GoldenError};
pub use judge::judge;
pub use ops::ops_parity;
pub use parity::{Observations, ParityError, ParityOptions, Path, observe, parity};
pub use report::{Report, TensorResult};
