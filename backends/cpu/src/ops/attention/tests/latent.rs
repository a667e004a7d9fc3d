//! The projections of a row: norms, rotation, rounding.

use crate::ops::cache::testing::{Array, Seed, assert_near, rounded, run};
use omnihal::DType;
use omnihal::op::RowQuant;
use omnihal::op::attention::{Latent, Query};

const ROWS: usize = 5;
const POSITIONS: usize = 9;
const EPS: f32 = 1e-5;

fn rope(rotary: usize) -> Array {
    let values: Vec<f32> =
        (0..POSITIONS * rotary / 2).flat_map(|i| [(i as f32 * 0.7).cos(), (i as f32 * 0.7).sin()]).collect();
    Array::floats(DType::F32, [POSITIONS, rotary], &values)
}

/// Rows at positions 8, 3, padding, 0, 5.
fn toks() -> Array {
    let rows = [8, 3, -1, 0, 5].map(|p| if p < 0 { [-1; 4] } else { [p, 2, 0, 1] });
    Array::indices([ROWS, 4], &rows.concat())
}

fn normalised(x: &[f32], gain: Option<&[f32]>) -> Vec<f64> {
    let mean = x.iter().map(|&v| v as f64 * v as f64).sum::<f64>() / x.len() as f64;
    let factor = 1.0 / (mean + EPS as f64).sqrt();
    x.iter().enumerate().map(|(i, &v)| v as f64 * factor * gain.map_or(1.0, |g| g[i] as f64)).collect()
}

fn rotated(x: &mut [f64], rotary: usize, position: usize) {
    let from = x.len() - rotary;
    for k in 0..rotary / 2 {
        let angle = (((position * rotary / 2 + k) as f32) * 0.7) as f64;
        let (a, b) = (x[from + 2 * k], x[from + 2 * k + 1]);
        x[from + 2 * k] = a * angle.cos() - b * angle.sin();
        x[from + 2 * k + 1] = a * angle.sin() + b * angle.cos();
    }
}

fn latent(act: DType, quant: RowQuant, threads: usize) -> (Vec<f32>, Vec<f32>, Vec<f64>, Vec<f64>) {
    let (q_lora, head, rotary) = (19, 72, 8);
    let mut seed = Seed::of("latent");
    let lat = Array::random(act, [ROWS, q_lora + head], 5, &mut seed);
    let q_norm = Array::random(DType::BF16, [q_lora], 0, &mut seed);
    let kv_norm = Array::random(DType::BF16, [head], 0, &mut seed);
    let (rope, toks) = (rope(rotary), toks());
    let (qr, kv) = (Array::with_gap(act, [ROWS, q_lora], 3), Array::with_gap(act, [ROWS, head], 1));
    let op =
        Latent { rows: ROWS, q_lora, head, rotary, positions: POSITIONS, eps: EPS, quant, weight: DType::BF16, act };
    let views = [&lat, &q_norm, &kv_norm, &rope, &toks, &qr, &kv].map(|a| Some(a.view()));
    run(threads, op, &views);
    let (mut queries, mut keys) = (Vec::new(), Vec::new());
    for (row, position) in lat.values().chunks(q_lora + head).zip([8, 3, 0, 0, 5]) {
        queries.extend(normalised(&row[..q_lora], Some(&q_norm.values())));
        let mut key: Vec<f64> =
            normalised(&row[q_lora..], Some(&kv_norm.values())).iter().map(|&v| rounded(act, v)).collect();
        rotated(&mut key, rotary, position);
        keys.extend(key);
    }
    (qr.values(), kv.values(), queries, keys)
}

/// All rows but the padding one.
fn live<T: Copy>(values: &[T]) -> Vec<T> {
    let width = values.len() / ROWS;
    values.chunks(width).enumerate().filter(|(t, _)| *t != 2).flat_map(|(_, row)| row.to_vec()).collect()
}

#[test]
fn latents_are_normalised_rotated_and_rounded() {
    for (act, limit) in [(DType::F32, 1e-6), (DType::BF16, 0.01)] {
        let (qr, kv, queries, keys) = latent(act, RowQuant::None, 2);
        assert_near(&live(&qr), &live(&queries), limit);
        assert_near(&live(&kv), &live(&keys), limit);
        for threads in [1, 3] {
            let again = latent(act, RowQuant::None, threads);
            assert!(live(&again.1).iter().map(|v| v.to_bits()).eq(live(&kv).iter().map(|v| v.to_bits())));
        }
    }
}

#[test]
fn keys_lie_on_the_e4m3_grid_but_for_their_rotated_channels() {
    let plain = live(&latent(DType::F32, RowQuant::None, 1).1);
    let coded = live(&latent(DType::F32, RowQuant::F8Nope, 1).1);
    for (plain, coded) in plain.chunks(72).zip(coded.chunks(72)) {
        assert_eq!(plain[64..], coded[64..]);
        let amax = plain[..64].iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = (amax as f64 / 448.0).log2().ceil().exp2();
        for (&p, &c) in plain[..64].iter().zip(coded) {
            let code = c as f64 / scale;
            // Four bits of mantissa, or multiples of 2^-9.
            let step = (code.abs().log2().floor() - 3.0).max(-9.0).exp2();
            assert_eq!(code / step, (code / step).round(), "{c}");
            assert!((code - p as f64 / scale).abs() <= step * 0.5000001, "{p} became {c}");
        }
    }
}

#[test]
fn queries_are_normalised_by_head_and_rotated_in_place() {
    let (heads, head, rotary) = (7, 21, 6);
    let mut seed = Seed::of("query");
    for (act, limit) in [(DType::F32, 1e-6), (DType::BF16, 0.01)] {
        let q = Array::random(act, [ROWS, heads * head], 4, &mut seed);
        let before = q.values();
        let (rope, toks) = (rope(rotary), toks());
        let op = Query { rows: ROWS, heads, head, rotary, positions: POSITIONS, eps: EPS, act };
        let view = q.view().split(1, heads, head).unwrap();
        run(3, op, &[Some(view), Some(rope.view()), Some(toks.view())]);
        let mut expected = Vec::new();
        for (row, position) in before.chunks(heads * head).zip([8, 3, 0, 0, 5]) {
            for x in row.chunks(head) {
                let mut x = normalised(x, None);
                rotated(&mut x, rotary, position);
                expected.extend(x);
            }
        }
        assert_near(&live(&q.values()), &live(&expected), limit);
    }
}
