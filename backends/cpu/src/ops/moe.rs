//! Routing and experts.

mod experts;
mod group;
mod mlp;
mod route;

use super::gemm::weights;
use super::{Choice, Ctx, Scratch, Tensor, each_row, unsupported};
use omnihal::op::moe::SwigluArgs;
use omnihal::{Args, Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::MoeGroup(d) => group::plan(d),
        Op::MoeRoute(d) => route::plan(d, threads),
        Op::MoeSwiglu(d) => {
            weights::check_types(&[d.input, d.output])?;
            Choice::new(swiglu, Scratch::bytes(threads, 8 * d.inter))
        }
        Op::MoeMlp(d) => mlp::plan(d, threads),
        Op::MoeExperts(d) => experts::plan(d, threads),
        other => unsupported(other),
    }
}

fn swiglu(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::MoeSwiglu(d), views) = (op, SwigluArgs::new(args)?) else { return Ok(()) };
    let (x, y, wt) = (Tensor::new(views.x), Tensor::new(views.y), views.wt.map(Tensor::new));
    let scratch = Scratch::new(args.workspace, 0, 8 * d.inter);
    each_row(ctx, d.rows.min(args.rows_hint), 4 * d.inter, &|row, thread| {
        // SAFETY: the row lies in all three; each task has its own, each thread its own scratch.
        unsafe {
            let values = scratch.slice::<f32>(thread, 0, 2 * d.inter);
            x.load(x.place(&[row]), values, ctx.simd);
            let weight = wt.map_or(1.0, |wt| wt.get(wt.place(&[row])));
            let (gate, up) = values.split_at_mut(d.inter);
            (ctx.simd.swiglu)(gate, up, d.limit, weight);
            y.store(y.place(&[row]), gate, ctx.simd);
        }
    });
    Ok(())
}
