//! Operators that treat each row by itself, against plain f64.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

mod common;

use common::{Host, Random, Tensor, assert_close, bf16, rounded};
use omnihal::op::QuantKind;
use omnihal::op::embed::{Ids, Lookup};
use omnihal::op::hyper::{Head, Post, Pre, Sinkhorn, mix};
use omnihal::op::norm::Rms;
use omnihal::op::quant::{Dequant, Qdq, Quantize};
use omnihal::op::rope::Apply;
use omnihal::{DType, View, WeightFormat};

const ACTS: [DType; 2] = [DType::F32, DType::BF16];

fn rms(x: &[f64], eps: f64) -> f64 {
    1.0 / (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + eps).sqrt()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| *v as f64).collect()
}

#[test]
fn norms_scale_each_vector_in_place_and_between_gaps() {
    let host = Host::new(2);
    for act in ACTS {
        for weight in [None, Some(DType::BF16)] {
            let (rows, heads, width) = (3, 2, 70);
            let mut random = Random::new("norm");
            let whole = host.tensor(act, [rows, heads, 100], &random.normals(rows * heads * 100));
            let x = whole.with(whole.view.slice(2, 5, width).unwrap());
            let gain = host.tensor(DType::BF16, [width], &random.normals(width));
            let before = host.read(&x);
            let d = Rms { rows, heads, width, eps: 1e-6, weight, input: act, output: act };
            host.run(d, &[x.arg(), gain.arg().filter(|_| weight.is_some()), x.arg()]);
            let (after, gain) = (host.read(&x), host.read(&gain));
            for (v, vector) in before.chunks(width).enumerate() {
                let vector = wide(vector);
                let factor = rms(&vector, 1e-6);
                for (i, value) in vector.iter().enumerate() {
                    let want = value * factor * weight.map_or(1.0, |_| gain[i] as f64);
                    assert_close(after[v * width + i], want, want.abs(), 4, act, "norm");
                }
            }
        }
    }
    let zeros = host.tensor(DType::F32, [1, 1, 8], &[0.0; 8]);
    let d = Rms { rows: 1, heads: 1, width: 8, eps: 0.0, weight: None, input: DType::F32, output: DType::F32 };
    host.run(Rms { eps: 1e-6, ..d }, &[zeros.arg(), None, zeros.arg()]);
    assert_eq!(host.read(&zeros), [0.0; 8]);
}

#[test]
fn rope_turns_the_last_pairs_and_back() {
    let host = Host::new(2);
    let (rows, heads, width, rotary) = (3, 2, 10, 4);
    let mut random = Random::new("rope");
    let x = host.tensor(DType::F32, [rows, heads, width], &random.normals(rows * heads * width));
    let angles = random.normals(rows * rotary / 2);
    let cs: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
    let cs = host.tensor(DType::F32, [rows, rotary], &cs);
    let before = host.read(&x);
    let d = Apply { rows, heads, width, rotary, inverse: false, dtype: DType::F32 };
    host.run(d, &[x.arg(), cs.arg()]);
    let turned = host.read(&x);
    for (v, (old, new)) in before.chunks(width).zip(turned.chunks(width)).enumerate() {
        assert_eq!(old[..6], new[..6]);
        for k in 0..2 {
            let (s, c) = (angles[v / heads * 2 + k] as f64).sin_cos();
            let (a, b) = (old[6 + 2 * k] as f64, old[7 + 2 * k] as f64);
            assert_close(new[6 + 2 * k], a * c - b * s, 4.0, 2, DType::F32, "rope");
            assert_close(new[7 + 2 * k], a * s + b * c, 4.0, 2, DType::F32, "rope");
        }
    }
    host.run(Apply { inverse: true, ..d }, &[x.arg(), cs.arg()]);
    let pairs = host.read(&x).into_iter().zip(before);
    pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
}

