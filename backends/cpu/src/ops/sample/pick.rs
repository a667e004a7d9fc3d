//! sample.pick: a token for each wanted row.

use super::best;
use crate::ops::cache::step::{Token, Tokens};
use crate::ops::{Ctx, Scratch, Tensor, unsupported};
use crate::simd::dots;
use omnihal::op::sample::{Pick, PickArgs};
use omnihal::{Args, Op, Result};

/// A row of numbers and a row of ranks.
fn row_bytes(d: &Pick) -> usize {
    4 * d.vocab.next_multiple_of(2) + 8 * d.vocab
}

pub(super) fn workspace(d: &Pick, threads: usize) -> usize {
    Scratch::bytes(threads, row_bytes(d))
}

/// Numbers that are summed in f32 before the sum goes on in f64.
const SUM_BLOCK: usize = 1024;

/// The parameters of a row, by the columns of `par`.
struct Params {
    temperature: f32,
    top_k: f32,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    u: f32,
}

pub(super) fn pick(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::SamplePick(d) = op else { return unsupported(op).map(|_| ()) };
    let a = PickArgs::new(args)?;
    let [logits, par, u, out, last, tok, logprob] =
        [a.logits, a.par, a.u, a.out, a.last, a.tok, a.logprob].map(Tensor::new);
    let (toks, seen) = (Tokens::new(a.toks), a.seen.map(Tensor::new));
    let scratch = Scratch::new(args.workspace, 0, row_bytes(d));
    // SAFETY: there are `wanted` rows of `out`, and the row it names is checked.
    let token = |i: usize| unsafe {
        let row = usize::try_from(out.index(out.place(&[i]))).ok().filter(|&row| row < d.rows)?;
        toks.get(row).filter(|token| token.slot < d.slots)
    };
    ctx.pool.run(d.wanted, &|i, thread| {
        // SAFETY: a part of the scratch belongs to its thread; the row's own arguments and results belong to this task, and nobody
        // writes `seen` in this pass.
        unsafe {
            let x = scratch.slice::<f32>(thread, 0, d.vocab);
            let ranks = scratch.slice::<u64>(thread, 4 * d.vocab.next_multiple_of(2), d.vocab);
            let Some(token) = token(i) else {
                tok.at::<i32>(tok.place(&[i])).write_unaligned(-1);
                logprob.set(logprob.place(&[i]), 0.0);
                return;
            };
            let column = |c: usize| par.get(par.place(&[i, c]));
            let [temperature, top_k, top_p, min_p, penalty] = [0, 1, 2, 3, 4].map(column);
            let params = Params { temperature, top_k, top_p, min_p, penalty, u: u.get(u.place(&[i])) };
            logits.load(logits.place(&[i]), x, ctx.simd);
            if let (Some(seen), true) = (&seen, params.temperature != 0.0) {
                penalise(x, seen, token.slot, params.penalty);
            }
            let (chosen, log) = choose(x, ranks, d.candidates, &params);
            tok.at::<i32>(tok.place(&[i])).write_unaligned(chosen as i32);
            logprob.set(logprob.place(&[i]), log);
        }
    });
    remember(d, &token, &tok, &last, seen.as_ref());
    Ok(())
}

/// Keeps the chosen tokens: the n-th wanted row of a slot in column n of `last`.
fn remember(d: &Pick, token: &dyn Fn(usize) -> Option<Token>, tok: &Tensor, last: &Tensor, seen: Option<&Tensor>) {
    // Wanted rows follow the rows of the step, so those of a slot follow each other.
    let mut before: Option<(usize, usize)> = None;
    for i in 0..d.wanted {
        let Some(token) = token(i) else { continue };
        let nth = before.filter(|b| b.0 == token.slot).map_or(0, |b| b.1 + 1);
        before = Some((token.slot, nth));
        // SAFETY: the slot was checked, the token is a place in the vocabulary, and no task runs any more.
        unsafe {
            let chosen = tok.index(tok.place(&[i]));
            if nth <= d.drafts {
                last.at::<i32>(last.place(&[token.slot, nth])).write_unaligned(chosen);
            }
            if let Some(seen) = seen {
                seen.set(seen.place(&[token.slot, chosen as usize]), 1.0);
            }
        }
    }
}

/// Lowers the logits of tokens that the slot has seen.
///
/// # Safety
/// The slot must lie in `seen`, which nobody may write.
unsafe fn penalise(x: &mut [f32], seen: &Tensor, slot: usize, penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    for (id, x) in x.iter_mut().enumerate() {
        // SAFETY: passed on to the caller; a slot has a number for each token.
        if unsafe { seen.get(seen.place(&[slot, id])) } != 0.0 {
            *x = if *x > 0.0 { *x / penalty } else { *x * penalty };
        }
    }
}

/// A token and the logarithm of its probability. `x` holds the logits, and is used up.
fn choose(x: &mut [f32], ranks: &mut [u64], candidates: usize, params: &Params) -> (usize, f32) {
    if params.temperature == 0.0 {
        let best = (0..x.len()).map(|id| best::rank(x[id], id, true)).min().map_or(0, best::place);
        let top = x[best];
        return (best, -(sum_of_exponentials(x, top).ln() as f32));
    }
    x.iter_mut().for_each(|x| *x /= params.temperature);
    ranks.iter_mut().zip(&*x).enumerate().for_each(|(id, (rank, &x))| *rank = best::rank(x, id, true));
    let kept = best::keep_best(ranks, candidates.max(1));
    kept.sort_unstable();
    let top = x[best::place(kept[0])];
    let total = sum_of_exponentials(x, top);
    // From here on `x` holds exponentials; all shares are relative to their sum.
    let share = |rank: &u64| x[best::place(*rank)] as f64 / total;
    let count = cut(kept, &share, params);
    let all: f64 = kept[..count].iter().map(share).sum();
    let mut sum = 0.0;
    let drawn = kept[..count].iter().position(|rank| {
        sum += share(rank);
        sum / all > params.u as f64
    });
    let chosen = kept[drawn.unwrap_or(count - 1)];
    (best::place(chosen), (best::value(chosen) - top) - total.ln() as f32)
}

/// How many of the candidates, best first, top-k, top-p and min-p leave: at least one.
fn cut(kept: &[u64], share: &dyn Fn(&u64) -> f64, params: &Params) -> usize {
    let mut count = kept.len();
    if params.top_k >= 1.0 {
        count = count.min(params.top_k as usize);
    }
    if params.top_p < 1.0 {
        let mut before = 0.0;
        let within = kept[..count].iter().take_while(|rank| {
            let stays = before < params.top_p as f64;
            before += share(rank);
            stays
        });
        count = within.count().max(1);
    }
    let floor = params.min_p as f64 * share(&kept[0]);
    kept[..count].iter().take_while(|rank| share(rank) >= floor).count().max(1)
}

/// Turns numbers into `e^(x - top)` and adds them up; a NaN counts as nothing.
fn sum_of_exponentials(x: &mut [f32], top: f32) -> f64 {
    x.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = f32::NEG_INFINITY);
    x.chunks_mut(SUM_BLOCK).map(|block| dots::exp_sum(block, top) as f64).sum()
}
