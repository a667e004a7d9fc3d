//! `gemm.linear`.

use super::dense::{self, Dense};
use super::products::{Right, store};
use super::weights;
use crate::ops::{Choice, Ctx, Tensor};
use omnihal::op::ActQuant;
use omnihal::op::gemm::{Linear, LinearArgs};
use omnihal::{Args, Op, Result};

pub(super) fn plan(d: &Linear, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.input, d.output])?;
    weights::check(d.weight, d.inner)?;
    Choice::new(run, dense::workspace(d.rows, d.inner, threads))
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::GemmLinear(d), views) = (op, LinearArgs::new(args)?) else { return Ok(()) };
    let (a, y) = (Tensor::new(views.a), Tensor::new(views.y));
    let product = Dense {
        rows: d.rows.min(args.rows_hint),
        capacity: d.rows,
        inner: d.inner,
        outer: d.outer,
        segments: &[0],
        right: Right::Rows(weights::rows(views.w, 0)),
    };
    let load = |row: usize, out: &mut [f32]| {
        // SAFETY: the row lies in `a`.
        unsafe { a.load(a.place(&[row]), out, ctx.simd) };
        round(d.a_quant, out, ctx);
    };
    // SAFETY: the plan sized the workspace; each value of `y` comes once, from one task.
    unsafe {
        product.run(ctx, args.workspace, &load, &|row, _, out, values| {
            store(&y, y.place(&[row, out]), values, d.accumulate, ctx.simd)
        });
    }
    Ok(())
}

/// The rounding of activations before a product.
pub(crate) fn round(quant: ActQuant, values: &mut [f32], ctx: &Ctx<'_>) {
    match quant {
        ActQuant::None => {}
        ActQuant::F8G128 => (ctx.simd.qdq_e4m3)(values, 128),
    }
}