#[test]
fn embeddings_fill_all_streams_and_ids_come_from_the_batch_or_the_device() {
    let host = Host::new(2);
    let table = host.tensor(DType::BF16, [5, 6], &Random::new("embed").normals(30));
    let ids = host.indices([3], &[4, 0, 99]);
    let x = host.output(DType::F32, [3, 2, 6]);
    let d = Lookup { rows: 3, vocab: 5, width: 6, copies: 2, table: DType::BF16, act: DType::F32 };
    host.run(d, &[table.arg(), ids.arg(), x.arg()]);
    let (table, x) = (host.read(&table), host.read(&x));
    for (place, id) in [4, 4, 0, 0].into_iter().enumerate() {
        assert_eq!(x[place * 6..][..6], table[id * 6..][..6]);
    }
    let toks = host.indices([5, 4], &[0, 2, 0, 7, 0, 3, 0, -1, 0, 2, 0, -3, -1, -1, -1, -1, 0, 9, 0, -1]);
    let last = host.indices([4, 3], &[0, 0, 0, 0, 0, 0, 20, 21, 22, 30, 31, 32]);
    let out = host.indices([5], &[-9; 5]);
    host.run(Ids { rows: 5, slots: 4, drafts: 2 }, &[toks.arg(), last.arg(), out.arg()]);
    assert_eq!(host.ints(&out)[..4], [7, 30, 22, 0]);
}

#[test]
fn rounding_to_a_grid_equals_making_codes_and_expanding_them() {
    let host = Host::new(2);
    for (kind, data, group) in [(QuantKind::F8E4M3, DType::F8E4M3, 128), (QuantKind::F4E2M1, DType::F4E2M1X2, 32)] {
        for act in ACTS {
            let (rows, width) = (5, 256);
            let mut random = Random::new("grid");
            let mut values = random.normals(rows * width);
            values.iter_mut().enumerate().for_each(|(i, v)| *v *= 2f32.powi((i / 32) as i32 % 20 - 12));
            values[..group].fill(0.0);
            let x = host.tensor(act, [rows, width], &values);
            let heads = |t: &Tensor| Some(t.view.unsqueeze(1).unwrap());
            let y = host.output(act, [rows, width]);
            host.run(Qdq { rows, heads: 1, width, group, kind, dtype: act }, &[heads(&x), heads(&y)]);
            let codes = host.bytes(&vec![0; data.bytes(rows * width)]);
            let scales = host.bytes(&vec![0; rows * width / group]);
            let mut view = View::contiguous(codes.mem(), data, [rows, width]).unwrap();
            let scale = View::contiguous(scales.mem(), DType::E8M0, [rows, width / group]).unwrap();
            host.run(Quantize { rows, width, group, kind, input: act }, &[x.arg(), Some(view), Some(scale)]);
            let block = (1, group);
            view.quant = Some(omnihal::Quant { mem: scales.mem(), dtype: DType::E8M0, block, shape: scale.shape });
            let format = WeightFormat::Blocked { data, scale: DType::E8M0, block };
            let z = host.output(act, [rows, width]);
            host.run(Dequant { rows, width, format, output: act }, &[Some(view), z.arg()]);
            assert_eq!(host.read(&y), host.read(&z));
            let (x, y) = (host.read(&x), host.read(&y));
            for (x, y) in x.chunks(group).zip(y.chunks(group)) {
                let (largest, floor, most, bits) = match kind {
                    QuantKind::F8E4M3 => (x.iter().fold(0f64, |m, v| m.max(v.abs() as f64)), 1e-4, 448.0, 4),
                    QuantKind::F4E2M1 => {
                        (x.iter().fold(0f64, |m, v| m.max(v.abs() as f64)), 6.0 * 2f64.powi(-126), 6.0, 2)
                    }
                };
                let scale = 2f64.powi((largest.max(floor) / most).log2().ceil() as i32);
                for (x, y) in x.iter().zip(y) {
                    let smallest = if bits == 4 { 2f64.powi(-9) } else { 0.5 };
                    let step = (x.abs() as f64 / 2f64.powi(bits)).max(scale * smallest / 2.0);
                    assert!((*x as f64 - *y as f64).abs() <= step, "{x} {y}");
                }
            }
        }
    }
}

#[test]
fn every_weight_format_expands_exactly() {
    let host = Host::new(2);
    for format in [WeightFormat::FP8_BLOCK, WeightFormat::FP4_ROW] {
        for output in ACTS {
            let (rows, width) = (130, 150);
            let (w, exact) = host.weight(format, [rows, width], &mut Random::new("dequant"));
            let y = host.output(output, [rows, width]);
            host.run(Dequant { rows, width, format, output }, &[w.arg(), y.arg()]);
            assert_eq!(wide(&host.read(&y)), exact, "{format}");
        }
    }
}

