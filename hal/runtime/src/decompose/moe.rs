//! Decompositions of the moe family.

use super::{Arguments, Context};
use crate::recipe::{Operand, Recipe};
use crate::shorthand::Affine;
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::elementwise::{Arith, Cmp, Func, Reduction};
use omnihal::op::moe::{Experts, Group, Mlp, Route, Swiglu};
use omnihal::op::{ActQuant, QuantKind, gemm};
use omnihal::{Column, DType, Result};

pub(super) fn route(r: &mut Recipe, d: &Route, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (x, gate, bias, table, ids) = (args.get(0)?, args.get(1)?, args.opt(2), args.opt(3), args.opt(4));
    let (idx, wt) = (args.get(6)?, args.get(7)?);
    let logits = match args.opt(8) {
        Some(logits) => logits.clone(),
        None => r.temp(DType::F32, [d.rows, d.experts]),
    };
    r.linear_into(x, gate, ActQuant::None, &logits);
    let scores = r.map(&logits, Func::SqrtSoftplus, Affine::default());
    let chosen = match (bias, table, ids) {
        (_, Some(table), Some(ids)) => r.gather(table, ids),
        (Some(bias), ..) => {
            let biased = r.zip(Arith::Add, &scores, &bias.unsqueeze(0));
            r.top_k(&biased, d.choices, true).1
        }
        _ => r.top_k(&scores, d.choices, true).1,
    };
    let picked = r.take(&scores, &chosen);
    let sum = r.reduce(&picked.unsqueeze(2), Reduction::Sum);
    // deepseek-v4.md 10, row 12: the library's guard against a zero sum.
    r.ratio_into(&picked, &sum, 1e-20, d.scale, wt);
    let live = r.column(cx.step, Column::Live).unsqueeze(1);
    r.select_into(&live, Cmp::Gt, Number(0.0), Of(&chosen), Number(-1.0), idx);
    Ok(())
}

pub(super) fn swiglu(r: &mut Recipe, d: &Swiglu, args: &Arguments) -> Result<()> {
    let (x, wt, y) = (args.get(0)?, args.opt(1), args.get(2)?);
    let plain = Affine::default();
    let gate = r.map(&x.slice(1, 0, d.inter), Func::Clamp(f32::MIN, d.limit), plain);
    r.map_into(&gate, Func::Silu, plain, &gate);
    let up = r.map(&x.slice(1, d.inter, d.inter), Func::Clamp(-d.limit, d.limit), plain);
    match wt {
        None => r.zip_into(Arith::Mul, &gate, &up, y),
        Some(wt) => {
            let product = r.zip(Arith::Mul, &gate, &up);
            r.zip_into(Arith::Mul, &product, &wt.unsqueeze(1), y);
        }
    }
    Ok(())
}

pub(super) fn mlp(r: &mut Recipe, d: &Mlp, args: &Arguments) -> Result<()> {
    let (x, w13, w2, y) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(3)?);
    let both = r.linear(x, w13, d.a_quant, DType::F32);
    let hidden = r.temp(d.act, [d.rows, d.inter]);
    let op = Swiglu { rows: d.rows, inter: d.inter, limit: d.limit, weighted: false, input: DType::F32, output: d.act };
    r.op(op, &[&both, &hidden]);
    r.linear_into(&hidden, w2, d.a_quant, y);
    Ok(())
}

/// Activations on the grid that the next product wants.
fn rounded(r: &mut Recipe, x: &Operand, a_quant: ActQuant) -> Operand {
    match a_quant {
        ActQuant::None => x.clone(),
        ActQuant::F8G128 => {
            let y = r.temp(x.dtype(), x.shape());
            r.qdq(&x.unsqueeze(1), QuantKind::F8E4M3, 128, &y.unsqueeze(1));
            y
        }
    }
}

/// `y[i] = x[i] w[group of i]^T`, rows sorted by group.
fn grouped(r: &mut Recipe, x: &Operand, counts: &Operand, w: &Operand) -> Operand {
    let y = r.temp(DType::F32, [x.dim(0), w.dim(1)]);
    let op = gemm::Grouped {
        rows: x.dim(0),
        groups: w.dim(0),
        inner: x.dim(1),
        outer: w.dim(1),
        input: x.dtype(),
        weight: w.format(),
        output: DType::F32,
    };
    r.op(op, &[x, counts, w, &y]);
    y
}

pub(super) fn experts(r: &mut Recipe, d: &Experts, args: &Arguments) -> Result<()> {
    let (x, idx, wt, w13, w2) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(3)?, args.get(4)?);
    let (acc, y) = (args.opt(5), args.get(6)?);
    let pairs = d.rows * d.choices;
    let [perm, src, inv] = [(); 3].map(|()| r.temp(DType::I32, [pairs]));
    let counts = r.temp(DType::I32, [d.local]);
    let group = Group { rows: d.rows, choices: d.choices, first: d.first, local: d.local };
    r.op(group, &[idx, &perm, &src, &inv, &counts]);
    let input = rounded(r, x, d.a_quant);
    let sorted = r.gather(&input, &src);
    let weights = r.gather(&wt.merge(0).unsqueeze(1), &perm);
    let both = grouped(r, &sorted, &counts, w13);
    let hidden = r.temp(d.act, [pairs, d.inter]);
    let op = Swiglu { rows: pairs, inter: d.inter, limit: d.limit, weighted: true, input: DType::F32, output: d.act };
    r.op(op, &[&both, &weights.merge(0), &hidden]);
    let hidden = rounded(r, &hidden, d.a_quant);
    let down = grouped(r, &hidden, &counts, w2);
    // Rows of absent and foreign experts are unspecified: they must add exactly 0.
    let by_pair = r.gather(&down, &inv);
    let expert = idx.merge(0).unsqueeze(1);
    let (first, end) = (d.first as f32, (d.first + d.local) as f32);
    r.select_into(&expert, Cmp::Ge, Number(first), Of(&by_pair), Number(0.0), &by_pair);
    r.select_into(&expert, Cmp::Lt, Number(end), Of(&by_pair), Number(0.0), &by_pair);
    let sum = r.reduce(&by_pair.split(0, d.rows, d.choices), Reduction::Sum);
    match acc {
        Some(acc) => r.zip_into(Arith::Add, acc, &sum, y),
        None => r.copy(&sum, y),
    }
    Ok(())
}
