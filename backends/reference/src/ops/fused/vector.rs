//! The steps that several fused operators share, on one vector.

use crate::num::{self, Num, U_ACC};
use omnihal::DType;
use omnihal::op::{ActQuant, QuantKind, RowQuant};

/// `gain * x * rsqrt(mean(x^2) + eps)` (deepseek-v4.md 3.1).
pub fn rms_norm(x: &[Num], gain: Option<&[f64]>, eps: f32) -> Vec<Num> {
    let factor = rms_factor(x, eps);
    let scaled = |(i, &x): (usize, &Num)| match gain {
        Some(gain) => x * factor * Num::exact(gain[i]),
        None => x * factor,
    };
    x.iter().enumerate().map(scaled).collect()
}

/// `rsqrt(mean(x^2) + eps)`.
pub fn rms_factor(x: &[Num], eps: f32) -> Num {
    let mean = num::dot(x, x) / Num::exact(x.len() as f64);
    if mean == Num::ZERO && eps == 0.0 {
        // A vector of zeros gives zeros.
        return Num::ZERO;
    }
    (mean + Num::exact(f64::from(eps))).rsqrt()
}

/// Rotates the last channels as pairs, by the cosines and sines of `cs` side by side (deepseek-v4.md 3.3).
pub fn rope(x: &mut [Num], cs: &[f64], inverse: bool) {
    let start = x.len() - cs.len();
    for (pair, cs) in x[start..].chunks_exact_mut(2).zip(cs.chunks_exact(2)) {
        let (a, b, cos) = (pair[0], pair[1], Num::exact(cs[0]));
        let sin = Num::exact(if inverse { -cs[1] } else { cs[1] });
        (pair[0], pair[1]) = (a * cos - b * sin, a * sin + b * cos);
    }
}

/// Product with the Sylvester matrix, entry `(-1)^popcount(i & j)`, times `len^-1/2` (deepseek-v4.md 4.5).
pub fn hadamard(x: &[Num]) -> Vec<Num> {
    let scale = (x.len() as f64).powf(-0.5);
    let scale = Num::new(scale, scale * U_ACC);
    let entry = |i: usize, j: usize, x: Num| if (i & j).count_ones() % 2 == 0 { x } else { -x };
    (0..x.len())
        .map(|i| num::sum(&x.iter().enumerate().map(|(j, &x)| entry(i, j, x)).collect::<Vec<_>>()) * scale)
        .collect()
}

/// Hadamard if asked, then the rounding of a state row whose first channels are on the grid of `act`. A device may leave out the
/// roundings to `act` between rope, Hadamard and codes.
pub fn rotate_and_quantise(mut row: Vec<Num>, act: DType, rotary: usize, spread: bool, quant: RowQuant) -> Vec<Num> {
    let may_round = |row: &mut [Num]| row.iter_mut().for_each(|x| *x = x.may_round(act));
    let nope = row.len() - rotary;
    if spread || quant == RowQuant::F4All {
        may_round(&mut row[nope..]);
    }
    if spread {
        row = hadamard(&row);
    }
    match quant {
        RowQuant::None => row,
        RowQuant::F8Nope => {
            let mut out = quantised(&row[..nope], 64, QuantKind::F8E4M3);
            out.extend_from_slice(&row[nope..]);
            out
        }
        RowQuant::F4All => {
            if spread {
                may_round(&mut row);
            }
            quantised(&row, 32, QuantKind::F4E2M1)
        }
    }
}

fn quantised(row: &[Num], group: usize, kind: QuantKind) -> Vec<Num> {
    row.chunks(group).flat_map(|group| num::qdq(group, kind)).collect()
}

/// Rounding of activations before a matrix product.
pub fn quantise_activations(x: &[Num], quant: ActQuant) -> Vec<Num> {
    match quant {
        ActQuant::None => x.to_vec(),
        ActQuant::F8G128 => quantised(x, 128, QuantKind::F8E4M3),
    }
}

/// Softmax. A sink takes its share and gives none back.
pub fn softmax(logits: &[Num], sink: Option<Num>) -> Vec<Num> {
    // Any common shift gives the same quotients, so the one that a device takes adds no error.
    let shift = Num::exact(logits.iter().chain(sink.iter()).map(|l| l.v).fold(f64::NEG_INFINITY, f64::max));
    let exps: Vec<Num> = logits.iter().map(|&l| (l - shift).exp()).collect();
    let all: Vec<Num> = exps.iter().copied().chain(sink.map(|l| (l - shift).exp())).collect();
    let total = num::sum(&all);
    exps.into_iter().map(|x| x / total).collect()
}

/// Rounds every element at a must-round point.
pub fn round_all(row: &mut [Num], dtype: DType) {
    row.iter_mut().for_each(|x| *x = x.round_to(dtype));
}

/// A row of exact values as numbers.
pub fn exact(row: &[f64]) -> Vec<Num> {
    row.iter().copied().map(Num::exact).collect()
}
