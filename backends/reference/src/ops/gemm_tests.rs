use crate::testing::{Bench, assert_close, get, noise, oracle, oracle_f32, set};
use omnihal::op::{ActQuant, gemm};
use omnihal::{DType, View, WeightFormat};

fn linear(rows: usize, inner: usize, outer: usize) -> gemm::Linear {
    gemm::Linear {
        rows,
        inner,
        outer,
        input: DType::F32,
        weight: WeightFormat::Plain(DType::F32),
        a_quant: ActQuant::None,
        output: DType::F32,
        accumulate: false,
    }
}

#[test]
fn a_linear_multiplies_by_the_transposed_weight_and_can_add() {
    let mut bench = Bench::new();
    let a = bench.put(DType::F32, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let w = bench.put(DType::F32, [2, 3], &[1.0, 0.0, -1.0, 2.0, 1.0, 0.5]);
    let y = bench.empty(DType::F32, [2, 4]).slice(1, 1, 2).unwrap();
    bench.run(linear(2, 3, 2), &[Some(a), Some(w), Some(y)]).unwrap();
    assert_eq!(get(&y), [-2.0, 5.5, -2.0, 16.0]);
    bench.run(gemm::Linear { accumulate: true, ..linear(2, 3, 2) }, &[Some(a), Some(w), Some(y)]).unwrap();
    assert_eq!(get(&y), [-4.0, 11.0, -4.0, 32.0]);
}

#[test]
fn activations_are_rounded_in_groups_of_128_before_the_product() {
    // Against the identity, the product is the rounded activations: the oracle's.
    let ((shape, x), (_, expected)) = (oracle_f32("act.x"), oracle_f32("act.fp8_g128"));
    let (rows, width) = (shape[0], shape[1]);
    let mut bench = Bench::new();
    let identity: Vec<f64> = (0..width * width).map(|i| f64::from(u8::from(i / width == i % width))).collect();
    let a = bench.put(DType::F32, [rows, width], &x);
    let w = bench.put(DType::F32, [width, width], &identity);
    let y = bench.empty(DType::F32, [rows, width]);
    let d = gemm::Linear { a_quant: ActQuant::F8G128, ..linear(rows, width, width) };
    bench.run(d, &[Some(a), Some(w), Some(y)]).unwrap();
    assert_close(&get(&y), &expected, 0.0);
}

#[test]
fn one_large_activation_coarsens_the_grid_of_its_own_128_channels_only() {
    let mut bench = Bench::new();
    let mut x = vec![0.0; 256];
    (x[0], x[127], x[128]) = (448.0 * 1024.0, 1.0, 1.0);
    let mut select = vec![0.0; 2 * 256];
    (select[127], select[256 + 128]) = (1.0, 1.0);
    let (a, w) = (bench.put(DType::F32, [1, 256], &x), bench.put(DType::F32, [2, 256], &select));
    let y = bench.empty(DType::F32, [1, 2]);
    let d = gemm::Linear { a_quant: ActQuant::F8G128, ..linear(1, 256, 2) };
    bench.run(d, &[Some(a), Some(w), Some(y)]).unwrap();
    assert_eq!(get(&y), [0.0, 1.0]);
}

#[test]
fn blocked_weights_multiply_by_code_and_scale() {
    let ((shape, codes), (_, scales), (_, values)) = (oracle("wfp4.q"), oracle("wfp4.scale"), oracle_f32("wfp4.deq"));
    let (outer, inner) = (shape[0], 2 * shape[1]);
    let mut bench = Bench::new();
    let w = bench.weight(WeightFormat::FP4_ROW, [outer, inner], &codes, &scales);
    let plain = bench.put(DType::F32, [outer, inner], &values);
    let a = bench.put(DType::BF16, [3, inner], &noise("blocked", 3 * inner));
    let d = gemm::Linear { input: DType::BF16, output: DType::BF16, ..linear(3, inner, outer) };
    let (y, z) = (bench.empty(DType::BF16, [3, outer]), bench.empty(DType::BF16, [3, outer]));
    bench.run(gemm::Linear { weight: WeightFormat::FP4_ROW, ..d }, &[Some(a), Some(w), Some(y)]).unwrap();
    bench.run(d, &[Some(a), Some(plain), Some(z)]).unwrap();
    assert_eq!(get(&y), get(&z));
    assert!(get(&y).iter().any(|&y| y != 0.0));
}

/// The orthonormal Hadamard matrix by its definition: the sign is the parity of the common bits of row and column.
fn hadamard(width: usize) -> Vec<f64> {
    let sign = |i: usize| if ((i / width) & (i % width)).count_ones() % 2 == 0 { 1.0 } else { -1.0 };
    (0..width * width).map(|i| sign(i) / (width as f64).sqrt()).collect()
}

#[test]
fn products_with_the_hadamard_matrix_are_the_oracle_transform() {
    for width in [16, 64, 128] {
        let (shape, x) = oracle_f32(&format!("hadamard{width}.x"));
        let (_, expected) = oracle_f32(&format!("hadamard{width}.y"));
        let mut bench = Bench::new();
        let a = bench.put(DType::F32, [shape[0], width], &x);
        let w = bench.put(DType::F32, [width, width], &hadamard(width));
        let views = [Some(a), Some(w), Some(bench.empty(DType::F32, [shape[0], width]))];
        let judged = bench.judge(linear(shape[0], width, width), &views);
        for (i, (n, y)) in judged[0].nums().iter().zip(&expected).enumerate() {
            assert!((n.v - y).abs() <= n.bound(DType::F32), "element {i} of width {width}: {n:?}, oracle {y}");
        }
    }
}

#[test]
fn batched_products_honour_transposes_strides_alpha_and_accumulation() {
    let mut bench = Bench::new();
    let a = bench.put(DType::F32, [2, 2, 3], &(1..=12).map(f64::from).collect::<Vec<_>>());
    let b = bench.put(DType::F32, [2, 3, 2], &(1..=12).map(|x| f64::from(x * x % 7)).collect::<Vec<_>>());
    let (a_t, b_t) = (bench.empty(DType::F32, [2, 3, 2]), bench.empty(DType::F32, [2, 2, 3]));
    set(&a_t.swap(1, 2).unwrap(), &get(&a));
    set(&b_t.swap(1, 2).unwrap(), &get(&b));
    let product = |i: usize, m: usize, n: usize| -> f64 {
        (0..3)
            .map(|k| f64::from((i * 6 + m * 3 + k + 1) as u32) * f64::from(((i * 6 + k * 2 + n + 1).pow(2) % 7) as u32))
            .sum()
    };
    let by_hand: Vec<f64> = (0..8).map(|i| product(i / 4, i / 2 % 2, i % 2)).collect();
    assert_eq!(by_hand[..2], [1.0 + 2.0 * 2.0 + 3.0 * 4.0, 4.0 + 2.0 * 2.0 + 3.0]);
    for (transpose_a, transpose_b) in [(false, false), (true, false), (false, true), (true, true)] {
        let d = gemm::Batched {
            batch: 2,
            m: 2,
            inner: 3,
            n: 2,
            transpose_a,
            transpose_b,
            input: DType::F32,
            output: DType::F32,
            alpha: 0.5,
            accumulate: true,
        };
        let y = bench.put(DType::F32, [2, 2, 2], &[100.0; 8]);
        let views = [Some(if transpose_a { a_t } else { a }), Some(if transpose_b { b_t } else { b }), Some(y)];
        bench.run(d, &views).unwrap();
        assert_eq!(get(&y), by_hand.iter().map(|p| 100.0 + p / 2.0).collect::<Vec<_>>());
    }
}

#[test]
fn grouped_rows_meet_the_weight_of_their_group_and_rows_past_the_counts_are_unspecified() {
    let mut bench = Bench::new();
    let d = gemm::Grouped {
        rows: 4,
        groups: 3,
        inner: 1,
        outer: 2,
        input: DType::F32,
        weight: WeightFormat::Plain(DType::F32),
        output: DType::F32,
    };
    let x = bench.put(DType::F32, [4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let w = bench.put(DType::F32, [3, 2, 1], &[1.0, 10.0, f64::NAN, f64::NAN, 2.0, 20.0]);
    let y: View = bench.empty(DType::F32, [4, 2]);
    let views = [Some(x), Some(bench.ints([3], &[1, 0, 2])), Some(w), Some(y)];
    bench.run(d, &views).unwrap();
    assert_eq!(get(&y)[..6], [1.0, 10.0, 4.0, 40.0, 6.0, 60.0]);
    let mask = bench.judge(d, &views)[0].mask.clone().unwrap();
    assert_eq!(mask, [true, true, true, true, true, true, false, false]);
    let wild = [Some(x), Some(bench.ints([3], &[-5, i32::MAX, i32::MAX])), Some(w), Some(y)];
    bench.run(d, &wild).unwrap();
}
