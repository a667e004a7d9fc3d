use crate::testing::{Bench, get, get_ints, noise, oracle_f32};
use omnihal::op::elementwise::{self, Arith, Cmp, Func, Reduction, Source};
use omnihal::{DType, Shape};

fn map(func: Func, count: usize) -> elementwise::Unary {
    elementwise::Unary {
        shape: Shape::from([count]),
        func,
        alpha: 1.0,
        beta: 0.0,
        gamma: 1.0,
        delta: 0.0,
        input: DType::F32,
        output: DType::F32,
    }
}

fn mapped(func: Func, x: &[f64]) -> Vec<f64> {
    let mut bench = Bench::new();
    let (x, y) = (bench.put(DType::F32, [x.len()], x), bench.empty(DType::F32, [x.len()]));
    bench.run(map(func, x.dim(0)), &[Some(x), Some(y)]).unwrap();
    get(&y)
}

#[test]
fn functions_have_their_textbook_values() {
    let f32_of = |x: f64| f64::from(x as f32);
    assert_eq!(mapped(Func::Identity, &[-1.5]), [-1.5]);
    assert_eq!(mapped(Func::Exp, &[0.0, 1.0]), [1.0, f32_of(std::f64::consts::E)]);
    assert_eq!(mapped(Func::Relu, &[-2.0, 2.0]), [0.0, 2.0]);
    assert_eq!(mapped(Func::Sigmoid, &[0.0, 3f64.ln()])[0], 0.5);
    assert_eq!(mapped(Func::Silu, &[0.0, -1.0]), [0.0, f32_of(-1.0 / (1.0 + std::f64::consts::E))]);
    assert_eq!(mapped(Func::Sqrt, &[9.0]), [3.0]);
    assert_eq!(mapped(Func::Rsqrt, &[16.0]), [0.25]);
    assert_eq!(mapped(Func::Abs, &[-7.0]), [7.0]);
    assert_eq!(mapped(Func::Floor, &[-1.5, 1.5]), [-2.0, 1.0]);
    assert_eq!(mapped(Func::Clamp(-1.0, 2.0), &[-3.0, 0.5, 3.0]), [-1.0, 0.5, 2.0]);
    assert_eq!(mapped(Func::Log, &[1.0, 2.0]), [0.0, f32_of(std::f64::consts::LN_2)]);
    assert!(mapped(Func::Relu, &[f64::NAN])[0].is_nan());
}

#[test]
fn sqrtsoftplus_is_the_oracle_function() {
    let ((_, x), (_, expected)) = (oracle_f32("sqrtsoftplus.x"), oracle_f32("sqrtsoftplus.y"));
    let mut bench = Bench::new();
    let views = [Some(bench.put(DType::F32, [x.len()], &x)), Some(bench.empty(DType::F32, [x.len()]))];
    let judged = bench.judge(map(Func::SqrtSoftplus, x.len()), &views);
    for ((n, y), x) in judged[0].nums().iter().zip(&expected).zip(&x) {
        assert!((n.v - y).abs() <= n.bound(DType::F32), "sqrtsoftplus({x}): {n:?}, oracle {y}");
    }
}

#[test]
fn a_map_scales_before_and_after() {
    let mut bench = Bench::new();
    let (x, y) = (bench.ints([2], &[3, -5]), bench.empty(DType::BF16, [2]));
    let d = elementwise::Unary {
        alpha: 2.0,
        beta: 1.0,
        gamma: 3.0,
        delta: -4.0,
        input: DType::I32,
        output: DType::BF16,
        ..map(Func::Abs, 2)
    };
    bench.run(d, &[Some(x), Some(y)]).unwrap();
    assert_eq!(get(&y), [17.0, 23.0]);
}

fn pairwise(arith: Arith) -> elementwise::Binary {
    elementwise::Binary {
        shape: Shape::from([2, 2]),
        a_shape: Shape::from([2, 1]),
        b_shape: Shape::from([1, 2]),
        arith,
        eps: 1.0,
        scale: 10.0,
        a: DType::F32,
        b: DType::F32,
        output: DType::F32,
    }
}

#[test]
fn pairs_broadcast_and_only_a_quotient_is_scaled() {
    let mut bench = Bench::new();
    let (a, b) = (bench.put(DType::F32, [2, 1], &[1.0, 8.0]), bench.put(DType::F32, [1, 2], &[3.0, 4.0]));
    for (arith, expected) in [
        (Arith::Add, [4.0, 5.0, 11.0, 12.0]),
        (Arith::Sub, [-2.0, -3.0, 5.0, 4.0]),
        (Arith::Mul, [3.0, 4.0, 24.0, 32.0]),
        (Arith::Div, [2.5, 2.0, 20.0, 16.0]),
        (Arith::Min, [1.0, 1.0, 3.0, 4.0]),
        (Arith::Max, [3.0, 4.0, 8.0, 8.0]),
    ] {
        let y = bench.empty(DType::F32, [2, 2]);
        bench.run(pairwise(arith), &[Some(a), Some(b), Some(y)]).unwrap();
        assert_eq!(get(&y), expected, "{arith:?}");
    }
}

