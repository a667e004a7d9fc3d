//! What fused kernels do to one vector in f32: norm, rotation, Hadamard, rounding.

use crate::num::{e2m1_exponent, e4m3_exponent, exp2i, round_bf16, round_e2m1, round_e4m3};
use crate::ops::cache::stored::amax;
use crate::simd::dots;
use omnihal::DType;
use omnihal::op::RowQuant;

/// Scales to a mean square of 1, then by a gain for each channel.
pub(crate) fn normalise(x: &mut [f32], gain: Option<&[f32]>, eps: f32) {
    let factor = 1.0 / (dots::sum_squares(x) / x.len() as f32 + eps).sqrt();
    match gain {
        None => x.iter_mut().for_each(|v| *v *= factor),
        Some(gain) => x.iter_mut().zip(gain).for_each(|(v, w)| *v = *v * factor * w),
    }
}

/// Rotates the pairs `(2k, 2k+1)` of the last channels, as many as `cs` has numbers, by the angles whose cosine and sine it holds.
pub(crate) fn rotate(x: &mut [f32], cs: &[f32], inverse: bool) {
    let from = x.len() - cs.len();
    for (pair, cs) in x[from..].chunks_exact_mut(2).zip(cs.chunks_exact(2)) {
        let (c, s) = (cs[0], if inverse { -cs[1] } else { cs[1] });
        (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[0] * s + pair[1] * c);
    }
}

/// Rounds to the activation type.
pub(crate) fn round(act: DType, x: &mut [f32]) {
    if act == DType::BF16 {
        x.iter_mut().for_each(|v| *v = round_bf16(*v));
    }
}

/// Multiplies by the orthonormal Hadamard matrix (Sylvester's, a power of two wide).
pub(crate) fn hadamard(x: &mut [f32]) {
    let mut half = 1;
    while half < x.len() {
        for block in x.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(a, b)| (*a, *b) = (*a + *b, *a - *b));
        }
        half *= 2;
    }
    let factor = 1.0 / (x.len() as f32).sqrt();
    x.iter_mut().for_each(|v| *v *= factor);
}

/// Rounds a row to the grid of its state (deepseek-v4.md 2.2): groups of 64 without the rotated channels, or of 32. Scales are powers
/// of two, so multiplying by the inverse is exact.
pub(crate) fn quantise(quant: RowQuant, rotary: usize, x: &mut [f32]) {
    match quant {
        RowQuant::None => {}
        RowQuant::F8Nope => {
            let plain = x.len() - rotary;
            for group in x[..plain].chunks_exact_mut(64) {
                let exponent = e4m3_exponent(amax(group));
                let (scale, inverse) = (exp2i(exponent), exp2i(-exponent));
                group.iter_mut().for_each(|v| *v = round_e4m3(*v * inverse) * scale);
            }
        }
        RowQuant::F4All => {
            for group in x.chunks_exact_mut(32) {
                let exponent = e2m1_exponent(amax(group));
                let (scale, inverse) = (exp2i(exponent), exp2i(-exponent));
                group.iter_mut().for_each(|v| *v = round_e2m1(*v * inverse) * scale);
            }
        }
    }
}
