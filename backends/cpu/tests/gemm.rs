//! Matrix products: every format against sums in f64, and the same bits for any rows, tasks and threads.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

mod common;

use common::{Host, Random, Tensor, assert_close};
use omnihal::op::ActQuant;
use omnihal::op::gemm::{Batched, Grouped, Linear};
use omnihal::{DType, WeightFormat};

const F8_F32: WeightFormat = WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::F32, block: (128, 128) };
const F8_ROWS: WeightFormat = WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::E8M0, block: (1, 128) };
const F8_ODD: WeightFormat = WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::E8M0, block: (3, 24) };
const FORMATS: [WeightFormat; 7] = [
    WeightFormat::Plain(DType::F32),
    WeightFormat::Plain(DType::BF16),
    WeightFormat::FP8_BLOCK,
    F8_F32,
    F8_ROWS,
    F8_ODD,
    WeightFormat::FP4_ROW,
];

fn linear(rows: usize, inner: usize, outer: usize, act: DType, weight: WeightFormat) -> Linear {
    Linear { rows, inner, outer, input: act, weight, a_quant: ActQuant::None, output: act, accumulate: false }
}

struct Case {
    a: Tensor,
    w: Tensor,
    exact: Vec<f64>,
}

fn case(host: &Host, d: &Linear, name: &str) -> Case {
    let mut random = Random::new(name);
    let a = host.tensor(d.input, [d.rows, d.inner], &random.normals(d.rows * d.inner));
    let (w, exact) = host.weight(d.weight, [d.outer, d.inner], &mut random);
    Case { a, w, exact }
}

fn product(host: &Host, d: &Linear, case: &Case) -> Vec<f32> {
    let y = host.output(d.output, [d.rows, d.outer]);
    host.run(*d, &[case.a.arg(), case.w.arg(), y.arg()]);
    host.read(&y)
}

fn check(host: &Host, d: &Linear, name: &str) {
    let case = case(host, d, name);
    let (a, y) = (host.read(&case.a), product(host, d, &case));
    for row in 0..d.rows {
        for out in 0..d.outer {
            let terms = (0..d.inner).map(|k| a[row * d.inner + k] as f64 * case.exact[out * d.inner + k]);
            let (sum, magnitude) = terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs()));
            let what = format!("{name} {d:?} [{row}, {out}]");
            assert_close(y[row * d.outer + out], sum, magnitude, d.inner, d.output, &what);
        }
    }
}

