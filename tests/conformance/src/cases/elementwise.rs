//! elementwise.unary, binary, where, reduce, softmax, cumsum.

use super::{ACTS, List, pairwise};
use crate::case::{Data, Layout};
use omnihal::op::elementwise::{Arith, Binary, Cmp, Cumsum, Func, Reduce, Reduction, Softmax, Source, Unary, Where};
use omnihal::{DType, Shape};

const LAYOUTS: [Layout; 4] = [Layout::Dense, Layout::Apart, Layout::Shifted, Layout::Any];

pub(super) fn add(list: &mut List) {
    unary(list);
    binary(list);
    select(list);
    for [size, op, input, output, layout] in pairwise([4, 3, 2, 2, 4]) {
        let (pre, len, post) = [(1, 1, 1), (3, 29, 2), (2, 257, 1), (1, 64, 33)][size];
        let op = [Reduction::Sum, Reduction::Max, Reduction::MeanSquare][op];
        let d = Reduce { pre, len, post, op, alpha: 0.5, input: ACTS[input], output: ACTS[output] };
        for data in [Data::Normal, Data::Small] {
            list.add(d, data, LAYOUTS[layout], None, true);
        }
    }
    for (pre, len, post) in [(1, 1, 1), (3, 31, 2), (4, 160, 1), (2, 33, 9)] {
        for (data, layout) in [
            (Data::Normal, Layout::Dense),
            (Data::Wide, Layout::Apart),
            (Data::Whole, Layout::Shifted),
            (Data::Small, Layout::Any),
        ] {
            list.add(Softmax { pre, len, post }, data, layout, None, true);
        }
    }
    for input in ACTS {
        for op in [Reduction::Sum, Reduction::Max, Reduction::MeanSquare] {
            let d = Reduce { pre: 4, len: 33, post: 1, op, alpha: -1.5, input, output: DType::F32 };
            list.add(d, Data::Low, Layout::Dense, None, true);
            list.add(d, Data::Groups, Layout::Dense, None, true);
        }
    }
    for data in [Data::Low, Data::Groups, Data::Near] {
        list.add(Softmax { pre: 3, len: 70, post: 1 }, data, Layout::InPlace, None, true);
        list.add(Softmax { pre: 2, len: 33, post: 3 }, data, Layout::Dense, None, true);
        for exclusive in [false, true] {
            list.add(Cumsum { rows: 17, len: 130, exclusive }, data, Layout::Dense, None, true);
        }
    }
    for (rows, len) in [(1, 1), (3, 21), (2, 300), (5, 64)] {
        for exclusive in [false, true] {
            list.add(Cumsum { rows, len, exclusive }, Data::Normal, Layout::Dense, None, true);
            list.add(Cumsum { rows, len, exclusive }, Data::Whole, Layout::Apart, None, true);
        }
    }
}

fn unary(list: &mut List) {
    let funcs = [
        Func::Identity,
        Func::Exp,
        Func::Relu,
        Func::Sigmoid,
        Func::Silu,
        Func::Sqrt,
        Func::Rsqrt,
        Func::Abs,
        Func::Floor,
        Func::Clamp(-0.5, 0.75),
        Func::SqrtSoftplus,
        Func::Log,
    ];
    let shapes: [&[usize]; 3] = [&[1], &[5, 19], &[2, 3, 1, 5, 2, 3]];
    let factors = [(1.0, 0.0, 1.0, 0.0), (0.7, 0.1, 2.0, -0.3)];
    for [func, shape, input, output, layout, factor] in pairwise([12, 3, 2, 2, 4, 2]) {
        // Outside their domain these functions are nobody's business.
        let partial = matches!(funcs[func], Func::Sqrt | Func::Rsqrt | Func::Log);
        let (alpha, beta, gamma, delta) = factors[factor];
        let (shape, func) = (Shape::new(shapes[shape]), funcs[func]);
        let d = Unary { shape, func, alpha, beta, gamma, delta, input: ACTS[input], output: ACTS[output] };
        list.add(d, Data::Normal, LAYOUTS[layout], None, true);
        if !partial {
            list.add(d, Data::Small, Layout::Dense, None, true);
        }
    }
    // Arguments near the ends of what an exponential can do, and beyond.
    let plain = |func, alpha, input, output| {
        let (beta, gamma, delta) = (0.0, 1.0, 0.0);
        Unary { shape: [7, 40].into(), func, alpha, beta, gamma, delta, input, output }
    };
    for func in [Func::Exp, Func::Sigmoid, Func::Silu, Func::SqrtSoftplus] {
        for alpha in [20.0, 40.0] {
            list.plain(plain(func, alpha, DType::F32, DType::F32));
        }
    }
    // Counts and positions become numbers.
    for (func, output) in [(Func::Identity, DType::F32), (Func::Floor, DType::F32), (Func::Identity, DType::BF16)] {
        list.plain(plain(func, 0.25, DType::I32, output));
    }
    for act in ACTS {
        list.add(plain(Func::Silu, 1.0, act, act), Data::Nan, Layout::InPlace, None, true);
        list.add(plain(Func::Silu, 1.0, act, act), Data::Low, Layout::Dense, None, true);
    }
    for (func, dtype) in [(Func::Identity, DType::F32), (Func::Relu, DType::F32), (Func::Abs, DType::BF16)] {
        list.add(plain(func, 1.0, dtype, dtype), Data::Special, Layout::Dense, None, true);
    }
}

