//! attention.latent: the joint projection split, normalised, rotated and rounded.

use crate::Call;
use crate::rows::math::Math;
use crate::rows::rope::Rope;
use crate::rows::round::{Rounding, qdq_groups};
use crate::rows::{numbers, put, step, strided};
use crate::tensor::{load, round_to};
use omnihal::op::attention::Latent;
use omnihal::op::{QuantKind, RowQuant};

/// Channels that share a scale in a key-value row (deepseek-v4.md 4.1).
const GROUP: usize = 64;

pub fn latent(call: &Call<'_>, d: &Latent) {
    let math = Math::of(call, d.rows);
    let lat = strided(call, 0, "attention.lat_stride_ignored");
    let (q_gain, kv_gain, rope) = (load(call.arg(1)), load(call.arg(2)), Rope::of(call, 3));
    let last = if call.is("attention.latent_row_tail_skipped") && d.rows > 4 { d.rows - d.rows % 4 } else { d.rows };
    for (row, token) in step::tokens(call.arg(4)).into_iter().enumerate().take(last) {
        let Some(token) = token else { continue };
        let joint = numbers(&lat, row);
        let (q_part, kv_part) = joint.split_at(d.q_lora);
        let joined = call.is("attention.norm_over_joint_width");
        let factor = |part: &[f32]| factor(call, &math, if joined { &joint } else { part }, d.eps);
        put(call.arg(5), row, &scaled(q_part, factor(q_part), &q_gain));

        let ones = vec![1.0; d.head];
        let gain = if call.is("attention.kv_gain_missing") { &ones } else { &kv_gain };
        let mut kv = scaled(kv_part, factor(kv_part), gain);
        if !call.is("attention.norm_output_not_rounded") {
            kv.iter_mut().for_each(|v| *v = round_to(d.act, *v));
        }
        rope.turn(&mut kv, token.pos, row, false);
        quantise(call, d, &mut kv);
        put(call.arg(6), row, &kv);
    }
}

fn factor(call: &Call<'_>, math: &Math, x: &[f32], eps: f32) -> f32 {
    let mean = math.dot(x, x) / x.len() as f32;
    match () {
        () if call.is("attention.latent_epsilon_missing") => math.rsqrt(mean),
        () if call.is("attention.latent_epsilon_outside_root") => 1.0 / (mean.sqrt() + eps),
        () => math.rms_factor(x, eps),
    }
}

fn scaled(x: &[f32], factor: f32, gain: &[f32]) -> Vec<f32> {
    x.iter().zip(gain).map(|(x, g)| x * factor * g).collect()
}

/// The state rounding of a key-value row.
fn quantise(call: &Call<'_>, d: &Latent, kv: &mut [f32]) {
    if d.quant != RowQuant::F8Nope {
        return;
    }
    let end = match () {
        () if call.is("attention.rope_channels_rounded_too") => d.head,
        () if call.is("attention.last_group_not_rounded") => (d.head - d.rotary).saturating_sub(GROUP),
        () => d.head - d.rotary,
    };
    let group = if call.is("attention.groups_of_128") { 2 * GROUP } else { GROUP };
    let rounded = qdq_groups(&kv[..end], group, QuantKind::F8E4M3, Rounding::of(call));
    kv[..end].copy_from_slice(&rounded);
}
