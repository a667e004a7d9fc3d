//! Matrix products.
//!
//! # The order of a sum
//!
//! There is one, for every weight format, number of rows, operator and thread count. A stored element is widened to f32 and multiplied
//! by its scale, rounding once (not at all if the scale is a power of two). Sixteen lanes each take the products of the elements
//! `k = j (mod 16)` in ascending order, from 0, by fused multiply-adds. The lanes are added up in ascending order.
//!
//! A few rows are multiplied lane by lane along the stored rows ([`Kernels::dots`]). Many rows are multiplied in tiles of 6 x 16 outputs,
//! one lane of the sum after the other: the widened weights and the activations are laid out so that the elements of one lane follow
//! each other ([`Kernels::panel`], [`Kernels::tile`]). Neither changes the order, so a row has the same bits alone and in a batch.
//!
//! [`Kernels::dots`]: crate::simd::Kernels::dots
//! [`Kernels::panel`]: crate::simd::Kernels::panel
//! [`Kernels::tile`]: crate::simd::Kernels::tile

mod batched;
pub(crate) mod dense;
mod grouped;
pub(crate) mod groups;
pub(crate) mod linear;
pub(crate) mod products;
pub(crate) mod weights;

use super::{Choice, unsupported};
use omnihal::{Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::GemmLinear(d) => linear::plan(d, threads),
        Op::GemmBatched(d) => batched::plan(d, threads),
        Op::GemmGrouped(d) => grouped::plan(d, threads),
        other => unsupported(other),
    }
}
