use crate::ops::cache::testing::{Array, Seed, assert_near, rounded, run};
use omnihal::op::elementwise::{Arith, Binary, Cmp, Cumsum, Func, Reduce, Reduction, Softmax, Source, Unary, Where};
use omnihal::{DType, Shape};

/// Odd, larger than a task, and no multiple of a run.
const BIG: [usize; 3] = [5, 7, 1201];

fn function(func: Func, x: f64) -> f64 {
    match func {
        Func::Identity => x,
        Func::Exp => x.exp(),
        Func::Relu => x.max(0.0),
        Func::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Func::Silu => x / (1.0 + (-x).exp()),
        Func::Sqrt => x.sqrt(),
        Func::Rsqrt => 1.0 / x.sqrt(),
        Func::Abs => x.abs(),
        Func::Floor => x.floor(),
        Func::Clamp(low, high) => x.clamp(low as f64, high as f64),
        Func::SqrtSoftplus => (x.exp() + 1.0).ln().sqrt(),
        Func::Log => x.ln(),
    }
}

#[test]
fn functions_of_one_variable_are_right_to_the_last_places() {
    let mut seed = Seed::of("unary");
    let any = [Func::Identity, Func::Exp, Func::Relu, Func::Sigmoid, Func::Silu, Func::Abs, Func::SqrtSoftplus];
    let positive = [Func::Sqrt, Func::Rsqrt, Func::Log, Func::Clamp(0.5, 1.25)];
    for (func, alpha, beta) in any.map(|f| (f, 23.0, -1.0)).into_iter().chain(positive.map(|f| (f, 0.9, 1.0))) {
        let x = Array::random(DType::F32, BIG, 3, &mut seed);
        let y = Array::with_gap(DType::F32, BIG, 1);
        let op = Unary {
            shape: BIG.into(),
            func,
            alpha,
            beta,
            gamma: 0.5,
            delta: 2.0,
            input: DType::F32,
            output: DType::F32,
        };
        run(2, op, &[&x, &y].map(|a| Some(a.view())));
        for (x, y) in x.values().into_iter().zip(y.values()) {
            let e = 0.5 * function(func, (alpha * x + beta) as f64) + 2.0;
            assert!((y as f64 - e).abs() <= 4e-7 * (1.0 + e.abs()), "{func:?} of {x} is {y}, expected {e}");
        }
    }
}

#[test]
fn floor_rounds_down_and_integers_convert() {
    let x = Array::floats(DType::F32, [5], &[-1.5, -1.0, 0.25, 2.9999, 3.0]);
    let y = Array::garbage(DType::I32, [5]);
    let unary = |input, output, func| Unary {
        shape: [5].into(),
        func,
        alpha: 1.0,
        beta: 0.0,
        gamma: 1.0,
        delta: 0.0,
        input,
        output,
    };
    run(1, unary(DType::F32, DType::I32, Func::Floor), &[&x, &y].map(|a| Some(a.view())));
    assert_eq!(y.ints(), [-2, -1, 0, 2, 3]);
    let back = Array::garbage(DType::BF16, [5]);
    run(1, unary(DType::I32, DType::BF16, Func::Abs), &[&y, &back].map(|a| Some(a.view())));
    assert_eq!(back.values(), [2.0, 1.0, 0.0, 2.0, 3.0]);
}

