//! hyper.pre, sinkhorn, post, head (deepseek-v4.md 3.2).

mod mix;
#[cfg(test)]
mod tests;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::rows::math::Math;
use crate::rows::{numbers, put, strided};
use crate::tensor::{bf16, ints, load, round_to};
use mix::{Mixer, sinkhorn};
use omnihal::op::hyper::{Head, Post, Pre, Sinkhorn};
use omnihal::{Op, View};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::HyperPre(d) => pre(call, d),
        Op::HyperSinkhorn(d) => balance(call, d),
        Op::HyperPost(d) => post(call, d),
        Op::HyperHead(d) => head(call, d),
        _ => (),
    }
}

/// The streams of a row, side by side.
fn streams(x: &View, row: usize, streams: usize) -> Vec<f32> {
    (0..streams).flat_map(|j| numbers(x, row * streams + j)).collect()
}

/// Rows that a kernel works on whose blocks of four must be whole.
fn whole(call: &Call<'_>, rows: usize) -> usize {
    if call.is("hyper.row_tail_skipped") && rows > 4 { rows - rows % 4 } else { rows }
}

fn pre(call: &Call<'_>, d: &Pre) {
    let math = Math::of(call, d.rows);
    let x = strided(call, 0, "hyper.stream_stride_ignored");
    let mixer = Mixer::new(call, &math, 1, d.eps);
    let (scale, base, gain) = (load(call.arg(2)), load(call.arg(3)), call.view(4).map(load));
    let n = d.streams;
    let group = |g: usize| if call.is("hyper.scale_of_first_group") { 0 } else { g };
    for row in 0..whole(call, d.rows) {
        let z = streams(&x, row, n);
        let g = mixer.coefficients(&z, d.width);
        let logit = |i: usize, part: usize| {
            let bias = if part == 2 && call.is("hyper.comb_bias_missing") { 0.0 } else { base[i] };
            g[i] * scale[group(part)] + bias
        };
        let eps = if call.is("hyper.pre_epsilon_missing") { 0.0 } else { d.hc_eps };
        let weights: Vec<f32> = (0..n).map(|i| math.sigmoid(logit(i, 0)) + eps).collect();
        let (offset, parts) = if call.is("hyper.pre_and_post_swapped") { (0, 0) } else { (n, 1) };
        let post: Vec<f32> = (0..n).map(|i| post_weight(call, &math, logit(offset + i, parts), d.hc_eps)).collect();
        let logits: Vec<f32> = (2 * n..(2 + n) * n).map(|i| logit(i, 2)).collect();
        let comb = sinkhorn(call, &math, &logits, n, d.iters, d.hc_eps);
        put(call.arg(5), row, &mixer.collapse(&z, &weights, gain.as_deref(), d.act));
        put(call.arg(6), row, &post);
        comb.chunks(n).enumerate().for_each(|(j, part)| put(call.arg(7), row * n + j, part));
    }
}

fn post_weight(call: &Call<'_>, math: &Math, logit: f32, eps: f32) -> f32 {
    let share = math.sigmoid(logit);
    match () {
        () if call.is("hyper.post_not_doubled") => share,
        () if call.is("hyper.post_epsilon_added") => 2.0 * share + eps,
        () => 2.0 * share,
    }
}

fn balance(call: &Call<'_>, d: &Sinkhorn) {
    let math = Math::of(call, d.rows);
    let logits = strided(call, 0, "hyper.logit_stride_ignored");
    for row in 0..whole(call, d.rows) {
        let comb = sinkhorn(call, &math, &numbers(&logits, row), d.streams, d.iters, d.eps);
        comb.chunks(d.streams).enumerate().for_each(|(j, part)| put(call.arg(1), row * d.streams + j, part));
    }
}

fn post(call: &Call<'_>, d: &Post) {
    let math = Math::of(call, d.rows);
    let x = strided(call, 0, "hyper.stream_stride_ignored");
    let out = strided(call, 1, "hyper.output_stride_ignored");
    let y = strided(call, 4, "hyper.result_stride_ignored");
    let n = d.streams;
    let low = |v: f32| if call.is("hyper.post_weights_in_bf16") { bf16(v) } else { v };
    for row in 0..whole(call, d.rows) {
        let mut z = streams(&x, row, n);
        let (out, post) = (numbers(&out, row), numbers(call.arg(2), row));
        let comb: Vec<f32> = (0..n).flat_map(|j| numbers(call.arg(3), row * n + j)).collect();
        for to in 0..n {
            if call.is("hyper.post_in_place") {
                z = streams(&x, row, n);
            }
            let weight = |from: usize| {
                let (i, j) = if call.is("hyper.comb_not_transposed") { (to, from) } else { (from, to) };
                low(comb[i * n + j])
            };
            let mut new = Vec::with_capacity(d.width);
            for c in 0..d.width {
                let mut factors: Vec<f32> = (0..n).map(weight).collect();
                let mut values: Vec<f32> = (0..n).map(|from| z[from * d.width + c]).collect();
                factors.push(low(post[to]));
                values.push(out[c]);
                let sum = if call.is("hyper.mixed_streams_rounded_first") {
                    let mixed = math.dot(&factors[..n], &values[..n]);
                    round_to(d.act, mixed) + round_to(d.act, factors[n] * values[n])
                } else {
                    math.dot(&factors, &values)
                };
                new.push(if c >= columns(call, d.width) { z[to * d.width + c] } else { sum });
            }
            put(&y, row * n + to, &new);
        }
    }
}

fn columns(call: &Call<'_>, width: usize) -> usize {
    if call.is("hyper.column_tail_skipped") && width > 32 { width - width % 32 } else { width }
}

fn head(call: &Call<'_>, d: &Head) {
    let math = Math::of(call, d.wanted);
    let x = strided(call, 0, "hyper.stream_stride_ignored");
    let mixer = Mixer::new(call, &math, 2, d.eps);
    let (scale, base, gain) = (load(call.arg(3)), load(call.arg(4)), call.view(5).map(load));
    for (place, row) in ints(call.arg(1)).into_iter().enumerate() {
        let row = match () {
            () if call.is("hyper.head_rows_in_order") && row >= 0 => place,
            () => match usize::try_from(row) {
                Ok(row) if row < d.rows => row,
                _ => continue,
            },
        };
        let z = streams(&x, row, d.streams);
        let g = mixer.coefficients(&z, d.width);
        let eps = if call.is("hyper.head_epsilon_missing") { 0.0 } else { d.hc_eps };
        let mut weights: Vec<f32> = (0..d.streams).map(|i| math.sigmoid(g[i] * scale[0] + base[i]) + eps).collect();
        if call.is("hyper.head_weights_normalised") {
            let total: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= total);
        }
        put(call.arg(6), place, &mixer.collapse(&z, &weights, gain.as_deref(), d.act));
    }
}
