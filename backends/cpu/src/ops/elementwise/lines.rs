//! Operators along an axis: reductions, softmax, running sums.
//!
//! A line is the middle axis of `[pre, len, post]`. With `post` of 1 a line is taken in runs; otherwise a run of neighbouring lines is
//! taken element by element. Either way the order in a line depends on its length only.

use super::walk::{RUN, load, store};
use crate::ops::{Ctx, Tensor, unsupported};
use crate::simd::{Kernels, dots};
use omnihal::op::elementwise::{CumsumArgs, Reduce, ReduceArgs, Reduction, SoftmaxArgs};
use omnihal::{Args, Op, Result};

/// Elements of a task at least.
const TASK: usize = 1 << 14;

/// Calls `each` with `pre`, first line and number of lines of every run of lines.
fn each_run(ctx: &Ctx<'_>, [pre, len, post]: [usize; 3], each: &(dyn Fn(usize, usize, usize) + Sync)) {
    let parts = post.div_ceil(RUN);
    let grain = (TASK / (len * post.min(RUN))).max(1);
    ctx.pool.ranges(pre * parts, grain, &|range, _| {
        for i in range {
            let from = i % parts * RUN;
            each(i / parts, from, RUN.min(post - from));
        }
    });
}

/// Sums of a line's elements in fixed lanes, or of many lines side by side.
const LANES: usize = 16;

pub(super) fn reduce(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Reduce(d) = op else { return unsupported(op).map(|_| ()) };
    let a = ReduceArgs::new(args)?;
    let [x, y] = [a.x, a.y].map(Tensor::new);
    each_run(ctx, [d.pre, d.len, d.post], &|pre, from, lines| {
        let mut sums = [0.0; RUN];
        if d.post == 1 {
            sums[0] = along(d, &x, pre, ctx.simd);
        } else {
            across(d, &x, [pre, from], &mut sums[..lines], ctx.simd);
        }
        let factor = if d.op == Reduction::MeanSquare { d.alpha / d.len as f32 } else { d.alpha };
        sums[..lines].iter_mut().for_each(|v| *v *= factor);
        // SAFETY: these elements of `y` belong to this task.
        unsafe { store(&y, y.place(&[pre, from]), y.strides[1], &sums[..lines], ctx.simd) };
    });
    Ok(())
}

fn start(op: Reduction) -> f32 {
    if op == Reduction::Max { f32::NEG_INFINITY } else { 0.0 }
}

/// Adds or compares element by element.
#[inline(always)]
fn fold(op: Reduction, sums: &mut [f32], x: &[f32]) {
    match op {
        Reduction::Sum => sums.iter_mut().zip(x).for_each(|(s, x)| *s += x),
        Reduction::Max => sums.iter_mut().zip(x).for_each(|(s, &x)| *s = if x > *s { x } else { *s }),
        Reduction::MeanSquare => sums.iter_mut().zip(x).for_each(|(s, x)| *s += x * x),
    }
}

/// Reduces one line.
fn along(d: &Reduce, x: &Tensor, pre: usize, simd: &Kernels) -> f32 {
    let (mut buffer, mut lanes) = ([0.0; RUN], [start(d.op); LANES]);
    for from in (0..d.len).step_by(RUN) {
        let run = &mut buffer[..RUN.min(d.len - from)];
        // SAFETY: the run lies in the line.
        unsafe { load(x, x.place(&[pre, from]), x.strides[1], run, simd) };
        run.chunks(LANES).for_each(|chunk| fold(d.op, &mut lanes, chunk));
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        let (low, high) = lanes[..2 * width].split_at_mut(width);
        // Squares are taken already.
        fold(if d.op == Reduction::Max { d.op } else { Reduction::Sum }, low, high);
    }
    lanes[0]
}

/// Reduces `sums.len()` neighbouring lines.
fn across(d: &Reduce, x: &Tensor, [pre, from]: [usize; 2], sums: &mut [f32], simd: &Kernels) {
    let mut buffer = [0.0; RUN];
    let run = &mut buffer[..sums.len()];
    sums.fill(start(d.op));
    for k in 0..d.len {
        // SAFETY: the run lies across the lines.
        unsafe { load(x, x.place(&[pre, k, from]), x.strides[2], run, simd) };
        fold(d.op, sums, run);
    }
}

