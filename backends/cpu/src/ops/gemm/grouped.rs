//! `gemm.grouped`.

use super::dense::{Local, f32_bytes};
use super::groups::Groups;
use super::products::{Right, store};
use super::weights;
use crate::ops::{Choice, Ctx, Scratch, Tensor};
use omnihal::op::gemm::{Grouped, GroupedArgs};
use omnihal::{Args, Op, Result};

pub(super) fn plan(d: &Grouped, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.input, d.output])?;
    weights::check(d.weight, d.inner)?;
    let scratch = Scratch::bytes(threads, f32_bytes(Local::new(d.inner).scratch()));
    Choice::new(run, Groups::bytes(d.groups) + scratch)
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::GemmGrouped(d), views) = (op, GroupedArgs::new(args)?) else { return Ok(()) };
    let (x, y, counts) = (Tensor::new(views.x), Tensor::new(views.y), Tensor::new(views.counts));
    // SAFETY: the plan sized the workspace; the group lies in `counts`.
    let groups = unsafe { Groups::new(args.workspace, d.groups, d.rows, |g| counts.index(counts.place(&[g]))) };
    let local = Local::new(d.inner);
    let scratch = Scratch::new(args.workspace, Groups::bytes(d.groups), f32_bytes(local.scratch()));
    groups.each(ctx, d.outer, &|g, outs, thread| {
        let right = Right::Rows(weights::rows(views.w, g.index));
        let load = |row: usize, out: &mut [f32]| {
            // SAFETY: the groups were cut to the rows of `x`.
            unsafe { x.load(x.place(&[g.start + row]), out, ctx.simd) }
        };
        // SAFETY: each thread has its own scratch, each task its own outputs.
        unsafe {
            let scratch = scratch.slice(thread, 0, local.scratch());
            local.multiply(ctx, &right, g.rows, std::slice::from_ref(&outs), scratch, &load, &mut |r, _, o, v| {
                store(&y, y.place(&[g.start + r, outs.start + o]), v, false, ctx.simd)
            });
        }
    });
    Ok(())
}
