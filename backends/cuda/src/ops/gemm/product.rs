//! What the kernels of `gemm.*` take.

use crate::params::{Ptr, Weight, params};
use omnihal::View;

params! {
    /// `y[i] = alpha * a[i] w[i]^T (+ y[i])` for every matrix i, or for every group of rows if there are `counts`. Strides in elements.
    Product {
        a: Ptr,
        y: Ptr,
        /// Rows of each group, or null.
        counts: Ptr,
        /// Scales of activations that are codes, `[inner / 128, rows]`.
        a_scales: Ptr,
        /// Sums of parts of k, `[splits, matrices, rows, outer]` in f32.
        parts: Ptr,
        w: Weight,
        a_row: i64,
        a_col: i64,
        a_batch: i64,
        w_row: i64,
        w_col: i64,
        w_batch: i64,
        y_row: i64,
        y_batch: i64,
        rows: i32,
        inner: i32,
        outer: i32,
        matrices: i32,
        /// Tiles that cover the rows.
        row_tiles: i32,
        /// Parts of k that blocks of their own sum, and elements of one.
        splits: i32,
        split_inner: i32,
        a_dtype: i32,
        y_dtype: i32,
        accumulate: i32,
        alpha: f32,
        /// Whether activations are rounded to E4M3 on their way in.
        rounded: i32,
    }
    /// Parameters of `round_operand` and `round_codes`.
    Rounding {
        a: Ptr,
        to: Ptr,
        scales: Ptr,
        a_row: i64,
        dtype: i32,
        rows: i32,
        inner: i32,
        reserved: i32,
    }
}

impl Product {
    /// A product with this weight, everything else neutral.
    pub(super) fn of(w: &View, batched: bool) -> Product {
        let rank = w.shape.rank();
        let none = Ptr(0);
        Product {
            a: none,
            y: none,
            counts: none,
            a_scales: none,
            parts: none,
            w: Weight::new(w),
            a_row: 0,
            a_col: 1,
            a_batch: 0,
            w_row: w.strides[rank - 2] as i64,
            w_col: 1,
            w_batch: if batched { w.strides[0] as i64 } else { 0 },
            y_row: 0,
            y_batch: 0,
            rows: 0,
            inner: 0,
            outer: 0,
            matrices: 1,
            row_tiles: 1,
            splits: 1,
            split_inner: 0,
            a_dtype: 0,
            y_dtype: 0,
            accumulate: 0,
            alpha: 1.0,
            rounded: 0,
        }
    }
}