pub(super) fn softmax(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Softmax(d) = op else { return unsupported(op).map(|_| ()) };
    let a = SoftmaxArgs::new(args)?;
    let [x, y] = [a.x, a.y].map(Tensor::new);
    each_run(ctx, [d.pre, d.len, d.post], &|pre, from, lines| {
        if d.post == 1 {
            softmax_along(&x, &y, pre, d.len, ctx.simd);
        } else {
            softmax_across(&x, &y, [pre, from], d.len, lines, ctx.simd);
        }
    });
    Ok(())
}

fn softmax_along(x: &Tensor, y: &Tensor, pre: usize, len: usize, simd: &Kernels) {
    let mut buffer = [0.0; RUN];
    let runs = || (0..len).step_by(RUN).map(|from| (from, RUN.min(len - from)));
    let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
    // SAFETY: the runs lie in the line; the line of `y` belongs to this task, and may be that of `x`.
    unsafe {
        for (from, n) in runs() {
            load(x, x.place(&[pre, from]), x.strides[1], &mut buffer[..n], simd);
            max = dots::largest(&buffer[..n], max);
        }
        for (from, n) in runs() {
            load(x, x.place(&[pre, from]), x.strides[1], &mut buffer[..n], simd);
            sum += dots::exp_sum(&mut buffer[..n], max);
            store(y, y.place(&[pre, from]), y.strides[1], &buffer[..n], simd);
        }
        for (from, n) in runs() {
            load(y, y.place(&[pre, from]), y.strides[1], &mut buffer[..n], simd);
            buffer[..n].iter_mut().for_each(|v| *v /= sum);
            store(y, y.place(&[pre, from]), y.strides[1], &buffer[..n], simd);
        }
    }
}

fn softmax_across(x: &Tensor, y: &Tensor, [pre, from]: [usize; 2], len: usize, lines: usize, simd: &Kernels) {
    let (mut buffer, mut max, mut sums) = ([0.0; RUN], [f32::NEG_INFINITY; RUN], [0.0; RUN]);
    let (run, max, sums) = (&mut buffer[..lines], &mut max[..lines], &mut sums[..lines]);
    // SAFETY: the runs lie across the lines; those of `y` belong to this task, and may be those of `x`.
    unsafe {
        for k in 0..len {
            load(x, x.place(&[pre, k, from]), x.strides[2], run, simd);
            fold(Reduction::Max, max, run);
        }
        for k in 0..len {
            load(x, x.place(&[pre, k, from]), x.strides[2], run, simd);
            run.iter_mut().zip(&*max).for_each(|(v, m)| *v -= m);
            (simd.exp)(run);
            fold(Reduction::Sum, sums, run);
            store(y, y.place(&[pre, k, from]), y.strides[2], run, simd);
        }
        for k in 0..len {
            load(y, y.place(&[pre, k, from]), y.strides[2], run, simd);
            run.iter_mut().zip(&*sums).for_each(|(v, s)| *v /= s);
            store(y, y.place(&[pre, k, from]), y.strides[2], run, simd);
        }
    }
}

pub(super) fn cumsum(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Cumsum(d) = op else { return unsupported(op).map(|_| ()) };
    let a = CumsumArgs::new(args)?;
    let [x, y] = [a.x, a.y].map(Tensor::new);
    ctx.pool.ranges(d.rows, (TASK / d.len).max(1), &|rows, _| {
        let mut buffer = [0.0; RUN];
        for row in rows {
            // In f64, so that the last sums of a long row are as good as the first.
            let mut sum = 0.0f64;
            for from in (0..d.len).step_by(RUN) {
                let run = &mut buffer[..RUN.min(d.len - from)];
                // SAFETY: the run lies in the row, and the row of `y` belongs to this task.
                unsafe {
                    load(&x, x.place(&[row, from]), x.strides[1], run, ctx.simd);
                    for v in run.iter_mut() {
                        let before = sum;
                        sum += *v as f64;
                        *v = (if d.exclusive { before } else { sum }) as f32;
                    }
                    store(&y, y.place(&[row, from]), y.strides[1], run, ctx.simd);
                }
            }
        }
    });
    Ok(())
}
