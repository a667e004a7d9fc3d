//! Root-mean-square normalisation.

mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::ops::copy::packed;
use crate::ops::gemm::Order;
use crate::tensor::{bf16, load, round_to, store};
use omnihal::op::norm::Rms;
use omnihal::{DType, Op, View};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    if let Op::NormRms(d) = call.op {
        rms(call, d);
    }
}

/// The order in which squares are added.
fn order(call: &Call<'_>) -> Order {
    const NAMED: [(&str, Order); 6] = [
        ("norm.squares_summed_pairwise", Order::Pairwise),
        ("norm.squares_summed_in_f64", Order::Double),
        ("norm.squares_summed_in_lanes", Order::Lanes),
        ("norm.squares_beyond_a_vector_of_16_are_dropped", Order::DropsTail(16)),
        ("norm.bf16_sum_of_squares", Order::Bf16Sum),
        ("norm.f16_sum_of_squares", Order::F16Sum),
    ];
    NAMED.iter().find(|(id, _)| call.is(id)).map_or(Order::Forward, |&(_, order)| order)
}

/// The factor of one vector.
fn factor(call: &Call<'_>, d: &Rms, vector: &[f32]) -> f32 {
    let sum = order(call).dot(vector, vector);
    let count = match () {
        () if call.is("norm.sum_instead_of_mean") => 1,
        () if call.is("norm.mean_over_one_less") => (vector.len() - 1).max(1),
        () if call.is("norm.mean_over_the_next_multiple_of_16") => vector.len().next_multiple_of(16),
        () => vector.len(),
    };
    let mut mean = sum / count as f32;
    if call.is("norm.mean_is_subtracted") {
        let average = vector.iter().sum::<f32>() / count as f32;
        mean -= average * average;
    }
    let inside = match () {
        () if call.is("norm.eps_is_missing") || call.is("norm.eps_outside_the_root") => mean,
        () if call.is("norm.eps_is_always_1e_5") => mean + 1e-5,
        () if call.is("norm.eps_is_added_to_the_sum") => (sum + d.eps) / count as f32,
        () if call.is("norm.larger_of_mean_and_eps") => mean.max(d.eps),
        () => mean + d.eps,
    };
    if inside == 0.0 && !call.is("norm.zeros_without_eps_give_nan") {
        return 0.0;
    }
    let root = match () {
        () if call.is("norm.eps_outside_the_root") => inside.sqrt() + d.eps,
        () if call.is("norm.root_is_forgotten") => inside,
        () => inside.sqrt(),
    };
    if call.is("norm.half_precision_root") { round_to(DType::F16, 1.0 / root) } else { 1.0 / root }
}

fn gain(call: &Call<'_>, d: &Rms, weight: Option<&[f32]>, at: (usize, usize)) -> f32 {
    let (head, c) = at;
    let Some(weight) = weight.filter(|_| !call.is("norm.weight_is_ignored")) else { return 1.0 };
    let c = if call.is("norm.weight_is_counted_over_heads") { (head * d.width + c) % (d.width - 1).max(1) } else { c };
    let w = weight[c];
    if call.is("norm.weight_is_one_more") { 1.0 + w } else { w }
}

fn scaled(call: &Call<'_>, d: &Rms, x: f32, r: f32, w: f32) -> f32 {
    if call.is("norm.rounded_before_the_weight") && d.output == DType::BF16 {
        return bf16(x * r) * w;
    }
    let y = if call.is("norm.weight_times_factor_first") { x * (r * w) } else { w * (x * r) };
    match () {
        () if call.is("norm.result_is_truncated") && d.output == DType::BF16 && y.is_finite() => {
            f32::from_bits(y.to_bits() & 0xFFFF_0000)
        }
        () if call.is("norm.nan_becomes_zero") && y.is_nan() => 0.0,
        () => y,
    }
}

/// Values that enter the factor of vector `v`.
fn counted<'a>(call: &Call<'_>, d: &Rms, x: &'a [f32], v: usize) -> &'a [f32] {
    let whole = d.heads * d.width;
    match () {
        () if call.is("norm.heads_share_a_factor") => &x[v / d.heads * whole..][..whole],
        () if call.is("norm.factor_of_the_first_head") => &x[v / d.heads * whole..][..d.width],
        () if call.is("norm.factor_of_the_row_before") && v > 0 => &x[(v - 1) * d.width..][..d.width],
        () if call.is("norm.only_the_first_64_channels_count") => &x[v * d.width..][..d.width.min(64)],
        () => &x[v * d.width..][..d.width],
    }
}

fn rms(call: &Call<'_>, d: &Rms) {
    let x = call.arg(0);
    let x = load(&if call.is("norm.gaps_between_rows_are_ignored") { packed(x) } else { *x });
    let weight = call.view(1).map(load);
    let y = *call.arg(2);
    let mut factors: Vec<f32> = (0..d.rows * d.heads).map(|v| factor(call, d, counted(call, d, &x, v))).collect();
    if call.is("norm.factors_of_the_first_run_are_kept")
        && let Ok(mut kept) = call.kept.lock()
    {
        if kept.is_empty() {
            *kept = factors.clone();
        }
        factors = kept.clone();
    }
    let mut values = Vec::with_capacity(x.len());
    for (v, &r) in factors.iter().enumerate() {
        for c in 0..d.width {
            let w = gain(call, d, weight.as_deref(), (v % d.heads, c));
            values.push(scaled(call, d, x[v * d.width + c], r, w));
        }
    }
    leave(call, d, &y, &mut values);
    store(&if call.is("norm.result_gaps_are_ignored") { packed(&y) } else { y }, &values);
    if call.is("norm.writes_past_the_last_element") {
        let past = View { offset: y.offset + y.extent_bytes(), shape: [1].into(), ..y };
        store(&past, &[0.0]);
    }
}

/// Planted: parts of the result keep what they were.
fn leave(call: &Call<'_>, d: &Rms, y: &View, values: &mut [f32]) {
    let rows = match () {
        () if call.is("norm.last_row_is_not_written") && d.rows > 1 => d.rows - 1,
        () if call.is("norm.rows_beyond_a_tile_of_8_are_left") && d.rows > 8 => d.rows - d.rows % 8,
        () if call.is("norm.rows_beyond_the_hint_are_left_out") => d.rows.min(call.rows_hint),
        () => d.rows,
    };
    let tail = call.is("norm.channels_beyond_a_vector_of_16_are_left") && d.width > 16;
    let width = if tail { d.width - d.width % 16 } else { d.width };
    if rows == d.rows && width == d.width {
        return;
    }
    let before = load(y);
    for i in 0..values.len() {
        if i / (d.heads * d.width) >= rows || i % d.width >= width {
            values[i] = before[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, once};

    #[test]
    fn vectors_are_divided_by_their_root_mean_square_and_zeros_stay() {
        let weight = Some(DType::F32);
        let (input, output) = (DType::F32, DType::F32);
        let d = Rms { rows: 1, heads: 2, width: 2, eps: 0.0, weight, input, output };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[1.0, 7.0, 0.0, 0.0]);
        bench.set(1, &[1.0, 2.0]);
        once(&bench);
        let found = bench.get(2);
        assert!((found[0] - 0.2).abs() < 1e-7 && (found[1] - 2.8).abs() < 1e-6, "{found:?}");
        assert_eq!(found[2..], [0.0, 0.0]);
    }
}
