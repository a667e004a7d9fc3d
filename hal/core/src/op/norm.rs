//! Root-mean-square normalisation.

use super::product;
use crate::DType;

super::operators! {
    /// `y = weight * x * rsqrt(mean(x^2) + eps)` over the last axis, f32 inside, one rounding (deepseek-v4.md 3.1).
    /// Without a weight the factor is 1. A row of zeros gives zeros. `y` may be `x`; both may have gaps between rows.
    Core "norm.rms" Rms RmsArgs {
        /// Rows.
        rows: usize,
        /// Vectors in a row, normalised apart.
        heads: usize,
        /// Elements of a vector.
        width: usize,
        /// Added to the mean square.
        eps: f32,
        /// Type of the weight, if there is one.
        weight: Option<DType>,
        /// Type of x.
        input: DType,
        /// Type of y.
        output: DType,
    }
    args(d) {
        /// Input.
        read x = d.input, [d.rows, d.heads, d.width];
        /// Gain of each channel.
        read weight if (d.weight.is_some()) = d.weight.unwrap_or(DType::F32), [d.width];
        /// Normalised vectors.
        write y = d.output, [d.rows, d.heads, d.width];
    }
    flops(d) = product([4, d.rows, d.heads, d.width]);
}
