use super::F32_NOISE;
use crate::testing::{Bench, assert_close, get, noise, oracle_f32};
use omnihal::op::hyper::{Head, Post, Pre, Sinkhorn};
use omnihal::{DType, View};

const ROWS: usize = 9;
const WIDTH: usize = 40;

fn oracle(bench: &mut Bench, name: &str) -> View {
    let (shape, values) = oracle_f32(name);
    bench.put(DType::F32, omnihal::Shape::new(&shape), &values)
}

fn pre() -> Pre {
    Pre { rows: ROWS, streams: 4, width: WIDTH, iters: 20, eps: 1e-6, hc_eps: 1e-6, norm: None, act: DType::F32 }
}

#[test]
fn coefficients_and_their_sum_match_the_oracle() {
    let mut bench = Bench::new();
    let inputs = ["mhc.streams", "mhc.fn", "mhc.scale", "mhc.base"].map(|name| Some(oracle(&mut bench, name)));
    let outputs = [&[ROWS, WIDTH][..], &[ROWS, 4], &[ROWS, 4, 4]]
        .map(|shape| Some(bench.empty(DType::F32, omnihal::Shape::new(shape))));
    let views = [&inputs[..], &[None], &outputs].concat();
    bench.run(pre(), &views).unwrap();
    for (view, name) in outputs.iter().zip(["mhc.collapsed", "mhc.post", "mhc.comb"]) {
        assert_close(&get(&view.unwrap()), &oracle_f32(name).1, 4.0 * F32_NOISE);
    }
}

#[test]
fn bounds_of_the_mixing_matrix_stay_small_and_cover_an_f32_evaluation() {
    let mut bench = Bench::new();
    let inputs = ["mhc.streams", "mhc.fn", "mhc.scale", "mhc.base"].map(|name| Some(oracle(&mut bench, name)));
    let outputs = [&[ROWS, WIDTH][..], &[ROWS, 4], &[ROWS, 4, 4]]
        .map(|shape| Some(bench.empty(DType::F32, omnihal::Shape::new(shape))));
    let judged = bench.judge(pre(), &[&inputs[..], &[None], &outputs].concat());
    for (output, name) in judged.iter().zip(["mhc.collapsed", "mhc.post", "mhc.comb"]) {
        for (i, (num, f32_result)) in output.nums().iter().zip(oracle_f32(name).1).enumerate() {
            assert!((num.v - f32_result).abs() <= num.bound(DType::F32), "{name} {i}: {num:?} {f32_result}");
            assert!(num.e <= 1e-4 * (1.0 + num.v.abs()), "{name} {i}: {num:?}");
        }
    }
}

/// The iteration in f32, as a device would do it.
fn sinkhorn_f32(logits: &[f64], iters: usize, eps: f32) -> Vec<f32> {
    let mut m = vec![0f32; 16];
    for row in 0..4 {
        let l: Vec<f32> = (0..4).map(|k| logits[row * 4 + k] as f32).collect();
        let top = l.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = l.iter().map(|x| (x - top).exp()).sum();
        (0..4).for_each(|k| m[row * 4 + k] = (l[k] - top).exp() / total + eps);
    }
    for step in 0..2 * iters - 1 {
        let at = |a: usize, b: usize| if step % 2 == 0 { b * 4 + a } else { a * 4 + b };
        for a in 0..4 {
            let total: f32 = (0..4).map(|b| m[at(a, b)]).sum::<f32>() + eps;
            (0..4).for_each(|b| m[at(a, b)] /= total);
        }
    }
    m
}

#[test]
fn sinkhorn_in_f32_stays_within_the_bounds_and_columns_sum_to_one() {
    let mut bench = Bench::new();
    for (name, scale, iters) in [("gentle", 1.0, 20), ("steep", 6.0, 20), ("single pass", 2.0, 1)] {
        let logits: Vec<f64> = noise(name, 16 * 8).iter().map(|x| f64::from((x * scale) as f32)).collect();
        let d = Sinkhorn { rows: 8, streams: 4, iters, eps: 1e-6 };
        let (x, y) = (bench.put(DType::F32, [8, 16], &logits), bench.empty(DType::F32, [8, 4, 4]));
        let judged = bench.judge(d, &[Some(x), Some(y)]);
        for (row, nums) in judged[0].nums().chunks(16).enumerate() {
            let device = sinkhorn_f32(&logits[row * 16..(row + 1) * 16], iters, 1e-6);
            for (num, device) in nums.iter().zip(device) {
                assert!((num.v - f64::from(device)).abs() <= num.bound(DType::F32), "{name}: {num:?} {device}");
            }
            for column in 0..4 {
                let sum: f64 = (0..4).map(|k| nums[k * 4 + column].v).sum();
                // The epsilon in the last sum is missing from a column as small as it.
                assert!((sum - 1.0).abs() < 3e-6 || iters == 1, "{name}: {sum}");
            }
        }
    }
}

