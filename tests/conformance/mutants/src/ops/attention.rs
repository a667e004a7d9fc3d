//! attention.latent, query, sparse (deepseek-v4.md 4).

mod keys;
mod latent;
mod softmax;
#[cfg(test)]
mod tests;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::rows::math::Math;
use crate::rows::rope::Rope;
use crate::rows::{numbers, put, step, strided};
use crate::tensor::{load, round_to};
use keys::Keys;
use omnihal::Op;
use omnihal::op::attention::{Query, Sparse};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::AttentionLatent(d) => latent::latent(call, d),
        Op::AttentionQuery(d) => query(call, d),
        Op::AttentionSparse(d) => sparse(call, d),
        _ => (),
    }
}

fn query(call: &Call<'_>, d: &Query) {
    let math = Math::of(call, d.rows);
    let q = strided(call, 0, "attention.query_stride_ignored");
    let rope = Rope::of(call, 1);
    let heads = if call.is("attention.odd_head_skipped") && d.heads > 1 { d.heads - d.heads % 2 } else { d.heads };
    for (row, token) in step::tokens(call.arg(2)).into_iter().enumerate() {
        let Some(token) = token else { continue };
        let whole: Vec<f32> = (0..d.heads).flat_map(|h| numbers(&q, row * d.heads + h)).collect();
        for head in 0..heads {
            let mut x = whole[head * d.head..(head + 1) * d.head].to_vec();
            let factor = match () {
                () if call.is("attention.query_norm_over_all_heads") => math.rms_factor(&whole, d.eps),
                () if call.is("attention.query_epsilon_missing") => math.rsqrt(math.dot(&x, &x) / d.head as f32),
                () => math.rms_factor(&x, d.eps),
            };
            x.iter_mut().for_each(|v| *v *= factor);
            if call.is("attention.rounded_between_norm_and_rope") {
                x.iter_mut().for_each(|v| *v = round_to(d.act, *v));
            }
            rope.turn(&mut x, token.pos, row, false);
            put(&q, row * d.heads + head, &x);
        }
    }
}

fn sparse(call: &Call<'_>, d: &Sparse) {
    let math = Math::of(call, d.rows);
    let q = strided(call, 0, "attention.query_stride_ignored");
    let o = call.arg(10);
    let (keys, sink, rope) = (Keys::new(call, d), load(call.arg(6)), Rope::of(call, 7));
    let last = if call.is("attention.last_row_not_written") && d.rows > 4 { d.rows - d.rows % 4 } else { d.rows };
    let mut start = carried(call, d.rows * d.heads * d.head);
    for (row, token) in step::tokens(call.arg(8)).into_iter().enumerate().take(last) {
        let Some(token) = token else { continue };
        let keys = keys.of(row, &token);
        for head in 0..d.heads {
            let place = row * d.heads + head;
            let sink = sink[if call.is("attention.sink_of_first_head") { 0 } else { head }];
            let mut out = softmax::attend(call, d, &math, &numbers(&q, place), &keys, sink);
            for (x, before) in out.iter_mut().zip(&mut start[place * d.head..]) {
                *x += *before;
                *before = *x;
            }
            if d.inverse && !call.is("attention.inverse_rope_missing") {
                if call.is("attention.rounded_before_inverse_rope") {
                    out.iter_mut().for_each(|v| *v = round_to(d.act, *v));
                }
                let pos = if call.is("attention.inverse_rope_by_window_start") {
                    (token.pos + 1).saturating_sub(d.window)
                } else {
                    token.pos
                };
                rope.turn(&mut out, pos, row, !call.is("attention.inverse_rope_forward"));
            }
            put(o, place, &out);
        }
    }
    if call.is("attention.accumulator_not_cleared")
        && let Ok(mut kept) = call.kept.lock()
    {
        *kept = start;
    }
}

/// What the accumulators hold before the first key: zeros, but for kernels that take what memory happens to hold.
fn carried(call: &Call<'_>, count: usize) -> Vec<f32> {
    let mut start = vec![0.0; count];
    if call.is("attention.accumulator_not_cleared")
        && let Ok(kept) = call.kept.lock()
    {
        start.iter_mut().zip(kept.iter()).for_each(|(x, k)| *x = *k);
    }
    if call.is("attention.workspace_taken_as_zeros") {
        let words = (call.workspace.len / 4).min(count);
        for (i, x) in start.iter_mut().take(words).enumerate() {
            // SAFETY: the caller gives a workspace of this length, aligned for any number.
            *x = unsafe { (call.workspace.addr as *const f32).add(i).read() };
        }
    }
    start
}