#[test]
fn operands_broadcast_permute_and_may_be_the_result() {
    let mut seed = Seed::of("binary");
    let [a0, a1, a2] = BIG;
    let a = Array::random(DType::F32, [a2, a1, a0], 2, &mut seed);
    let b = Array::random(DType::BF16, [1, a1, 1], 0, &mut seed);
    let view = a.view().swap(0, 2).unwrap();
    for (arith, f) in [
        (Arith::Add, (|a, b| a + b) as fn(f64, f64) -> f64),
        (Arith::Sub, |a, b| a - b),
        (Arith::Mul, |a, b| a * b),
        (Arith::Div, |a, b| 3.0 * a / (b + 2.0)),
        (Arith::Min, f64::min),
        (Arith::Max, f64::max),
    ] {
        let before = a.values();
        let op = Binary {
            shape: BIG.into(),
            a_shape: BIG.into(),
            b_shape: [1, a1, 1].into(),
            arith,
            eps: 2.0,
            scale: 3.0,
            a: DType::F32,
            b: DType::BF16,
            output: DType::F32,
        };
        // The result takes the place of the left operand.
        run(3, op, &[Some(view), Some(b.view()), Some(view)]);
        for (i, (&old, new)) in before.iter().zip(a.values()).enumerate() {
            let e = f(old as f64, b.values()[i / a0 % a1] as f64);
            assert!((new as f64 - e).abs() <= 3e-7 * (1.0 + e.abs()), "{arith:?} {i}");
        }
    }
}

#[test]
fn an_operand_repeats_along_any_axis() {
    let mut seed = Seed::of("broadcast");
    for full in [[5, 4, 64], [1, 4, 64], [5, 1, 7], [3, 4, 1], [2, 3, 700]] {
        for keep in 0..8 {
            let small: Vec<usize> = (0..3).map(|axis| if keep >> axis & 1 == 1 { full[axis] } else { 1 }).collect();
            let a = Array::random(DType::F32, full, 1, &mut seed);
            let b = Array::random(DType::F32, Shape::new(&small), 2, &mut seed);
            let y = Array::garbage(DType::F32, full);
            let (shape, b_shape) = (full.into(), Shape::new(&small));
            let op = Binary {
                shape,
                a_shape: shape,
                b_shape,
                arith: Arith::Sub,
                eps: 0.0,
                scale: 1.0,
                a: DType::F32,
                b: DType::F32,
                output: DType::F32,
            };
            run(2, op, &[&a, &b, &y].map(|a| Some(a.view())));
            let (left, right) = (a.values(), b.values());
            for (i, y) in y.values().into_iter().enumerate() {
                let at = [i / (full[1] * full[2]), i / full[2] % full[1], i % full[2]];
                let place = (0..3).fold(0, |p, axis| p * small[axis] + at[axis] % small[axis]);
                assert_eq!(y, left[i] - right[place], "{full:?} {small:?} {i}");
            }
        }
    }
}

#[test]
fn choices_compare_and_move_exactly() {
    let mut seed = Seed::of("where");
    let n = 40_000;
    let values: Vec<f32> = (0..n).map(|i| if i % 11 == 0 { f32::NAN } else { (seed.below(5) as f32) - 2.0 }).collect();
    let a = Array::floats(DType::F32, [2, n / 2], &values);
    let q = Array::random(DType::BF16, [2, 1], 0, &mut seed);
    let holds = [
        (Cmp::Lt, (|a| a < 1.0) as fn(f32) -> bool),
        (Cmp::Ge, |a| a >= 1.0),
        (Cmp::Gt, |a| a > 1.0),
        (Cmp::Eq, |a| a == 1.0),
    ];
    for (cmp, holds) in holds {
        let y = Array::with_gap(DType::BF16, [2, n / 2], 7);
        let shape = Shape::from([2, n / 2]);
        let op = Where {
            shape,
            a_shape: shape,
            cmp,
            b: Source::Const(1.0),
            p: Source::Const(-7.5),
            q: Source::Tensor([2, 1].into()),
            compared: DType::F32,
            dtype: DType::BF16,
        };
        run(2, op, &[Some(a.view()), None, None, Some(q.view()), Some(y.view())]);
        for (i, y) in y.values().into_iter().enumerate() {
            assert_eq!(y, if holds(values[i]) { -7.5 } else { q.values()[i / (n / 2)] }, "{cmp:?} {i}");
        }
    }
    // Neighbours that f32 cannot tell apart.
    let a = Array::indices([3], &[16_777_217, 16_777_216, -1]);
    let b = Array::indices([1], &[16_777_216]);
    let y = Array::garbage(DType::I32, [3]);
    let op = Where {
        shape: [3].into(),
        a_shape: [3].into(),
        cmp: Cmp::Gt,
        b: Source::Tensor([1].into()),
        p: Source::Tensor([3].into()),
        q: Source::Const(-1.0),
        compared: DType::I32,
        dtype: DType::I32,
    };
    run(1, op, &[Some(a.view()), Some(b.view()), Some(a.view()), None, Some(y.view())]);
    assert_eq!(y.ints(), [16_777_217, -1, -1]);
}

