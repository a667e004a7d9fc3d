//! `gemm.batched`.

use super::dense::{Local, f32_bytes};
use super::products::{Right, grain, store};
use super::weights;
use crate::ops::{Choice, Ctx, Scratch, Tensor};
use omnihal::op::gemm::{Batched, BatchedArgs};
use omnihal::{Args, Op, Result, View};

pub(super) fn plan(d: &Batched, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.input, d.output])?;
    Choice::new(run, Scratch::bytes(threads, f32_bytes(Local::new(d.inner).scratch())))
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::GemmBatched(d), views) = (op, BatchedArgs::new(args)?) else { return Ok(()) };
    let (a, y) = (Tensor::new(views.a), Tensor::new(views.y));
    let local = Local::new(d.inner);
    let scratch = Scratch::new(args.workspace, 0, f32_bytes(local.scratch()));
    // Rows are cut only as far as the outputs of all pairs do not keep the threads busy.
    let grain = grain(d.n * d.batch, ctx.pool.threads()).min(d.n);
    let pieces = d.n.div_ceil(grain);
    ctx.pool.run(d.batch * pieces, &|i, thread| {
        let (pair, out) = (i / pieces, i % pieces * grain);
        let outs = out..(out + grain).min(d.n);
        let right = right(d, views.b, pair);
        // SAFETY: the pair lies in `a` and `y`; each thread has its own scratch, each task its own outputs.
        unsafe {
            let load = |row: usize, out: &mut [f32]| left(d, &a, pair, row, out, ctx);
            let scratch = scratch.slice(thread, 0, local.scratch());
            local.multiply(ctx, &right, d.m, std::slice::from_ref(&outs), scratch, &load, &mut |row, _, o, v| {
                v.iter_mut().for_each(|v| *v *= d.alpha);
                let place = y.place(&[pair, row, outs.start + o]);
                store(&y, place, v, d.accumulate, ctx.simd);
            });
        }
    });
    Ok(())
}

/// Row `row` of the left operand of a pair.
///
/// # Safety
/// The row must lie in `a`.
unsafe fn left(d: &Batched, a: &Tensor, pair: usize, row: usize, out: &mut [f32], ctx: &Ctx<'_>) {
    // SAFETY: passed on to the caller.
    unsafe {
        if d.transpose_a {
            let place = a.place(&[pair, 0, row]);
            out.iter_mut().enumerate().for_each(|(k, v)| *v = a.get(place + k * a.strides[1]));
        } else {
            a.load(a.place(&[pair, row]), out, ctx.simd);
        }
    }
}

/// The right operand of a pair: rows of `inner` elements, or columns.
fn right(d: &Batched, b: &View, pair: usize) -> Right {
    if d.transpose_b {
        return Right::Rows(weights::rows(b, pair));
    }
    let matrix = Tensor::new(b);
    Right::Columns { matrix, place: matrix.place(&[pair]), stride: matrix.strides[1], inner: d.inner }
}
