//! Decomposition of `compress.update`.

use super::{Arguments, Context, NEG, hadamard_rows, round_rows};
use crate::recipe::Recipe;
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::compress::{Update, halves};
use omnihal::op::elementwise::{Arith, Cmp, Reduction};
use omnihal::{Column, Result};

pub(super) fn update(r: &mut Recipe, d: &Update, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (proj, ape, norm, rope) = (args.get(0)?, args.get(1)?, args.get(2)?, args.get(3)?);
    let (state, pool) = (args.get(4)?, args.get(5)?);
    let (m, w, h) = (d.ratio as u32, d.width, halves(d.overlap));
    let pooled = h * d.ratio;
    // (1, 2) Rows of this step with their position bias.
    let place = r.column(cx.step, Column::ApeIdx(m));
    let bias = r.gather(ape, &place);
    let rows = r.zip(Arith::Add, proj, &bias);
    // (3-5) Half-rows of every pooled slot, from the state or from this step.
    let state_rows = state.merge(0);
    let halves_of = |x: &crate::Operand| x.split(1, h, 2 * w).merge(0);
    let old_idx = r.column(cx.step, Column::ClOld(m));
    let new_idx = r.column(cx.step, Column::ClNew(m));
    let old = r.gather(&halves_of(&state_rows), &old_idx);
    let new = r.gather(&halves_of(&rows), &new_idx);
    let sel = r.column(cx.step, Column::ClSel(m)).unsqueeze(1);
    let slots = r.select(old.shape(), &sel, Cmp::Gt, Number(0.0), Of(&old), Of(&new));
    // (6-9) Softmax of the gates over the slots of each closing, and the weighted sum.
    let mask = r.column(cx.step, Column::ClMask(m)).unsqueeze(1);
    let gate = slots.slice(1, w, w);
    let alpha = r.select(gate.shape(), &mask, Cmp::Gt, Number(0.0), Of(&gate), Number(NEG));
    let alpha = alpha.split(0, d.closings, pooled);
    r.softmax(&alpha);
    let weighted = r.zip(Arith::Mul, &alpha, &slots.slice(1, 0, w).split(0, d.closings, pooled));
    let sum = r.reduce(&weighted, Reduction::Sum);
    // (10-14) Round, norm, rope at the entry's first position, Hadamard, state rounding.
    let mut entry = r.as_type(&sum, d.act);
    let normed = r.temp(d.act, entry.shape());
    r.rms_norm(&entry.unsqueeze(1), Some(norm), d.eps, &normed.unsqueeze(1));
    entry = normed;
    let position = r.column(cx.step, Column::ClPos(m));
    let cs = r.gather_once(rope, &position);
    r.rotate(&entry.unsqueeze(1), &cs, false);
    if d.hadamard {
        entry = hadamard_rows(r, &entry, d.act);
    }
    round_rows(r, &entry.unsqueeze(1), d.rotary, d.quant);
    // (15, 16) Store the entries, then this step's rows.
    let entry = r.as_type(&entry, pool.dtype());
    let entry_dst = r.column(cx.step, Column::ClDst(m));
    r.scatter(&pool.merge(0), &entry_dst, &entry, true);
    let row_dst = r.column(cx.step, Column::OwDst(m));
    r.scatter(&state_rows, &row_dst, &rows, true);
    Ok(())
}
