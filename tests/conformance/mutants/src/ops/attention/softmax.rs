//! One head of one row of attention.sparse: softmax with a sink, and the weighted sum of the keys.

use super::keys::Key;
use crate::Call;
use crate::rows::math::Math;
use crate::tensor::round_to;
use omnihal::op::attention::Sparse;

/// Keys of a block in the kernels that go through them block by block.
const BLOCK: usize = 4;
/// Logit of a masked key, as in op-catalogue.md 1.3.
const MASKED: f32 = -1e30;

pub fn attend(call: &Call<'_>, d: &Sparse, math: &Math, q: &[f32], keys: &[Key], sink: f32) -> Vec<f32> {
    let scale = match () {
        () if call.is("attention.scale_twice") => d.scale * d.scale,
        () if call.is("attention.scale_of_head_width") => (d.head as f32).sqrt().recip(),
        () => d.scale,
    };
    let logit = |k: &Key| if k.masked { MASKED } else { math.dot(q, &k.values) * scale };
    let logits: Vec<f32> = keys.iter().map(logit).collect();
    let sink = if call.is("attention.sink_scaled") { sink * scale } else { sink };
    match () {
        () if call.is("attention.online_softmax") => online(math, d, &logits, keys, sink, true),
        () if call.is("attention.rescaling_missing") => online(math, d, &logits, keys, sink, false),
        () if call.is("attention.split_keys") => split(math, d, &logits, keys, sink),
        () => {
            let (weights, total) = weights(call, math, d, &logits, sink);
            let late = call.is("attention.late_division");
            let p: Vec<f32> = weights
                .iter()
                .map(|&w| if late { w } else { math.div(w, total) })
                .map(|p| if call.is("attention.probabilities_not_rounded") { p } else { round_to(d.act, p) })
                .collect();
            let sum = |c: usize| math.dot(&p, &keys.iter().map(|k| k.values[c]).collect::<Vec<_>>());
            (0..d.head).map(sum).map(|o| if late { math.div(o, total) } else { o }).collect()
        }
    }
}

/// Exponentials and their sum with the sink.
fn weights(call: &Call<'_>, math: &Math, d: &Sparse, logits: &[f32], sink: f32) -> (Vec<f32>, f32) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let top = match () {
        () if call.is("attention.softmax_without_maximum") => 0.0,
        () if call.is("attention.sink_not_in_maximum") || call.is("attention.sink_missing") => top,
        () => top.max(sink),
    };
    let weights: Vec<f32> = logits.iter().map(|&l| math.exp(l - top)).collect();
    let share = math.exp(sink - top);
    let share = match () {
        () if call.is("attention.sink_missing") => 0.0,
        () if call.is("attention.sink_twice") => 2.0 * share,
        () => share,
    };
    let total = if call.is("attention.denominator_summed_in_bf16") {
        weights.iter().fold(0.0, |sum, &w| round_to(d.act, sum + w))
    } else {
        math.sum(&weights)
    };
    (weights, total + share)
}

/// A part of the keys: its maximum, the sum of its exponentials, its weighted sum.
struct Part {
    top: f32,
    total: f32,
    out: Vec<f32>,
}

impl Part {
    fn new(math: &Math, d: &Sparse, logits: &[f32], keys: &[Key]) -> Part {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = logits.iter().map(|&l| math.exp(l - top)).collect();
        let rounded: Vec<f32> = weights.iter().map(|&w| round_to(d.act, w)).collect();
        let sum = |c: usize| math.dot(&rounded, &keys.iter().map(|k| k.values[c]).collect::<Vec<_>>());
        Part { top, total: math.sum(&weights), out: (0..d.head).map(sum).collect() }
    }

    fn join(self, math: &Math, other: Part, rescale: bool) -> Part {
        let top = self.top.max(other.top);
        let (a, b) = (math.exp(self.top - top), math.exp(other.top - top));
        let total = self.total * a + other.total * b;
        let (a, b) = if rescale { (a, b) } else { (1.0, b) };
        Part { top, total, out: self.out.iter().zip(&other.out).map(|(x, y)| x * a + y * b).collect() }
    }

    fn finish(self, math: &Math) -> Vec<f32> {
        self.out.iter().map(|&x| math.div(x, self.total)).collect()
    }
}

fn sink_part(d: &Sparse, sink: f32) -> Part {
    Part { top: sink, total: 1.0, out: vec![0.0; d.head] }
}

/// Block after block, with the sums so far rescaled when the maximum grows.
fn online(math: &Math, d: &Sparse, logits: &[f32], keys: &[Key], sink: f32, rescale: bool) -> Vec<f32> {
    let blocks = logits.chunks(BLOCK).zip(keys.chunks(BLOCK)).map(|(l, k)| Part::new(math, d, l, k));
    blocks.fold(sink_part(d, sink), |so_far, block| so_far.join(math, block, rescale)).finish(math)
}

/// Two halves on their own, then joined.
fn split(math: &Math, d: &Sparse, logits: &[f32], keys: &[Key], sink: f32) -> Vec<f32> {
    let middle = keys.len().div_ceil(2);
    let first = Part::new(math, d, &logits[..middle], &keys[..middle]);
    let parts = if middle == keys.len() {
        first
    } else {
        first.join(math, Part::new(math, d, &logits[middle..], &keys[middle..]), true)
    };
    parts.join(math, sink_part(d, sink), true).finish(math)
}