#[test]
fn every_format_is_within_the_bound_for_few_and_many_rows_and_odd_sizes() {
    let host = Host::new(2);
    for format in FORMATS {
        for act in [DType::F32, DType::BF16] {
            for (rows, inner, outer) in [(1, 256, 130), (3, 70, 5), (4, 2, 1), (7, 384, 33), (200, 90, 17)] {
                check(&host, &linear(rows, inner, outer, act, format), "formats");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_in_a_batch_and_with_any_number_of_threads() {
    let first = Host::new(1);
    for format in FORMATS {
        let d = linear(211, 272, 75, DType::BF16, format);
        let d = Linear { output: DType::F32, ..d };
        let shared = case(&first, &d, "rows");
        let whole = product(&first, &d, &shared);
        for threads in [2, 3] {
            assert_eq!(product(&Host::new(threads), &d, &shared), whole, "{format} on {threads} threads");
        }
        for (start, rows) in [(0, 1), (210, 1), (9, 2), (100, 4), (3, 5), (190, 6), (20, 191)] {
            let part = Case {
                a: shared.a.with(shared.a.view.slice(0, start, rows).unwrap()),
                w: shared.w.with(shared.w.view),
                exact: Vec::new(),
            };
            let got = product(&first, &Linear { rows, ..d }, &part);
            assert_eq!(got, whole[start * d.outer..(start + rows) * d.outer], "{format} rows {start}+{rows}");
        }
    }
}

#[test]
fn rows_may_lie_apart_and_results_may_be_added_to() {
    let host = Host::new(2);
    for rows in [2, 9] {
        let d = Linear { accumulate: true, ..linear(rows, 64, 20, DType::F32, WeightFormat::Plain(DType::F32)) };
        let wide = host.tensor(DType::F32, [rows, 100], &Random::new("apart").normals(rows * 100));
        let base = case(&host, &d, "apart weight");
        let a = wide.with(wide.view.slice(1, 7, 64).unwrap());
        let dense = host.tensor(DType::F32, [rows, 64], &host.read(&a));
        let y = host.tensor(DType::F32, [rows, 50], &vec![0.5; rows * 50]);
        let part = y.with(y.view.slice(1, 3, 20).unwrap());
        host.run(d, &[a.arg(), base.w.arg(), part.arg()]);
        let plain = product(&host, &Linear { accumulate: false, ..d }, &Case { a: dense, ..base });
        let want: Vec<f32> = plain.iter().map(|v| v + 0.5).collect();
        assert_eq!(host.read(&part), want);
        let untouched = host.read(&y).into_iter().enumerate().filter(|(i, _)| !(3..23).contains(&(i % 50)));
        assert!(untouched.map(|(_, v)| v).all(|v| v == 0.5));
    }
}

#[test]
fn rounded_activations_give_the_product_of_the_rounded_values() {
    let host = Host::new(2);
    for rows in [1, 8] {
        let d = linear(rows, 256, 24, DType::BF16, WeightFormat::FP8_BLOCK);
        let base = case(&host, &d, "rounded");
        let qdq = omnihal::op::quant::Qdq {
            rows,
            heads: 1,
            width: 256,
            group: 128,
            kind: omnihal::op::QuantKind::F8E4M3,
            dtype: DType::BF16,
        };
        let rounded = host.output(DType::BF16, [rows, 256]);
        let heads = |t: &Tensor| Some(t.view.unsqueeze(1).unwrap());
        host.run(qdq, &[heads(&base.a), heads(&rounded)]);
        let got = product(&host, &Linear { a_quant: ActQuant::F8G128, ..d }, &base);
        assert_ne!(got, product(&host, &d, &base));
        assert_eq!(got, product(&host, &d, &Case { a: rounded, ..base }));
    }
}

#[test]
fn a_row_hint_leaves_later_rows_alone() {
    let host = Host::new(2);
    for (rows, hint) in [(9, 3), (9, 7), (3, 0)] {
        let d = linear(rows, 32, 8, DType::F32, WeightFormat::Plain(DType::BF16));
        let base = case(&host, &d, "hint");
        let y = host.output(DType::F32, [rows, 8]);
        host.run_rows(d, &[base.a.arg(), base.w.arg(), y.arg()], hint);
        let whole = product(&host, &d, &base);
        let got = host.read(&y);
        assert_eq!(got[..hint * 8], whole[..hint * 8]);
        assert!(got[hint * 8..].iter().all(|v| *v == -77.0));
    }
}

#[test]
fn batched_products_take_every_transposition_and_stride() {
    let host = Host::new(2);
    for (m, inner, n) in [(1, 48, 20), (7, 33, 17)] {
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
            for accumulate in [false, true] {
                let (batch, input) = (3, DType::BF16);
                let d = Batched {
                    batch,
                    m,
                    inner,
                    n,
                    transpose_a,
                    transpose_b,
                    input,
                    output: DType::F32,
                    alpha: 0.5,
                    accumulate,
                };
                let mut random = Random::new("batched");
                let shape_a = if transpose_a { [inner, batch, m] } else { [m, batch, inner] };
                let shape_b = if transpose_b { [n, batch, inner] } else { [inner, batch, n] };
                let mut operand = |s: [usize; 3]| host.tensor(input, s, &random.normals(s.iter().product()));
                let (a, b) = (operand(shape_a), operand(shape_b));
                let y = host.tensor(DType::F32, [m, batch, n], &vec![2.0; m * batch * n]);
                let by_batch = |t: &Tensor| Some(t.view.swap(0, 1).unwrap());
                host.run(d, &[by_batch(&a), by_batch(&b), by_batch(&y)]);
                let (a, b, y) = (host.read(&a), host.read(&b), host.read(&y));
                for (i, row, col) in (0..batch * m * n).map(|f| (f / (m * n), f / n % m, f % n)) {
                    let left =
                        |k| if transpose_a { a[(k * batch + i) * m + row] } else { a[(row * batch + i) * inner + k] };
                    let right =
                        |k| if transpose_b { b[(col * batch + i) * inner + k] } else { b[(k * batch + i) * n + col] };
                    let terms = (0..inner).map(|k| 0.5 * left(k) as f64 * right(k) as f64);
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs()));
                    let sum = if accumulate { sum + 2.0 } else { sum };
                    assert_close(y[(row * batch + i) * n + col], sum, size + 2.0, inner, DType::F32, &format!("{d:?}"));
                }
            }
        }
    }
}

#[test]
fn groups_use_their_own_weight_and_empty_groups_are_not_read() {
    let host = Host::new(3);
    for format in [WeightFormat::Plain(DType::BF16), WeightFormat::FP8_BLOCK, WeightFormat::FP4_ROW] {
        let counts = [3, 0, 1, 40, 0, 5];
        let (rows, inner, outer) = (60, 64, 140);
        let d = Grouped { rows, groups: 6, inner, outer, input: DType::BF16, weight: format, output: DType::F32 };
        let mut random = Random::new("groups");
        let x = host.tensor(DType::BF16, [rows, inner], &random.normals(rows * inner));
        let (w, exact) = host.weight(format, [6, outer, inner], &mut random);
        let y = host.output(DType::F32, [rows, outer]);
        let counts_arg = host.indices([6], &counts);
        host.run(d, &[x.arg(), counts_arg.arg(), w.arg(), y.arg()]);
        let (x, y) = (host.read(&x), host.read(&y));
        let group_of = counts.iter().enumerate().flat_map(|(g, &n)| std::iter::repeat_n(g, n as usize));
        for (row, group) in group_of.enumerate() {
            for out in 0..outer {
                let weight = &exact[(group * outer + out) * inner..][..inner];
                let terms = x[row * inner..][..inner].iter().zip(weight).map(|(a, w)| *a as f64 * w);
                let (sum, size) = terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs()));
                assert_close(y[row * outer + out], sum, size, inner, DType::F32, &format!("{format} {row} {out}"));
            }
        }
        assert!(y[49 * outer..].iter().all(|v| *v == -77.0));
    }
}

#[test]
fn formats_that_no_kernel_reads_are_refused_with_a_reason() {
    let host = Host::new(1);
    let odd = linear(1, 33, 4, DType::F32, WeightFormat::FP4_ROW);
    let half = linear(1, 32, 4, DType::F32, WeightFormat::Plain(DType::F16));
    for (d, word) in [(odd, "even"), (half, "F16")] {
        let omnihal::Support::No(reason) = host.device.supports(&d.into()) else { panic!("{d:?} is supported") };
        assert!(reason.contains(word), "{reason}");
    }
}
