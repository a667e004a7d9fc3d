//! `moe.route`.

use crate::ops::gemm::dense::{self, Dense};
use crate::ops::gemm::products::{Right, store};
use crate::ops::gemm::weights;
use crate::ops::{Choice, Ctx, Scratch, Tensor, each_row};
use omnihal::op::moe::{Route, RouteArgs, Routing};
use omnihal::{Args, DType, Op, Result, View};

/// Added to the sum of the chosen scores (deepseek-v4.md 6).
const SUM_FLOOR: f32 = 1e-20;

pub(super) fn plan(d: &Route, threads: usize) -> Result<Choice> {
    weights::check_types(&[d.act, d.gate])?;
    Choice::new(run, logits_bytes(d) + dense::workspace(d.rows, d.width, threads))
}

fn logits_bytes(d: &Route) -> usize {
    Scratch::bytes(1, 4 * d.rows * d.experts)
}

fn run(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::MoeRoute(d), views) = (op, RouteArgs::new(args)?) else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint);
    let scores = args.workspace.slice(0, 4 * d.rows * d.experts)?;
    let scores = Tensor::new(&View::contiguous(scores, DType::F32, [d.rows, d.experts])?);
    let logits = views.logits.map(Tensor::new);
    let x = Tensor::new(views.x);
    let product = Dense {
        rows,
        capacity: d.rows,
        inner: d.width,
        outer: d.experts,
        segments: &[0],
        right: Right::Rows(weights::rows(views.gate, 0)),
    };
    let rest = args.workspace.slice(logits_bytes(d), dense::workspace(d.rows, d.width, ctx.pool.threads()))?;
    // SAFETY: the plan sized the workspace; each logit comes once, from one task.
    unsafe {
        let load = |row: usize, out: &mut [f32]| x.load(x.place(&[row]), out, ctx.simd);
        product.run(ctx, rest, &load, &|row, _, expert, values| {
            if let Some(logits) = &logits {
                store(logits, logits.place(&[row, expert]), values, false, ctx.simd);
            }
            values.iter_mut().for_each(|v| *v = score(*v));
            store(&scores, scores.place(&[row, expert]), values, false, ctx.simd);
        });
    }
    each_row(ctx, rows, 4 * d.experts * d.choices, &|row, _| {
        // SAFETY: the row lies in every argument; each task has its own.
        unsafe { choose(d, &views, row, scores.slice_mut(scores.place(&[row]), d.experts)) }
    });
    Ok(())
}

/// `sqrt(softplus(x))`; beyond 20 softplus is its argument in f32.
fn score(logit: f32) -> f32 {
    let softplus = if logit > 20.0 { logit } else { logit.exp().ln_1p() };
    softplus.sqrt()
}

/// Writes the chosen experts of a row and their weights.
///
/// # Safety
/// The row must lie in the views, and no other task may touch it.
unsafe fn choose(d: &Route, views: &RouteArgs<'_>, row: usize, scores: &mut [f32]) {
    let [toks, idx, wt] = [views.toks, views.idx, views.wt].map(Tensor::new);
    // SAFETY: passed on to the caller.
    unsafe {
        let chosen = idx.slice_mut::<i32>(idx.place(&[row]), d.choices);
        let weights = wt.slice_mut::<f32>(wt.place(&[row]), d.choices);
        if toks.index(toks.place(&[row, 1])) < 0 {
            chosen.fill(-1);
            weights.fill(0.0);
            return;
        }
        match d.routing {
            Routing::Scored => best(views.bias.map(Tensor::new), scores, chosen),
            Routing::Hash(vocab) => listed(views, row, vocab, chosen),
        }
        for (weight, expert) in weights.iter_mut().zip(&*chosen) {
            *weight = usize::try_from(*expert).ok().and_then(|e| scores.get(e)).copied().unwrap_or(0.0);
        }
        let sum = weights.iter().sum::<f32>() + SUM_FLOOR;
        weights.iter_mut().for_each(|w| *w = *w / sum * d.scale);
    }
}

/// The experts of a token id. An id outside the table has none.
///
/// # Safety
/// The row must lie in the views.
unsafe fn listed(views: &RouteArgs<'_>, row: usize, vocab: usize, chosen: &mut [i32]) {
    let (Some(table), Some(ids)) = (views.table.map(Tensor::new), views.ids.map(Tensor::new)) else { return };
    // SAFETY: passed on to the caller; the id is checked.
    unsafe {
        let id = usize::try_from(ids.index(ids.place(&[row]))).ok().filter(|id| *id < vocab);
        for (q, chosen) in chosen.iter_mut().enumerate() {
            *chosen = id.map_or(-1, |id| table.index(table.place(&[id, q])));
        }
    }
}

/// The best biased scores, in descending order, ties to the lowest expert. NaN ranks below every number.
///
/// # Safety
/// The bias must have an element for each score.
unsafe fn best(bias: Option<Tensor>, scores: &[f32], chosen: &mut [i32]) {
    let rank = |e: usize| {
        // SAFETY: passed on to the caller.
        let biased = scores[e] + bias.map_or(0.0, |b| unsafe { b.get(b.place(&[e])) });
        if biased.is_nan() { f32::NEG_INFINITY } else { biased }
    };
    for q in 0..chosen.len() {
        let (taken, rest) = chosen.split_at_mut(q);
        let free = (0..scores.len()).filter(|e| !taken.contains(&(*e as i32)));
        let best = free.map(|e| (e, rank(e))).reduce(|a, b| if b.1 > a.1 { b } else { a });
        rest[0] = best.map_or(-1, |(e, _)| e as i32);
    }
}
