//! indexer.query, select (deepseek-v4.md 4.5).

mod select;
#[cfg(test)]
mod tests;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::rows::math::{hadamard, hadamard_by_rows};
use crate::rows::rope::Rope;
use crate::rows::round::{Rounding, qdq_groups};
use crate::rows::{numbers, put, step, strided};
use crate::tensor::round_to;
use omnihal::Op;
use omnihal::op::indexer::Query;
use omnihal::op::{QuantKind, RowQuant};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::IndexerQuery(d) => query(call, d),
        Op::IndexerSelect(d) => select::select(call, d),
        _ => (),
    }
}

fn query(call: &Call<'_>, d: &Query) {
    let q = strided(call, 0, "indexer.query_stride_ignored");
    let rope = Rope::of(call, 1);
    let heads = if call.is("indexer.odd_query_head_skipped") && d.heads > 1 { d.heads - d.heads % 2 } else { d.heads };
    for (row, token) in step::tokens(call.arg(2)).into_iter().enumerate() {
        let Some(token) = token else { continue };
        for head in 0..heads {
            let mut x = numbers(&q, row * d.heads + head);
            if call.is("indexer.query_normalised") {
                let mean = x.iter().map(|v| v * v).sum::<f32>() / d.width as f32;
                x.iter_mut().for_each(|v| *v /= (mean + 1e-6).sqrt());
            }
            let x = finish(call, d, x, |x| rope.turn(x, token.pos, row, false));
            put(&q, row * d.heads + head, &x);
        }
    }
}

/// Rope, Hadamard and rounding of one head.
fn finish(call: &Call<'_>, d: &Query, mut x: Vec<f32>, rope: impl Fn(&mut [f32])) -> Vec<f32> {
    let to_act = |x: &mut [f32]| x.iter_mut().for_each(|v| *v = round_to(d.act, *v));
    if d.hadamard && call.is("indexer.hadamard_before_rope") {
        hadamard(&mut x);
        rope(&mut x);
        return quantise(call, d, x);
    }
    rope(&mut x);
    if d.hadamard && call.is("indexer.rounded_before_hadamard") {
        x = quantise(call, d, x);
        hadamard(&mut x);
        return x;
    }
    if call.is("indexer.rounded_between_steps") {
        to_act(&mut x);
    }
    if d.hadamard && !call.is("indexer.query_not_spread") {
        spread(call, &mut x);
    }
    if call.is("indexer.rounded_between_steps") && d.hadamard {
        to_act(&mut x);
    }
    quantise(call, d, x)
}

fn spread(call: &Call<'_>, x: &mut Vec<f32>) {
    match () {
        () if call.is("indexer.hadamard_by_rows") => *x = hadamard_by_rows(x),
        () if call.is("indexer.hadamard_by_halves") => {
            let half = x.len().div_ceil(2);
            x.chunks_mut(half).for_each(hadamard);
        }
        () => hadamard(x),
    }
    match () {
        () if call.is("indexer.hadamard_not_scaled") => {
            let root = (x.len() as f32).sqrt();
            x.iter_mut().for_each(|v| *v *= root);
        }
        () if call.is("indexer.hadamard_in_bit_reversed_order") => {
            let bits = x.len().trailing_zeros();
            let from = |i: usize| if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) };
            *x = (0..x.len()).map(|i| x[from(i)]).collect();
        }
        () => (),
    }
}

fn quantise(call: &Call<'_>, d: &Query, mut x: Vec<f32>) -> Vec<f32> {
    if d.quant != RowQuant::F4All {
        return x;
    }
    let (end, group) = match () {
        () if call.is("indexer.rope_channels_not_rounded") => (d.width - d.rotary, 32),
        () if call.is("indexer.one_scale_a_head") => (d.width, d.width),
        () if call.is("indexer.groups_of_16") => (d.width, 16),
        () => (d.width, 32),
    };
    let kind = if call.is("indexer.codes_of_eight_bits") { QuantKind::F8E4M3 } else { QuantKind::F4E2M1 };
    let rounded = qdq_groups(&x[..end], group, kind, Rounding::of(call));
    x[..end].copy_from_slice(&rounded);
    x
}
