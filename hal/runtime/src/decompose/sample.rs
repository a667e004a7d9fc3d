//! Decomposition of `sample.pick`.

use super::{Arguments, Context};
use crate::recipe::{Operand, Recipe};
use crate::shorthand::Affine;
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::elementwise::{Arith, Cmp, Func, Reduction};
use omnihal::op::sample::Pick;
use omnihal::{Column, DType, Result, Shape};

/// Above every rank and probability, exact in f32.
const NEVER: f32 = 1e30;

pub(super) fn pick(r: &mut Recipe, d: &Pick, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (par, u, last) = (args.get(1)?, args.get(2)?, args.get(6)?);
    let (tok, logprob) = (args.get(7)?.unsqueeze(1), args.get(8)?.unsqueeze(1));
    let column = |i: usize| par.slice(1, i, 1);
    let (temperature, top_k, top_p, min_p, penalty) = (column(0), column(1), column(2), column(3), column(4));
    let slot = r.column(cx.step, Column::OutSlot);
    let seen = args.opt(5).map(|seen| (seen, r.gather(seen, &slot)));
    // Temperature 0 takes the largest logit as it is: no penalty, and 1 as the temperature of the reported probability.
    let one = [d.wanted, 1].into();
    let penalty = r.select(one, &temperature, Cmp::Gt, Number(0.0), Of(&penalty), Number(1.0));
    let logits = match &seen {
        Some((_, rows)) => penalised(r, args.get(0)?, rows, &penalty),
        None => args.get(0)?.clone(),
    };
    let heat = r.select(one, &temperature, Cmp::Gt, Number(0.0), Of(&temperature), Number(1.0));
    let scaled = r.zip(Arith::Div, &logits, &heat);
    let (best, ids) = r.top_k(&scaled, d.candidates, true);
    let top = best.slice(1, 0, 1);
    let log_sum = log_sum_exp(r, &scaled, &top);
    let shifted = r.zip(Arith::Sub, &best, &log_sum);
    let p = r.map(&shifted, Func::Exp, Affine::default());
    let rank = r.f32s([1, d.candidates], (0..d.candidates).map(|i| i as f32));
    let p = cut(r, &p, &rank, &top_k, &top_p, &min_p);
    // First candidate whose cumulative share exceeds u; greedy rows take the first of all.
    let cumulative = r.cumsum(&p, false);
    let total = cumulative.slice(1, d.candidates - 1, 1);
    let target = r.zip(Arith::Mul, &u.unsqueeze(1), &total);
    let target = r.select(one, &temperature, Cmp::Gt, Number(0.0), Of(&target), Number(-1.0));
    let shape = p.shape();
    let passed = r.select(shape, &cumulative, Cmp::Gt, Of(&target), Of(&rank), Number(NEVER));
    let (_, place) = r.top_k(&passed, 1, false);
    let chosen = r.take(&ids, &place);
    r.copy(&chosen, &tok);
    let chosen_log = r.take(&shifted, &place);
    r.copy(&chosen_log, &logprob);
    r.scatter(&last.slice(1, 0, 1), &slot, &chosen, true);
    if let Some((seen, rows)) = seen {
        let number = r.f32s([1, d.vocab], (0..d.vocab).map(|i| i as f32));
        let id = r.cast(&chosen, DType::F32);
        let shape = rows.shape();
        let marked = r.select(shape, &number, Cmp::Eq, Of(&id), Number(1.0), Of(&rows));
        r.scatter(seen, &slot, &marked, true);
    }
    Ok(())
}

/// Seen tokens: positive logits divided by the penalty, negative ones multiplied.
fn penalised(r: &mut Recipe, logits: &Operand, seen: &Operand, penalty: &Operand) -> Operand {
    let shape: Shape = logits.shape();
    let lowered = r.zip(Arith::Div, logits, penalty);
    let deepened = r.zip(Arith::Mul, logits, penalty);
    let changed = r.select(shape, logits, Cmp::Gt, Number(0.0), Of(&lowered), Of(&deepened));
    r.select(shape, seen, Cmp::Gt, Number(0.0), Of(&changed), Of(logits))
}

/// Logarithm of the sum of exponentials of each row, given its largest element.
fn log_sum_exp(r: &mut Recipe, x: &Operand, top: &Operand) -> Operand {
    let shifted = r.zip(Arith::Sub, x, top);
    r.map_into(&shifted, Func::Exp, Affine::default(), &shifted);
    let sum = r.reduce(&shifted.unsqueeze(2), Reduction::Sum);
    let log = r.map(&sum, Func::Log, Affine::default());
    r.zip(Arith::Add, &log, top)
}

/// Zeroes what top-k, top-p and min-p leave out, in that order.
fn cut(r: &mut Recipe, p: &Operand, rank: &Operand, top_k: &Operand, top_p: &Operand, min_p: &Operand) -> Operand {
    let shape = p.shape();
    let limit = r.select(top_k.shape(), top_k, Cmp::Ge, Number(1.0), Of(top_k), Number(NEVER));
    let p = r.select(shape, rank, Cmp::Lt, Of(&limit), Of(p), Number(0.0));
    let before = r.cumsum(&p, true);
    let p = r.select(shape, &before, Cmp::Lt, Of(top_p), Of(&p), Number(0.0));
    let floor = r.zip(Arith::Mul, min_p, &p.slice(1, 0, 1));
    r.select(shape, &p, Cmp::Ge, Of(&floor), Of(&p), Number(0.0))
}
