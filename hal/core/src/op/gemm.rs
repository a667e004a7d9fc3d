//! Matrix products. Weights are `[out, in]`; accumulation is f32, for F8 operands in blocks of 128 products.

use super::{ActQuant, product};
use crate::{DType, WeightFormat};

super::operators! {
    /// `y = a_quant(a) w^T (+ y)`. With `a_quant`, activations are rounded to the E4M3 grid in groups of 128 channels first.
    Core "gemm.linear" Linear LinearArgs {
        /// Rows of a.
        rows: usize,
        /// Products summed for one output.
        inner: usize,
        /// Output channels.
        outer: usize,
        /// Type of a.
        input: DType,
        /// Weight format.
        weight: WeightFormat,
        /// Rounding of the activations.
        a_quant: ActQuant,
        /// Type of y.
        output: DType,
        /// Add to y instead of overwriting it.
        accumulate: bool,
    }
    require(d) {
        inner if d.a_quant == ActQuant::None || d.inner % 128 == 0 => "a multiple of 128 when activations are rounded in groups of 128";
    }
    args(d) {
        /// Activations.
        read a = d.input, [d.rows, d.inner];
        /// Weight.
        read w = d.weight, [d.outer, d.inner];
        /// Result; rows may lie apart. Read first when accumulating.
        update y = d.output, [d.rows, d.outer];
    }
    flops(d) = product([2, d.rows, d.inner, d.outer]);

    /// `y[i] = alpha * a[i] b[i] (+ y[i])` for each of `batch` pairs. Any stride is legal except along the last axis.
    Core "gemm.batched" Batched BatchedArgs {
        /// Pairs.
        batch: usize,
        /// Rows of a result.
        m: usize,
        /// Products summed for one output.
        inner: usize,
        /// Columns of a result.
        n: usize,
        /// `a` is given as `[batch, inner, m]`.
        transpose_a: bool,
        /// `b` is given as `[batch, n, inner]`.
        transpose_b: bool,
        /// Type of a and b: F32 or BF16.
        input: DType,
        /// Type of y.
        output: DType,
        /// Factor of the products.
        alpha: f32,
        /// Add to y instead of overwriting it.
        accumulate: bool,
    }
    args(d) {
        /// Left operands.
        read a = d.input, [d.batch, if d.transpose_a { d.inner } else { d.m }, if d.transpose_a { d.m } else { d.inner }];
        /// Right operands.
        read b = d.input, [d.batch, if d.transpose_b { d.n } else { d.inner }, if d.transpose_b { d.inner } else { d.n }];
        /// Results; read first when accumulating.
        update y = d.output, [d.batch, d.m, d.n];
    }
    flops(d) = product([2, d.batch, d.m, d.inner, d.n]);

    /// `y[i] = x[i] w[g]^T`, rows sorted by group, `counts[g]` rows in group g. Rows past the sum of counts are unspecified.
    /// The weight of a group without rows is not read.
    Core "gemm.grouped" Grouped GroupedArgs {
        /// Rows of x.
        rows: usize,
        /// Groups.
        groups: usize,
        /// Products summed for one output.
        inner: usize,
        /// Output channels.
        outer: usize,
        /// Type of x.
        input: DType,
        /// Weight format.
        weight: WeightFormat,
        /// Type of y.
        output: DType,
    }
    args(d) {
        /// Activations, sorted by group.
        read x = d.input, [d.rows, d.inner];
        /// Rows of each group.
        read counts = DType::I32, [d.groups];
        /// Weights of all groups.
        read w = d.weight, [d.groups, d.outer, d.inner];
        /// Results in the order of x.
        write y = d.output, [d.rows, d.outer];
    }
    flops(d) = product([2, d.rows, d.inner, d.outer]);
}