fn balanced(logits: &[f64], n: usize, iters: usize, eps: f64) -> Vec<f64> {
    let mut m: Vec<f64> = logits.to_vec();
    for row in m.chunks_mut(n) {
        let sum: f64 = row.iter().map(|v| v.exp()).sum();
        row.iter_mut().for_each(|v| *v = v.exp() / sum + eps);
    }
    for step in 0..2 * iters - 1 {
        for i in 0..n {
            let at = |j: usize| if step % 2 == 0 { j * n + i } else { i * n + j };
            let sum: f64 = (0..n).map(|j| m[at(j)]).sum::<f64>() + eps;
            (0..n).for_each(|j| m[at(j)] /= sum);
        }
    }
    m
}

#[test]
fn mixing_matrices_are_balanced_columns_last() {
    let host = Host::new(2);
    for n in [2, 4] {
        let logits = host.tensor(DType::F32, [3, n * n], &Random::new("sinkhorn").normals(3 * n * n));
        let comb = host.output(DType::F32, [3, n, n]);
        host.run(Sinkhorn { rows: 3, streams: n, iters: 5, eps: 1e-6 }, &[logits.arg(), comb.arg()]);
        let (logits, comb) = (wide(&host.read(&logits)), host.read(&comb));
        for (logits, comb) in logits.chunks(n * n).zip(comb.chunks(n * n)) {
            let want = balanced(logits, n, 5, 1e-6);
            comb.iter().zip(want).for_each(|(got, want)| assert!((*got as f64 - want).abs() < 2e-6));
        }
    }
}

struct Streams {
    x: Tensor,
    projection: Tensor,
    base: Tensor,
    scale: Tensor,
    norm: Tensor,
}

fn streams(host: &Host, rows: usize, n: usize, width: usize, outs: usize, groups: usize, act: DType) -> Streams {
    let mut random = Random::new("streams");
    let mut f32s = |shape: &[usize], factor: f32| {
        let values: Vec<f32> = random.normals(shape.iter().product()).iter().map(|v| v * factor).collect();
        host.tensor(DType::F32, omnihal::Shape::new(shape), &values)
    };
    let projection = f32s(&[outs, n * width], 0.1);
    let (base, scale, x) = (f32s(&[outs], 1.0), f32s(&[groups], 1.0), f32s(&[rows, n, width], 1.0));
    let x = host.tensor(act, [rows, n, width], &host.read(&x));
    let norm = host.tensor(DType::BF16, [width], &random.normals(width));
    Streams { x, projection, base, scale, norm }
}

