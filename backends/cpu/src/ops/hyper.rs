//! Hyper-connections: mixing of the residual streams (deepseek-v4.md 3.2). All f32 inside.

mod pre;
mod sinkhorn;

use super::norm::normalise;
use super::{Choice, Ctx, Scratch, Tensor, each_row, unsupported};
use omnihal::op::hyper::{Head, HeadArgs, Post, PostArgs, SinkhornArgs};
use omnihal::{Args, DType, Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::HyperPre(d) => pre::plan(d, threads),
        Op::HyperSinkhorn(d) => Choice::new(sinkhorn_rows, Scratch::bytes(threads, sinkhorn::scratch(d.streams))),
        Op::HyperPost(d) => {
            super::gemm::weights::check_types(&[d.act])?;
            Choice::new(post, Scratch::bytes(threads, post_part(d)))
        }
        Op::HyperHead(d) => {
            super::gemm::weights::check_types(&[d.act])?;
            Choice::new(head, Scratch::bytes(threads, head_part(d)))
        }
        other => unsupported(other),
    }
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn sinkhorn_rows(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::HyperSinkhorn(d), views) = (op, SinkhornArgs::new(args)?) else { return Ok(()) };
    let (logits, comb) = (Tensor::new(views.logits), Tensor::new(views.comb));
    let scratch = Scratch::new(args.workspace, 0, sinkhorn::scratch(d.streams));
    each_row(ctx, d.rows.min(args.rows_hint), 8 * d.iters * d.streams * d.streams, &|row, thread| {
        // SAFETY: the row lies in both; each task has its own, each thread its own scratch.
        unsafe {
            let (matrix, sums) = sinkhorn::parts(&scratch, thread, 0, d.streams);
            logits.load(logits.place(&[row]), matrix, ctx.simd);
            sinkhorn::balance(matrix, sums, d.iters, d.eps);
            sinkhorn::store(&comb, row, matrix, d.streams, ctx);
        }
    });
    Ok(())
}

/// Columns that `hyper.post` mixes at a time, so that they stay in the first-level cache.
const POST_COLUMNS: usize = 512;

/// Bytes that a thread needs: the streams, the sublayer's output and a new stream, some columns of each.
fn post_part(d: &Post) -> usize {
    4 * (d.streams + 2) * POST_COLUMNS
}

fn post(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::HyperPost(d), views) = (op, PostArgs::new(args)?) else { return Ok(()) };
    let [x, out, post, comb, y] = [views.x, views.out, views.post, views.comb, views.y].map(Tensor::new);
    let scratch = Scratch::new(args.workspace, 0, post_part(d));
    each_row(ctx, d.rows.min(args.rows_hint), d.streams * d.width, &|row, thread| {
        for start in (0..d.width).step_by(POST_COLUMNS) {
            let len = POST_COLUMNS.min(d.width - start);
            // SAFETY: the columns lie in every argument; each task has its own row, each thread its own scratch. All streams are read
            // before one is written, so `y` may be `x`.
            unsafe {
                let parts = scratch.slice::<f32>(thread, 0, (d.streams + 2) * len);
                let (streams, rest) = parts.split_at_mut(d.streams * len);
                let (result, new) = rest.split_at_mut(len);
                for (j, stream) in streams.chunks_exact_mut(len).enumerate() {
                    x.load(x.place(&[row, j, start]), stream, ctx.simd);
                }
                out.load(out.place(&[row, start]), result, ctx.simd);
                for k in 0..d.streams {
                    let weight = post.get(post.place(&[row, k]));
                    new.iter_mut().zip(&*result).for_each(|(n, r)| *n = weight * r);
                    for (j, stream) in streams.chunks_exact(len).enumerate() {
                        (ctx.simd.axpy)(comb.get(comb.place(&[row, j, k])), stream, new);
                    }
                    y.store(y.place(&[row, k, start]), new, ctx.simd);
                }
            }
        }
    });
    Ok(())
}

/// Bytes that a thread needs: the flattened streams, the collapsed row and the gain.
fn head_part(d: &Head) -> usize {
    4 * (d.streams * d.width + 2 * d.width)
}

fn head(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::HyperHead(d), views) = (op, HeadArgs::new(args)?) else { return Ok(()) };
    let [x, out, y] = [views.x, views.out, views.y].map(Tensor::new);
    let scratch = Scratch::new(args.workspace, 0, head_part(d));
    each_row(ctx, d.wanted, d.streams * d.width * (d.streams + 2), &|i, thread| {
        // SAFETY: the place lies in `out` and `y`, the row is checked; each task has its own, each thread its own scratch.
        unsafe {
            let row = match usize::try_from(out.index(out.place(&[i]))) {
                Ok(row) if row < d.rows => row,
                _ => return,
            };
            let parts = scratch.slice::<f32>(thread, 0, (d.streams + 2) * d.width);
            let (flat, rest) = parts.split_at_mut(d.streams * d.width);
            let (collapsed, gains) = rest.split_at_mut(d.width);
            for (j, stream) in flat.chunks_exact_mut(d.width).enumerate() {
                x.load(x.place(&[row, j]), stream, ctx.simd);
            }
            collapse(d, &views, flat, collapsed, ctx);
            finish(collapsed, views.norm.map(Tensor::new).as_ref(), gains, d.eps, d.act, ctx);
            y.store(y.place(&[i]), collapsed, ctx.simd);
        }
    });
    Ok(())
}

/// `sum_j (sigmoid(g scale + base)[j] + hc_eps) x[j]` with `g = (z projection^T) rsqrt(mean(z^2) + eps)`.
///
/// # Safety
/// The views must be those of the operator.
unsafe fn collapse(d: &Head, views: &HeadArgs<'_>, flat: &[f32], collapsed: &mut [f32], ctx: &Ctx<'_>) {
    let [projection, scale, base] = [views.projection, views.scale, views.base].map(Tensor::new);
    let factor = 1.0 / ((ctx.simd.dot)(flat, flat) / flat.len() as f32 + d.eps).sqrt();
    collapsed.fill(0.0);
    for (j, stream) in flat.chunks_exact(d.width).enumerate() {
        // SAFETY: passed on to the caller.
        let weight = unsafe {
            let line = projection.slice::<f32>(projection.place(&[j]), flat.len());
            let g = (ctx.simd.dot)(flat, line) * factor;
            sigmoid(g * scale.get(0) + base.get(base.place(&[j]))) + d.hc_eps
        };
        (ctx.simd.axpy)(weight, stream, collapsed);
    }
}

/// Rounds a collapsed row to the activation type and normalises it, if a gain is given.
///
/// # Safety
/// As for [`normalise`].
unsafe fn finish(values: &mut [f32], norm: Option<&Tensor>, gains: &mut [f32], eps: f32, act: DType, ctx: &Ctx<'_>) {
    let Some(norm) = norm else { return };
    if act == DType::BF16 {
        values.iter_mut().for_each(|v| *v = crate::num::round_bf16(*v));
    }
    // SAFETY: passed on to the caller.
    unsafe { normalise(values, Some(norm), gains, eps, ctx) };
}
