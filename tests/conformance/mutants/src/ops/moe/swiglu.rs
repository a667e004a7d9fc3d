//! moe.swiglu, alone and as a part of an expert.

use crate::Call;
use crate::rows::math::Math;
use crate::rows::{numbers, put, strided};
use crate::tensor::load;
use omnihal::op::moe::Swiglu;

pub fn swiglu(call: &Call<'_>, d: &Swiglu) {
    let math = Math::of(call, d.rows);
    let x = strided(call, 0, "moe.gated_stride_ignored");
    let wt = call.view(1).map(load);
    for row in 0..d.rows {
        let weight = wt.as_ref().map(|wt| if call.is("moe.weight_of_first_row") { wt[0] } else { wt[row] });
        put(call.arg(2), row, &hidden(call, &math, &numbers(&x, row), d.limit, weight));
    }
}

/// `silu(min(g, limit)) * clamp(u, -limit, limit) * wt` of one row `g | u`.
pub fn hidden(call: &Call<'_>, math: &Math, x: &[f32], limit: f32, wt: Option<f32>) -> Vec<f32> {
    let inter = x.len() / 2;
    let end = if call.is("moe.hidden_tail_skipped") && inter > 32 { inter - inter % 32 } else { inter };
    let at = |i: usize| match () {
        () if call.is("moe.gate_and_up_swapped") => (x[inter + i], x[i]),
        () if call.is("moe.gate_and_up_interleaved") => (x[2 * i], x[2 * i + 1]),
        () => (x[i], x[inter + i]),
    };
    let value = |i: usize| {
        let (g, u) = at(i);
        let y = activated(call, math, g, limit) * bounded(call, u, limit);
        match wt {
            Some(_) if call.is("moe.weight_missing") => y,
            Some(wt) if call.is("moe.weight_twice") => y * wt * wt,
            Some(wt) => y * wt,
            None => y,
        }
    };
    (0..inter).map(|i| if i < end { value(i) } else { 0.0 }).collect()
}

/// A NaN must stay one, so no `min` and `max`.
fn at_most(x: f32, limit: f32) -> f32 {
    if x > limit { limit } else { x }
}

fn activated(call: &Call<'_>, math: &Math, g: f32, limit: f32) -> f32 {
    match () {
        () if call.is("moe.gate_clamped_both_ways") => math.silu(g.clamp(-limit, limit)),
        () if call.is("moe.gate_not_clamped") => math.silu(g),
        () if call.is("moe.gate_clamped_after_silu") => at_most(math.silu(g), limit),
        () if call.is("moe.nan_swallowed") => math.silu(g.min(limit)),
        () if call.is("moe.sigmoid_for_silu") => math.sigmoid(at_most(g, limit)),
        () if call.is("moe.silu_as_quotient") => {
            let g = at_most(g, limit);
            g / (1.0 + math.exp(-g))
        }
        () => math.silu(at_most(g, limit)),
    }
}

fn bounded(call: &Call<'_>, u: f32, limit: f32) -> f32 {
    match () {
        () if call.is("moe.up_clamped_above_only") => at_most(u, limit),
        () if call.is("moe.up_not_clamped") => u,
        () => u.clamp(-limit, limit),
    }
}
