//! Rotary position embedding, interleaved pairs, last channels only (deepseek-v4.md 3.3).

use super::product;
use crate::DType;

super::operators! {
    /// Rotates the last `rotary` channels of each vector in place, as pairs `(2k, 2k+1)`, f32 inside. Others are untouched.
    Core "rope.apply" Apply ApplyArgs {
        /// Rows.
        rows: usize,
        /// Vectors in a row, rotated alike.
        heads: usize,
        /// Elements of a vector.
        width: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Rotate back.
        inverse: bool,
        /// Type of x.
        dtype: DType,
    }
    require(d) {
        rotary if d.rotary % 2 == 0 && d.rotary <= d.width => "even and at most `width`";
    }
    args(d) {
        /// Vectors; rows may lie apart.
        update x = d.dtype, [d.rows, d.heads, d.width];
        /// Cosine and sine of each pair, side by side.
        read cs = DType::F32, [d.rows, d.rotary];
    }
    flops(d) = product([3, d.rows, d.heads, d.rotary]);
}
