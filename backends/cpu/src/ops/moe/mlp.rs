//! `moe.mlp`: the shared expert.

use crate::num::round_bf16;
use crate::ops::gemm::dense::{self, Dense};
use crate::ops::gemm::linear::round;
use crate::ops::gemm::products::{Right, store};
use crate::ops::gemm::weights;
use crate::ops::{Choice, Ctx, Scratch, Tensor};
use omnihal::op::moe::{Mlp, MlpArgs};
use omnihal::{Args, DType, Op, Result, View};

pub(super) fn plan(d: &Mlp, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.act])?;
    weights::check(d.w13, d.width)?;
    weights::check(d.w2, d.inter)?;
    Choice::new(run, hidden_bytes(d) + inner_bytes(d, threads))
}

fn hidden_bytes(d: &Mlp) -> usize {
    Scratch::bytes(1, 4 * d.rows * d.inter)
}

fn inner_bytes(d: &Mlp, threads: usize) -> usize {
    dense::workspace(d.rows, d.width, threads).max(dense::workspace(d.rows, d.inter, threads))
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::MoeMlp(d), views) = (op, MlpArgs::new(args)?) else { return Ok(()) };
    let (rows, capacity) = (d.rows.min(args.rows_hint), d.rows);
    let hidden = args.workspace.slice(0, 4 * d.rows * d.inter)?;
    let hidden = Tensor::new(&View::contiguous(hidden, DType::F32, [d.rows, d.inter])?);
    let rest = args.workspace.slice(hidden_bytes(d), inner_bytes(d, ctx.pool.threads()))?;
    let (x, y) = (Tensor::new(views.x), Tensor::new(views.y));
    let right = Right::Rows(weights::rows(views.w13, 0));
    let up = Dense { rows, capacity, inner: d.width, outer: d.inter, segments: &[0, d.inter], right };
    let right = Right::Rows(weights::rows(views.w2, 0));
    let down = Dense { rows, capacity, inner: d.inter, outer: d.width, segments: &[0], right };
    // SAFETY: the plan sized the workspace; a task makes the gate's part of a row before the up part of the same columns.
    unsafe {
        let load = |row: usize, out: &mut [f32]| {
            x.load(x.place(&[row]), out, ctx.simd);
            round(d.a_quant, out, ctx);
        };
        up.run(ctx, rest, &load, &|row, segment, out, values| {
            let gate = hidden.slice_mut::<f32>(hidden.place(&[row, out]), values.len());
            activate(segment, gate, values, d.limit, 1.0, d.act, ctx);
        });
        let load = |row: usize, out: &mut [f32]| {
            hidden.load(hidden.place(&[row]), out, ctx.simd);
            round(d.a_quant, out, ctx);
        };
        down.run(ctx, rest, &load, &|row, _, out, values| {
            store(&y, y.place(&[row, out]), values, false, ctx.simd);
        });
    }
    Ok(())
}

/// Keeps the gate's part when it comes (segment 0), and makes the hidden values of it when the up part comes.
pub(super) fn activate(
    segment: usize,
    gate: &mut [f32],
    values: &[f32],
    limit: f32,
    weight: f32,
    act: DType,
    ctx: &Ctx<'_>,
) {
    if segment == 0 {
        gate.copy_from_slice(values);
        return;
    }
    (ctx.simd.swiglu)(gate, values, limit, weight);
    if act == DType::BF16 {
        gate.iter_mut().for_each(|v| *v = round_bf16(*v));
    }
}