/// Projections of a row, normalised.
fn projected(x: &[f64], projection: &[f64], eps: f64) -> Vec<f64> {
    let factor = rms(x, eps);
    projection.chunks(x.len()).map(|p| p.iter().zip(x).map(|(p, x)| p * x).sum::<f64>() * factor).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Compares a row that was rounded once and may have been normalised after it.
fn assert_row(got: &[f32], exact: &[f64], norm: Option<&[f32]>, act: DType, what: &str) {
    let values: Vec<f64> =
        exact.iter().map(|v| if norm.is_some() { rounded(act, *v as f32) as f64 } else { *v }).collect();
    let factor = norm.map_or(1.0, |_| rms(&values, 1e-6));
    for (i, value) in values.iter().enumerate() {
        let want = value * factor * norm.map_or(1.0, |n| n[i] as f64);
        // The value before the norm may round to the neighbour.
        let slack = want.abs() * if act == DType::BF16 { 2f64.powi(-7) } else { 2e-6 } + 2e-6;
        assert!((got[i] as f64 - want).abs() <= slack, "{what} {i}: {} {want}", got[i]);
    }
}

#[test]
fn hyper_connections_mix_before_and_after_a_sublayer() {
    for (threads, rows) in [(1, 1), (2, 3), (3, 9)] {
        let host = Host::new(threads);
        for act in ACTS {
            for norm in [None, Some(DType::BF16)] {
                let (n, width) = (4, 72);
                let s = streams(&host, rows, n, width, mix(n), 3, act);
                let d = Pre { rows, streams: n, width, iters: 20, eps: 1e-6, hc_eps: 1e-6, norm, act };
                let (a, post) = (host.output(act, [rows, width]), host.output(DType::F32, [rows, n]));
                let comb = host.output(DType::F32, [rows, n, n]);
                let gain = s.norm.arg().filter(|_| norm.is_some());
                host.run(
                    d,
                    &[
                        s.x.arg(),
                        s.projection.arg(),
                        s.scale.arg(),
                        s.base.arg(),
                        gain,
                        a.arg(),
                        post.arg(),
                        comb.arg(),
                    ],
                );
                let [x, projection, scale, base] =
                    [&s.x, &s.projection, &s.scale, &s.base].map(|t| wide(&host.read(t)));
                let (got_a, got_post, got_comb) = (host.read(&a), host.read(&post), host.read(&comb));
                let gain = host.read(&s.norm);
                for row in 0..rows {
                    let x = &x[row * n * width..][..n * width];
                    let g = projected(x, &projection, 1e-6);
                    let g: Vec<f64> = g.iter().enumerate().map(|(i, g)| g * scale[(i / n).min(2)] + base[i]).collect();
                    let sum = |c: usize| (0..n).map(|j| (sigmoid(g[j]) + 1e-6) * x[j * width + c]).sum();
                    let exact: Vec<f64> = (0..width).map(sum).collect();
                    assert_row(&got_a[row * width..][..width], &exact, norm.map(|_| &gain[..]), act, "pre");
                    (0..n).for_each(|j| assert!((got_post[row * n + j] as f64 - 2.0 * sigmoid(g[n + j])).abs() < 1e-5));
                    let want = balanced(&g[2 * n..], n, 20, 1e-6);
                    want.iter()
                        .enumerate()
                        .for_each(|(i, w)| assert!((got_comb[row * n * n + i] as f64 - w).abs() < 1e-5));
                }
                check_post(&host, &s.x, &post, &comb, act);
            }
        }
    }
}

fn check_post(host: &Host, x: &Tensor, post: &Tensor, comb: &Tensor, act: DType) {
    let (rows, n, width) = (x.view.shape[0], x.view.shape[1], x.view.shape[2]);
    let out = host.tensor(act, [rows, width], &Random::new("out").normals(rows * width));
    let [old, p, c, o] = [x, post, comb, &out].map(|t| wide(&host.read(t)));
    host.run(Post { rows, streams: n, width, act }, &[x.arg(), out.arg(), post.arg(), comb.arg(), x.arg()]);
    let new = host.read(x);
    for (row, k, i) in (0..rows * n * width).map(|f| (f / (n * width), f / width % n, f % width)) {
        let mixed = (0..n).map(|j| c[(row * n + j) * n + k] * old[(row * n + j) * width + i]);
        let terms: Vec<f64> = mixed.chain([p[row * n + k] * o[row * width + i]]).collect();
        let size = terms.iter().map(|t| t.abs()).sum();
        assert_close(new[(row * n + k) * width + i], terms.iter().sum(), size, n + 1, act, "post");
    }
}

#[test]
fn the_head_collapses_the_wanted_rows_only() {
    let host = Host::new(2);
    for act in ACTS {
        for norm in [None, Some(DType::BF16)] {
            let (rows, n, width) = (4, 3, 40);
            let s = streams(&host, rows, n, width, n, 1, act);
            let out = host.indices([3], &[2, -1, 0]);
            let y = host.output(act, [3, width]);
            let d = Head { rows, wanted: 3, streams: n, width, eps: 1e-6, hc_eps: 1e-6, norm, act };
            let gain = s.norm.arg().filter(|_| norm.is_some());
            host.run(d, &[s.x.arg(), out.arg(), s.projection.arg(), s.scale.arg(), s.base.arg(), gain, y.arg()]);
            let [x, projection, scale, base] = [&s.x, &s.projection, &s.scale, &s.base].map(|t| wide(&host.read(t)));
            let (y, gain) = (host.read(&y), host.read(&s.norm));
            for (place, row) in [(0, 2), (2, 0)] {
                let x = &x[row * n * width..][..n * width];
                let g = projected(x, &projection, 1e-6);
                let sum =
                    |c: usize| (0..n).map(|j| (sigmoid(g[j] * scale[0] + base[j]) + 1e-6) * x[j * width + c]).sum();
                let exact: Vec<f64> = (0..width).map(sum).collect();
                assert_row(&y[place * width..][..width], &exact, norm.map(|_| &gain[..]), act, "head");
            }
            assert!(y[width..2 * width].iter().all(|v| *v == bf16(-77.0)));
        }
    }
}