#[test]
fn where_chooses_by_comparison_and_a_nan_compares_false() {
    let mut bench = Bench::new();
    let a = bench.put(DType::F32, [1, 4], &[1.0, 2.0, 3.0, f64::NAN]);
    let p = bench.ints([2, 1], &[10, 20]);
    for (cmp, expected) in [
        (Cmp::Lt, [10, -1, -1, -1, 20, -1, -1, -1]),
        (Cmp::Ge, [-1, 10, 10, -1, -1, 20, 20, -1]),
        (Cmp::Gt, [-1, -1, 10, -1, -1, -1, 20, -1]),
        (Cmp::Eq, [-1, 10, -1, -1, -1, 20, -1, -1]),
    ] {
        let d = elementwise::Where {
            shape: Shape::from([2, 4]),
            a_shape: Shape::from([1, 4]),
            cmp,
            b: Source::Const(2.0),
            p: Source::Tensor(Shape::from([2, 1])),
            q: Source::Const(-1.0),
            compared: DType::F32,
            dtype: DType::I32,
        };
        let y = bench.empty(DType::I32, [2, 4]);
        bench.run(d, &[Some(a), None, Some(p), None, Some(y)]).unwrap();
        assert_eq!(get_ints(&y), expected, "{cmp:?}");
    }
}

#[test]
fn reductions_run_over_the_middle_axis() {
    let mut bench = Bench::new();
    let x = bench.put(DType::BF16, [2, 2, 2], &[1.0, 2.0, 3.0, -4.0, 5.0, 6.0, 7.0, 8.0]);
    for (op, expected) in [
        (Reduction::Sum, [8.0, -4.0, 24.0, 28.0]),
        (Reduction::Max, [6.0, 4.0, 14.0, 16.0]),
        (Reduction::MeanSquare, [10.0, 20.0, 74.0, 100.0]),
    ] {
        let d = elementwise::Reduce { pre: 2, len: 2, post: 2, op, alpha: 2.0, input: DType::BF16, output: DType::F32 };
        let y = bench.empty(DType::F32, [2, 2]);
        bench.run(d, &[Some(x), Some(y)]).unwrap();
        assert_eq!(get(&y), expected, "{op:?}");
    }
}

#[test]
fn softmax_weighs_by_powers_along_the_middle_axis_and_masks_vanish() {
    let mut bench = Bench::new();
    let ln3 = f64::from(3f32.ln());
    let x = bench.put(DType::F32, [1, 3, 2], &[ln3, 700.0, 0.0, 700.0, -1e30, 700.0]);
    let d = elementwise::Softmax { pre: 1, len: 3, post: 2 };
    bench.run(d, &[Some(x), Some(x)]).unwrap();
    let third = f64::from((1.0f64 / 3.0) as f32);
    crate::testing::assert_close(&get(&x), &[0.75, third, 0.25, third, 0.0, third], 1e-7);
}

#[test]
fn an_f32_softmax_stays_within_the_bounds_and_one_without_the_last_element_does_not() {
    let mut bench = Bench::new();
    let x = noise("softmax", 64);
    let d = elementwise::Softmax { pre: 1, len: 64, post: 1 };
    let view = bench.put(DType::F32, [1, 64, 1], &x);
    let judged = bench.judge(d, &[Some(view), Some(view)]);
    let device = |counted: usize| {
        let top = x.iter().fold(f32::MIN, |m, &x| m.max(x as f32));
        let powers: Vec<f32> = x.iter().map(|&x| (x as f32 - top).exp()).collect();
        let total: f32 = powers[..counted].iter().sum();
        let inside = |(p, n): (&f32, &crate::Num)| (f64::from(p / total) - n.v).abs() <= n.bound(DType::F32);
        powers.iter().zip(judged[0].nums()).all(inside)
    };
    assert!(device(64));
    assert!(!device(63));
}

#[test]
fn running_sums_include_or_leave_out_the_element() {
    let mut bench = Bench::new();
    let x = bench.put(DType::F32, [2, 3], &[1.0, 2.0, 4.0, 10.0, 20.0, 40.0]);
    for (exclusive, expected) in [(false, [1.0, 3.0, 7.0, 10.0, 30.0, 70.0]), (true, [0.0, 1.0, 3.0, 0.0, 10.0, 30.0])]
    {
        let y = bench.empty(DType::F32, [2, 3]);
        bench.run(elementwise::Cumsum { rows: 2, len: 3, exclusive }, &[Some(x), Some(y)]).unwrap();
        assert_eq!(get(&y), expected);
    }
}

#[test]
fn an_exclusive_sum_made_by_subtraction_stays_within_the_bounds() {
    let mut bench = Bench::new();
    let x = noise("exclusive", 200);
    let view = bench.put(DType::F32, [1, 200], &x);
    let d = elementwise::Cumsum { rows: 1, len: 200, exclusive: true };
    let judged = bench.judge(d, &[Some(view), Some(view)]);
    let mut total = 0f32;
    for (x, n) in x.iter().zip(judged[0].nums()) {
        total += *x as f32;
        assert!((f64::from(total - *x as f32) - n.v).abs() <= n.bound(DType::F32));
    }
}
