//! Routing and experts (deepseek-v4.md 6).

use super::{ActQuant, product};
use crate::{DType, WeightFormat};
use serde::{Deserialize, Serialize};

/// How a row's experts are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Routing {
    /// The best scores plus bias.
    Scored,
    /// A fixed table by token id, of this many rows.
    Hash(usize),
}

super::operators! {
    /// Sorts (row, choice) pairs by expert, then by pair. Absent experts and those outside `first..first+local` come last and are not counted. Exact.
    Core "moe.group" Group GroupArgs {
        /// Rows of a step.
        rows: usize,
        /// Experts of a row.
        choices: usize,
        /// First expert of this device.
        first: usize,
        /// Experts of this device.
        local: usize,
    }
    args(d) {
        /// Chosen experts, -1 for none.
        read idx = DType::I32, [d.rows, d.choices];
        /// Pair at each sorted place.
        write perm = DType::I32, [d.rows * d.choices];
        /// Row of that pair.
        write src = DType::I32, [d.rows * d.choices];
        /// Sorted place of each pair.
        write inv = DType::I32, [d.rows * d.choices];
        /// Pairs of each local expert.
        write counts = DType::I32, [d.local];
    }
    flops(_d) = 0.0;

    /// Scores `s = sqrt(softplus(x gate^T))` in f32, chooses experts, and gives their weights `s / (sum s + 1e-20) * scale`.
    /// The bias decides the choice and never enters a weight. Order: by biased score (ties: lowest expert), or the table's. Padding rows give -1.
    Fused "moe.route" Route RouteArgs {
        /// Rows of a step.
        rows: usize,
        /// Hidden size.
        width: usize,
        /// Experts.
        experts: usize,
        /// Experts of a row.
        choices: usize,
        /// How they are chosen.
        routing: Routing,
        /// Factor of the weights.
        scale: f32,
        /// Type of the gate weight.
        gate: DType,
        /// Activation type.
        act: DType,
        /// Give the gate's logits too.
        with_logits: bool,
    }
    require(d) {
        choices if d.choices <= d.experts => "at most `experts`";
    }
    args(d) {
        /// Activations.
        read x = d.act, [d.rows, d.width];
        /// Gate weight.
        read gate = d.gate, [d.experts, d.width];
        /// Bias of the choice.
        read bias if (d.routing == Routing::Scored) = DType::F32, [d.experts];
        /// Experts by token id.
        read table if (matches!(d.routing, Routing::Hash(_))) = DType::I32, [match d.routing { Routing::Hash(v) => v, _ => 1 }, d.choices];
        /// Token ids.
        read ids if (matches!(d.routing, Routing::Hash(_))) = DType::I32, [d.rows];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// Chosen experts.
        write idx = DType::I32, [d.rows, d.choices];
        /// Their weights.
        write wt = DType::F32, [d.rows, d.choices];
        /// Logits of the gate.
        write logits if (d.with_logits) = DType::F32, [d.rows, d.experts];
    }
    flops(d) = product([2, d.rows, d.width, d.experts]);

    /// `y = silu(min(g, limit)) * clamp(u, -limit, limit) * wt`, with g the first and u the second half of a row; f32 inside, one rounding.
    Fused "moe.swiglu" Swiglu SwigluArgs {
        /// Rows.
        rows: usize,
        /// Expert width.
        inter: usize,
        /// Clamp.
        limit: f32,
        /// Multiply by a weight for each row.
        weighted: bool,
        /// Type of x.
        input: DType,
        /// Type of y.
        output: DType,
    }
    args(d) {
        /// Gate and up projections side by side.
        read x = d.input, [d.rows, 2 * d.inter];
        /// Weight of each row.
        read wt if (d.weighted) = DType::F32, [d.rows];
        /// Hidden values.
        write y = d.output, [d.rows, d.inter];
    }
    flops(d) = product([6, d.rows, d.inter]);

    /// The shared expert: `w2 swiglu(w13 x)`.
    Fused "moe.mlp" Mlp MlpArgs {
        /// Rows of a step.
        rows: usize,
        /// Hidden size.
        width: usize,
        /// Expert width.
        inter: usize,
        /// Format of w13.
        w13: WeightFormat,
        /// Format of w2.
        w2: WeightFormat,
        /// Clamp.
        limit: f32,
        /// Rounding of the inputs of both products.
        a_quant: ActQuant,
        /// Activation type.
        act: DType,
    }
    require(d) {
        width if d.a_quant == ActQuant::None || d.width % 128 == 0 => "a multiple of 128 when activations are rounded in groups of 128";
        inter if d.a_quant == ActQuant::None || d.inter % 128 == 0 => "a multiple of 128 when activations are rounded in groups of 128";
    }
    args(d) {
        /// Activations.
        read x = d.act, [d.rows, d.width];
        /// Gate rows, then up rows.
        read w13 = d.w13, [2 * d.inter, d.width];
        /// Down projection.
        read w2 = d.w2, [d.width, d.inter];
        /// Result.
        write y = d.act, [d.rows, d.width];
    }
    flops(d) = product([6, d.rows, d.width, d.inter]);

    /// The routed experts: `y = acc + sum over choices of w2[e] q(swiglu(w13[e] q(x)) * wt)`, summed in list order in f32, one rounding.
    /// Absent and foreign experts add exactly 0.
    Fused "moe.experts" Experts ExpertsArgs {
        /// Rows of a step.
        rows: usize,
        /// Hidden size.
        width: usize,
        /// Expert width.
        inter: usize,
        /// Experts of a row.
        choices: usize,
        /// First expert of this device.
        first: usize,
        /// Experts of this device.
        local: usize,
        /// Format of w13.
        w13: WeightFormat,
        /// Format of w2.
        w2: WeightFormat,
        /// Clamp.
        limit: f32,
        /// Rounding of the inputs of both products.
        a_quant: ActQuant,
        /// Activation type.
        act: DType,
        /// Add to `acc`.
        accumulate: bool,
    }
    require(d) {
        width if d.a_quant == ActQuant::None || d.width % 128 == 0 => "a multiple of 128 when activations are rounded in groups of 128";
        inter if d.a_quant == ActQuant::None || d.inter % 128 == 0 => "a multiple of 128 when activations are rounded in groups of 128";
    }
    args(d) {
        /// Activations.
        read x = d.act, [d.rows, d.width];
        /// Chosen experts, -1 for none.
        read idx = DType::I32, [d.rows, d.choices];
        /// Their weights.
        read wt = DType::F32, [d.rows, d.choices];
        /// Gate rows, then up rows, of each local expert.
        read w13 = d.w13, [d.local, 2 * d.inter, d.width];
        /// Down projection of each local expert.
        read w2 = d.w2, [d.local, d.width, d.inter];
        /// Added to the result.
        read acc if (d.accumulate) = d.act, [d.rows, d.width];
        /// Result; may be `acc`.
        write y = d.act, [d.rows, d.width];
    }
    flops(d) = product([6, d.rows, d.choices, d.width, d.inter]);
}