fn binary(list: &mut List) {
    let ariths = [Arith::Add, Arith::Sub, Arith::Mul, Arith::Div, Arith::Min, Arith::Max];
    let shapes: [[&[usize]; 3]; 4] = [
        [&[1], &[1], &[1]],
        [&[4, 3, 9], &[4, 1, 9], &[1, 3, 1]],
        [&[5, 130], &[5, 130], &[5, 130]],
        [&[2, 1, 3, 2, 2, 5], &[2, 1, 3, 2, 2, 5], &[1, 1, 3, 1, 2, 1]],
    ];
    for [arith, shape, a, b, output, layout] in pairwise([6, 4, 2, 2, 2, 4]) {
        let [shape, a_shape, b_shape] = shapes[shape].map(Shape::new);
        let arith = ariths[arith];
        // A divisor near 0 has no bound: the epsilon keeps it away.
        let eps = if arith == Arith::Div { 8.0 } else { 0.0 };
        let d =
            Binary { shape, a_shape, b_shape, arith, eps, scale: 0.75, a: ACTS[a], b: ACTS[b], output: ACTS[output] };
        list.add(d, Data::Normal, LAYOUTS[layout], None, true);
        list.add(d, Data::Small, Layout::Dense, None, arith != Arith::Div);
    }
    for arith in [Arith::Add, Arith::Mul, Arith::Min, Arith::Max] {
        let shape = [9, 16].into();
        let (a, b, output) = (DType::F32, DType::F32, DType::F32);
        let d = Binary { shape, a_shape: shape, b_shape: shape, arith, eps: 0.0, scale: 1.0, a, b, output };
        list.add(d, Data::Special, Layout::Dense, None, true);
        list.add(d, Data::Near, Layout::InPlace, None, true);
    }
}

fn select(list: &mut List) {
    let cmps = [Cmp::Lt, Cmp::Ge, Cmp::Gt, Cmp::Eq];
    let full: Shape = [4, 3, 9].into();
    let sources = [Source::Tensor(full), Source::Tensor([1, 3, 1].into()), Source::Const(0.5)];
    let types = [DType::F32, DType::BF16];
    for [cmp, b, p, q, compared, dtype, layout] in pairwise([4, 3, 3, 3, 3, 2, 4]) {
        let compared = [DType::F32, DType::BF16, DType::I32][compared];
        let b = match (sources[b], compared) {
            (Source::Const(_), DType::I32) => Source::Const(1.0),
            (source, _) => source,
        };
        let d = Where {
            shape: full,
            a_shape: full,
            cmp: cmps[cmp],
            b,
            p: sources[p],
            q: sources[q],
            compared,
            dtype: types[dtype],
        };
        let data = [Data::Normal, Data::Whole, Data::Special, Data::Small][(cmp + layout) % 4];
        list.add(d, data, LAYOUTS[layout], None, true);
    }
    for cmp in cmps {
        for compared in [DType::F32, DType::I32] {
            let (b, p, q) = (Source::Tensor(full), Source::Tensor(full), Source::Const(-1.0));
            let d = Where { shape: full, a_shape: full, cmp, b, p, q, compared, dtype: DType::F32 };
            list.add(d, Data::Near, Layout::Dense, None, true);
            list.add(d, Data::Near, Layout::InPlace, None, true);
        }
    }
    // Masking with an infinity, as attention does.
    let (b, q) = (Source::Const(0.0), Source::Const(f32::NEG_INFINITY));
    let (shape, p) = ([6, 33].into(), Source::Tensor([6, 33].into()));
    let d = Where { shape, a_shape: [1, 33].into(), cmp: Cmp::Gt, b, p, q, compared: DType::F32, dtype: DType::F32 };
    list.plain(d);
}
