//! Hyper-connections: mixing of the residual streams (deepseek-v4.md 3.2). All f32 inside.

use super::product;
use crate::DType;

/// Coefficients of one hyper-connection: `streams` before, `streams` after, `streams^2` between.
pub const fn mix(streams: usize) -> usize {
    (2 + streams) * streams
}

super::operators! {
    /// Coefficients from the flattened streams, and their weighted sum: the input of a sublayer.
    /// `g = (z fn^T) * rsqrt(mean(z^2) + eps)`; `pre = sigmoid(g*scale[0]+base) + hc_eps`; `post = 2 sigmoid(g*scale[1]+base)`;
    /// `comb = sinkhorn(g*scale[2]+base)`; `a = sum_j pre[j] x[j]`, rounded, then normalised if a norm weight is given.
    Fused "hyper.pre" Pre PreArgs {
        /// Rows of a step.
        rows: usize,
        /// Residual streams.
        streams: usize,
        /// Hidden size.
        width: usize,
        /// Sinkhorn iterations.
        iters: usize,
        /// Epsilon of the norms.
        eps: f32,
        /// Epsilon of the mixing coefficients.
        hc_eps: f32,
        /// Type of the sublayer's norm weight, if the norm is to be done here.
        norm: Option<DType>,
        /// Activation type.
        act: DType,
    }
    require(d) {
        iters if d.iters >= 1 => "at least 1";
    }
    args(d) {
        /// Residual streams.
        read x = d.act, [d.rows, d.streams, d.width];
        /// Projection to the coefficients.
        read projection = DType::F32, [mix(d.streams), d.streams * d.width];
        /// Scale of the three groups of coefficients.
        read scale = DType::F32, [3];
        /// Bias of the coefficients.
        read base = DType::F32, [mix(d.streams)];
        /// Gain of the sublayer's norm.
        read norm if (d.norm.is_some()) = d.norm.unwrap_or(DType::F32), [d.width];
        /// Input of the sublayer.
        write a = d.act, [d.rows, d.width];
        /// Weight of the sublayer's output in each stream.
        write post = DType::F32, [d.rows, d.streams];
        /// Mixing of the streams: from row, to column.
        write comb = DType::F32, [d.rows, d.streams, d.streams];
    }
    flops(d) = product([2, mix(d.streams), d.streams, d.width, d.rows]) + product([8, d.width, d.rows]);

    /// Softmax of each row plus eps, then columns, then `iters-1` times rows and columns, divided by their sum plus eps.
    Fused "hyper.sinkhorn" Sinkhorn SinkhornArgs {
        /// Rows of a step.
        rows: usize,
        /// Residual streams.
        streams: usize,
        /// Iterations.
        iters: usize,
        /// Added after the softmax and to every sum.
        eps: f32,
    }
    require(d) {
        iters if d.iters >= 1 => "at least 1";
    }
    args(d) {
        /// Logits; rows may lie apart.
        read logits = DType::F32, [d.rows, d.streams * d.streams];
        /// Nearly doubly stochastic matrices; columns sum to 1.
        write comb = DType::F32, [d.rows, d.streams, d.streams];
    }
    flops(d) = product([4, d.iters, d.streams, d.streams, d.rows]);

    /// `y[k] = post[k] * out + sum_j comb[j, k] * x[j]`, one rounding. `y` may be `x`.
    Fused "hyper.post" Post PostArgs {
        /// Rows of a step.
        rows: usize,
        /// Residual streams.
        streams: usize,
        /// Hidden size.
        width: usize,
        /// Activation type.
        act: DType,
    }
    args(d) {
        /// Residual streams.
        read x = d.act, [d.rows, d.streams, d.width];
        /// Output of the sublayer.
        read out = d.act, [d.rows, d.width];
        /// Weight of the output in each stream.
        read post = DType::F32, [d.rows, d.streams];
        /// Mixing of the streams.
        read comb = DType::F32, [d.rows, d.streams, d.streams];
        /// New residual streams.
        write y = d.act, [d.rows, d.streams, d.width];
    }
    flops(d) = product([2, d.streams + 1, d.streams, d.width, d.rows]);

    /// Collapses the streams of the wanted rows: `y = sum_j (sigmoid(g*scale+base)[j] + hc_eps) x[j]`, rounded, then normalised if a weight is given.
    Fused "hyper.head" Head HeadArgs {
        /// Rows of a step.
        rows: usize,
        /// Rows wanted.
        wanted: usize,
        /// Residual streams.
        streams: usize,
        /// Hidden size.
        width: usize,
        /// Epsilon of the norms.
        eps: f32,
        /// Epsilon of the mixing coefficients.
        hc_eps: f32,
        /// Type of the final norm's weight, if the norm is to be done here.
        norm: Option<DType>,
        /// Activation type.
        act: DType,
    }
    args(d) {
        /// Residual streams.
        read x = d.act, [d.rows, d.streams, d.width];
        /// Step column `out`: rows wanted, -1 for none.
        read out = DType::I32, [d.wanted];
        /// Projection to the coefficients.
        read projection = DType::F32, [d.streams, d.streams * d.width];
        /// Scale of the coefficients.
        read scale = DType::F32, [1];
        /// Bias of the coefficients.
        read base = DType::F32, [d.streams];
        /// Gain of the final norm.
        read norm if (d.norm.is_some()) = d.norm.unwrap_or(DType::F32), [d.width];
        /// Collapsed rows.
        write y = d.act, [d.wanted, d.width];
    }
    flops(d) = product([2, d.wanted, d.streams, d.width, d.streams + 1]);
}
