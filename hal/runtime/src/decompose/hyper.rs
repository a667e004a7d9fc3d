//! Decompositions of the hyper family.

use super::{Arguments, Context};
use crate::recipe::{Operand, Recipe};
use crate::shorthand::Affine;
use omnihal::op::elementwise::{Arith, Func, Reduction};
use omnihal::op::hyper::{Head, Post, Pre, Sinkhorn, mix};
use omnihal::op::{ActQuant, gemm};
use omnihal::{Column, DType, Result};

/// `(z fn^T) * rsqrt(mean(z^2) + eps)` of the flattened streams.
fn coefficients(r: &mut Recipe, z: &Operand, projection: &Operand, eps: f32) -> Operand {
    let g = r.linear(z, projection, ActQuant::None, DType::F32);
    let mean = r.reduce(&z.unsqueeze(2), Reduction::MeanSquare);
    let scale = r.map(&mean, Func::Rsqrt, Affine { beta: eps, ..Affine::default() });
    r.zip(Arith::Mul, &g, &scale)
}

/// `sum_j w[j] z[j]`, rounded to `y`, through the norm if there is a weight.
fn collapse(r: &mut Recipe, w: &Operand, z: &Operand, norm: Option<&Operand>, eps: f32, y: &Operand) {
    let (rows, streams) = (w.dim(0), w.dim(1));
    let width = z.dim(1) / streams;
    let sum = r.temp(DType::F32, [rows, 1, width]);
    r.batched_into(&w.unsqueeze(1), &z.split(1, streams, width), false, 1.0, false, &sum);
    let Some(weight) = norm else { return r.copy(&sum.merge(0), y) };
    let rounded = r.as_type(&sum, y.dtype());
    r.rms_norm(&rounded, Some(weight), eps, &y.unsqueeze(1));
}

pub(super) fn pre(r: &mut Recipe, d: &Pre, args: &Arguments) -> Result<()> {
    let (x, projection, scale, base) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(3)?);
    let (norm, a, post, comb) = (args.opt(4), args.get(5)?, args.get(6)?, args.get(7)?);
    let n = d.streams;
    let z = r.as_type(&x.merge(1), DType::F32);
    let g = coefficients(r, &z, projection, d.eps);
    let group = r.i32s([mix(n)], (0..mix(n)).map(|i| (i / n).min(2) as i32));
    let scales = r.gather(&scale.unsqueeze(1), &group);
    let g = r.zip(Arith::Mul, &g, &scales.swap(0, 1));
    let g = r.zip(Arith::Add, &g, &base.unsqueeze(0));
    let before = r.map(&g.slice(1, 0, n), Func::Sigmoid, Affine { delta: d.hc_eps, ..Affine::default() });
    r.map_into(&g.slice(1, n, n), Func::Sigmoid, Affine { gamma: 2.0, ..Affine::default() }, post);
    let sinkhorn = Sinkhorn { rows: d.rows, streams: n, iters: d.iters, eps: d.hc_eps };
    r.op(sinkhorn, &[&g.slice(1, 2 * n, n * n), comb]);
    collapse(r, &before, &z, norm, d.eps, a);
    Ok(())
}

pub(super) fn sinkhorn(r: &mut Recipe, d: &Sinkhorn, args: &Arguments) -> Result<()> {
    let (logits, comb) = (args.get(0)?, args.get(1)?);
    let n = d.streams;
    let b = r.cast(&logits.split(1, n, n), DType::F32);
    r.softmax(&b.merge(0).unsqueeze(2));
    r.map_into(&b, Func::Identity, Affine { delta: d.eps, ..Affine::default() }, &b);
    for step in 0..2 * d.iters - 1 {
        let columns = step % 2 == 0;
        let sum = match columns {
            true => r.reduce(&b, Reduction::Sum).unsqueeze(1),
            false => r.reduce(&b.merge(0).unsqueeze(2), Reduction::Sum).split(0, d.rows, n),
        };
        let last = step == 2 * d.iters - 2;
        r.ratio_into(&b, &sum, d.eps, 1.0, if last { comb } else { &b });
    }
    Ok(())
}

pub(super) fn post(r: &mut Recipe, d: &Post, args: &Arguments) -> Result<()> {
    let (x, out, post, comb, y) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(3)?, args.get(4)?);
    let streams = r.as_type(x, DType::F32);
    let mixed = r.temp(DType::F32, x.shape());
    let op = gemm::Batched {
        batch: d.rows,
        m: d.streams,
        inner: d.streams,
        n: d.width,
        transpose_a: true,
        transpose_b: false,
        input: DType::F32,
        output: DType::F32,
        alpha: 1.0,
        accumulate: false,
    };
    r.op(op, &[comb, &streams, &mixed]);
    let added = r.zip(Arith::Mul, &post.unsqueeze(2), &out.unsqueeze(1));
    r.zip_into(Arith::Add, &mixed, &added, y);
    Ok(())
}

pub(super) fn head(r: &mut Recipe, d: &Head, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (x, projection, scale, base) = (args.get(0)?, args.get(2)?, args.get(3)?, args.get(4)?);
    let (norm, y) = (args.opt(5), args.get(6)?);
    let wanted = r.column(cx.step, Column::Out0);
    let rows = r.gather(&x.merge(1), &wanted);
    let z = r.as_type(&rows, DType::F32);
    let g = coefficients(r, &z, projection, d.eps);
    let g = r.zip(Arith::Mul, &g, &scale.unsqueeze(0));
    let g = r.zip(Arith::Add, &g, &base.unsqueeze(0));
    let w = r.map(&g, Func::Sigmoid, Affine { delta: d.hc_eps, ..Affine::default() });
    collapse(r, &w, &z, norm, d.eps, y);
    Ok(())
}