#[test]
fn the_new_streams_match_the_oracle_and_may_overwrite_the_old() {
    let mut bench = Bench::new();
    let views = ["mhc.streams", "mhc.sub_out", "mhc.post", "mhc.comb"].map(|name| Some(oracle(&mut bench, name)));
    let all = [&views[..], &views[..1]].concat();
    bench.run(Post { rows: ROWS, streams: 4, width: WIDTH, act: DType::F32 }, &all).unwrap();
    assert_close(&get(&views[0].unwrap()), &oracle_f32("mhc.merged").1, F32_NOISE);
}

#[test]
fn wanted_rows_collapse_as_in_the_oracle_and_unwanted_ones_are_zero() {
    let mut bench = Bench::new();
    let x = oracle(&mut bench, "mhc.streams");
    let out = bench.ints([3], &[8, -1, 2]);
    let inputs = ["mhc.head.hc_fn", "mhc.head.hc_scale", "mhc.head.hc_base"].map(|name| oracle(&mut bench, name));
    let y = bench.empty(DType::F32, [3, WIDTH]);
    let d =
        Head { rows: ROWS, wanted: 3, streams: 4, width: WIDTH, eps: 1e-6, hc_eps: 1e-6, norm: None, act: DType::F32 };
    let views = [Some(x), Some(out), Some(inputs[0]), Some(inputs[1]), Some(inputs[2]), None, Some(y)];
    bench.run(d, &views).unwrap();
    let expected = oracle_f32("mhc.head_out").1;
    let row = |r: usize| &expected[r * WIDTH..(r + 1) * WIDTH];
    assert_close(&get(&y), &[row(8), &[0.0; WIDTH], row(2)].concat(), F32_NOISE * 4.0);
}

#[test]
fn a_norm_weight_normalises_the_rounded_sum() {
    let mut bench = Bench::new();
    let streams = bench.put(DType::BF16, [1, 4, 2], &[1.0, 2.0, 1.0, 1.0, 3.0 / 256.0, 3.0, 0.0, 0.25]);
    // A projection of zeros gives coefficients sigmoid(base) + eps alone.
    let projection = bench.put(DType::F32, [24, 8], &[0.0; 192]);
    let (scale, base) = (bench.put(DType::F32, [3], &[1.0; 3]), bench.put(DType::F32, [24], &[0.0; 24]));
    let gain = bench.put(DType::F32, [2], &[2.0, 1.0]);
    let outputs =
        [bench.empty(DType::BF16, [1, 2]), bench.empty(DType::F32, [1, 4]), bench.empty(DType::F32, [1, 4, 4])];
    let d = Pre { rows: 1, width: 2, hc_eps: 0.0, norm: Some(DType::F32), act: DType::BF16, ..pre() };
    let views = [streams, projection, scale, base, gain, outputs[0], outputs[1], outputs[2]].map(Some);
    let judged = bench.judge(d, &views);
    // Half of the column sums: 1 + 3/512, which BF16 rounds to 1 + 4/512, and 3.125.
    let sums = [1.0 + 1.0 / 128.0, 3.125f64];
    let factor = ((sums[0] * sums[0] + sums[1] * sums[1]) / 2.0 + 1e-6).powf(-0.5);
    let values = |output: usize| judged[output].nums().iter().map(|x| x.v).collect::<Vec<_>>();
    assert_close(&values(0), &[2.0 * sums[0] * factor, sums[1] * factor], 1e-9);
    assert_close(&values(1), &[1.0; 4], 1e-9);
    assert_close(&values(2), &[0.25; 16], 1e-9);
}
