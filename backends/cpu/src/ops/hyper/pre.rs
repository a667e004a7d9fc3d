//! `hyper.pre`: the projections of all rows as one product, then each row by itself.

use super::{finish, sigmoid, sinkhorn};
use crate::ops::gemm::dense::{self, Dense};
use crate::ops::gemm::products::Right;
use crate::ops::gemm::weights;
use crate::ops::{Choice, Ctx, Scratch, Tensor, each_row};
use omnihal::op::hyper::{Pre, PreArgs, mix};
use omnihal::{Args, DType, Op, Result, View};

pub(super) fn plan(d: &Pre, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.act])?;
    let rows = Scratch::bytes(threads, part(d));
    Choice::new(run, projected_bytes(d) + rows + dense::workspace(d.rows, d.streams * d.width, threads))
}

/// Bytes of the projections of all rows.
fn projected_bytes(d: &Pre) -> usize {
    Scratch::bytes(1, 4 * d.rows * mix(d.streams))
}

/// Bytes that a thread needs: the flattened streams, the collapsed row, the gain, and a mixing matrix.
fn part(d: &Pre) -> usize {
    4 * (d.streams + 2) * d.width + sinkhorn::scratch(d.streams)
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::HyperPre(d), views) = (op, PreArgs::new(args)?) else { return Ok(()) };
    let (threads, flat) = (ctx.pool.threads(), d.streams * d.width);
    let projected = args.workspace.slice(0, 4 * d.rows * mix(d.streams))?;
    let projected = Tensor::new(&View::contiguous(projected, DType::F32, [d.rows, mix(d.streams)])?);
    let scratch = Scratch::new(args.workspace, projected_bytes(d), part(d));
    let skip = projected_bytes(d) + Scratch::bytes(threads, part(d));
    let rest = args.workspace.slice(skip, dense::workspace(d.rows, flat, threads))?;
    let x = Tensor::new(views.x);
    let load = |row: usize, out: &mut [f32]| {
        for (j, stream) in out.chunks_exact_mut(d.width).enumerate() {
            // SAFETY: the row lies in `x`.
            unsafe { x.load(x.place(&[row, j]), stream, ctx.simd) };
        }
    };
    let product = Dense {
        rows: d.rows.min(args.rows_hint),
        capacity: d.rows,
        inner: flat,
        outer: mix(d.streams),
        segments: &[0],
        right: Right::Rows(weights::rows(views.projection, 0)),
    };
    // SAFETY: the plan sized the workspace; each value comes once, from one task.
    unsafe {
        product.run(ctx, rest, &load, &|row, _, out, values| {
            projected.store(projected.place(&[row, out]), values, ctx.simd);
        });
    }
    each_row(ctx, product.rows, 3 * flat, &|row, thread| {
        // SAFETY: the row lies in every argument; each task has its own, each thread its own scratch.
        unsafe {
            let values = scratch.slice::<f32>(thread, 0, (d.streams + 2) * d.width);
            load(row, &mut values[..flat]);
            let g = projected.slice_mut::<f32>(projected.place(&[row]), mix(d.streams));
            let (matrix, sums) = sinkhorn::parts(&scratch, thread, 4 * values.len(), d.streams);
            mix_row(d, &views, row, values, g, matrix, sums, ctx);
        }
    });
    Ok(())
}

/// Makes `post`, `comb` and `a` of a row from its flattened streams and its projections.
///
/// # Safety
/// The row must lie in the views, and no other task may touch it.
#[allow(clippy::too_many_arguments, reason = "the scratch of a row comes in pieces")]
unsafe fn mix_row(
    d: &Pre,
    views: &PreArgs<'_>,
    row: usize,
    values: &mut [f32],
    g: &mut [f32],
    matrix: &mut [f32],
    sums: &mut [f32],
    ctx: &Ctx<'_>,
) {
    let n = d.streams;
    let [scale, base, a, post, comb] = [views.scale, views.base, views.a, views.post, views.comb].map(Tensor::new);
    let (flat, rest) = values.split_at_mut(n * d.width);
    let (collapsed, gains) = rest.split_at_mut(d.width);
    let factor = 1.0 / ((ctx.simd.dot)(flat, flat) / flat.len() as f32 + d.eps).sqrt();
    // SAFETY: passed on to the caller.
    unsafe {
        for (i, g) in g.iter_mut().enumerate() {
            let group = (i / n).min(2);
            *g = *g * factor * scale.get(scale.place(&[group])) + base.get(base.place(&[i]));
        }
        for j in 0..n {
            post.set(post.place(&[row, j]), 2.0 * sigmoid(g[n + j]));
        }
        matrix.copy_from_slice(&g[2 * n..]);
        sinkhorn::balance(matrix, sums, d.iters, d.hc_eps);
        sinkhorn::store(&comb, row, matrix, n, ctx);
        collapsed.fill(0.0);
        for (j, stream) in flat.chunks_exact(d.width).enumerate() {
            (ctx.simd.axpy)(sigmoid(g[j]) + d.hc_eps, stream, collapsed);
        }
        finish(collapsed, views.norm.map(Tensor::new).as_ref(), gains, d.eps, d.act, ctx);
        a.store(a.place(&[row]), collapsed, ctx.simd);
    }
}