/// `[pre, len, post]`: one line, short lines, long lines, lines side by side, and many of them.
const LINES: [[usize; 3]; 6] = [[1, 1, 1], [3, 4, 1], [2, 2000, 1], [5, 4, 3], [2, 9, 1300], [700, 8, 4]];

fn line(x: &[f32], [_, len, post]: [usize; 3], i: usize) -> Vec<f64> {
    (0..len).map(|k| x[(i / post * len + k) * post + i % post] as f64).collect()
}

#[test]
fn lines_are_summed_compared_and_squared() {
    for shape @ [pre, len, post] in LINES {
        let mut seed = Seed::of(&format!("reduce {shape:?}"));
        for (op, f) in [
            (Reduction::Sum, (|x| x.iter().sum()) as fn(&[f64]) -> f64),
            (Reduction::Max, |x| x.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v))),
            (Reduction::MeanSquare, |x| x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64),
        ] {
            let x = Array::random(DType::BF16, shape, 1, &mut seed);
            let values = x.values();
            let expected: Vec<f64> = (0..pre * post).map(|i| 1.5 * f(&line(&values, shape, i))).collect();
            let mut first = Vec::new();
            for threads in 1..=3 {
                let y = Array::garbage(DType::F32, [pre, post]);
                let d = Reduce { pre, len, post, op, alpha: 1.5, input: DType::BF16, output: DType::F32 };
                run(threads, d, &[&x, &y].map(|a| Some(a.view())));
                assert_near(&y.values(), &expected, 1e-6 * len as f64);
                first = if first.is_empty() { y.bits() } else { first };
                assert_eq!(first, y.bits());
            }
        }
    }
}

#[test]
fn softmax_sums_to_one_in_place_and_masks_vanish() {
    for shape @ [pre, len, post] in LINES {
        let mut seed = Seed::of(&format!("softmax {shape:?}"));
        let mut x = Array::random(DType::F32, shape, 2, &mut seed);
        let mut values = x.values();
        // Large numbers overflow unless the maximum is taken off; -1e30 is a mask.
        values.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 5 == 4 { -1e30 } else { *v * 10.0 + 90.0 });
        x.set(&values);
        run(2, Softmax { pre, len, post }, &[Some(x.view()), Some(x.view())]);
        let found = x.values();
        for i in 0..pre * post {
            let logits = line(&values, shape, i);
            let top = logits.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v));
            let sum: f64 = logits.iter().map(|v| (v - top).exp()).sum();
            let expected: Vec<f64> = logits.iter().map(|v| (v - top).exp() / sum).collect();
            let y: Vec<f32> = line(&found, shape, i).iter().map(|&v| v as f32).collect();
            assert_near(&y, &expected, 1e-6);
        }
    }
}

#[test]
fn running_sums_include_or_leave_out_their_element() {
    let mut seed = Seed::of("cumsum");
    let x = Array::random(DType::F32, [3, 1300], 5, &mut seed);
    for exclusive in [false, true] {
        let y = Array::with_gap(DType::F32, [3, 1300], 2);
        run(2, Cumsum { rows: 3, len: 1300, exclusive }, &[&x, &y].map(|a| Some(a.view())));
        let values = x.values();
        let sum =
            |i: usize| values[i / 1300 * 1300..i + usize::from(!exclusive)].iter().map(|&v| v as f64).sum::<f64>();
        let expected: Vec<f64> = (0..3 * 1300).map(|i| rounded(DType::F32, sum(i))).collect();
        assert_near(&y.values(), &expected, 1e-5);
    }
}
