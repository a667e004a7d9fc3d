//! The judge: every operator in f64, plain and slow, with an error bound beside each result.
//!
//! Nothing here is optimised, and nothing is shared with another backend. [`evaluate`] gives the results with their bounds; a
//! stream of this backend is that, stored.

pub mod format;
pub mod num;
mod ops;
pub mod tensor;

pub use num::Num;
pub use tensor::{Output, Tensor, Values};

use omnihal::{Args, Op, Result};

/// Evaluates one operator: reads the arguments and returns what each output becomes, with bounds. Writes nothing.
///
/// # Safety
/// Every view must name live host memory that nobody writes during the call.
pub unsafe fn evaluate(op: &Op, args: &Args<'_>) -> Result<Vec<Output>> {
    ops::run(op, args)
}
