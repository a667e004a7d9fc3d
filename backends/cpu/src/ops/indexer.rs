//! The lightning indexer: its queries, and the choice of entries.

#[cfg(test)]
mod tests;

use super::attention::row;
use super::cache::activation;
use super::cache::step::{Pages, Token, Tokens};
use super::cache::stored::{self, Stored};
use super::sample::best;
use super::{Choice, Ctx, Scratch, Tensor, unsupported};
use crate::simd::{Kernels, dots};
use omnihal::op::indexer::{QueryArgs, Select, SelectArgs};
use omnihal::{Args, Error, Op, Result, RowFormat};
use std::ops::Range;

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::IndexerQuery(d) => {
            activation(d.act)?;
            Choice::new(query, Scratch::bytes(threads, 4 * (d.width + d.rotary)))
        }
        Op::IndexerSelect(d) => {
            activation(d.act)?;
            stored::check(d.format, d.width, d.rotary)?;
            if d.format == RowFormat::F8R {
                return Err(Error::unsupported("indexer keys stored as F8R were asked; use F4, BF16 or F32"));
            }
            let sizes = Sizes::new(d);
            Choice::new(select, Scratch::bytes(threads, sizes.row) + Scratch::bytes(threads, sizes.block))
        }
        op => unsupported(op),
    }
}

/// Heads of one task: some microseconds of work.
const HEAD_GRAIN: usize = 16;

fn query(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::IndexerQuery(d) = op else { return unsupported(op).map(|_| ()) };
    let a = QueryArgs::new(args)?;
    let (q, rope, toks) = (Tensor::new(a.q), Tensor::new(a.rope), Tokens::new(a.toks));
    let scratch = Scratch::new(args.workspace, 0, 4 * (d.width + d.rotary));
    ctx.pool.ranges(d.rows.min(args.rows_hint) * d.heads, HEAD_GRAIN, &|vectors, thread| {
        // SAFETY: a part of the scratch belongs to its thread.
        let (head, cs) = unsafe { scratch.slice::<f32>(thread, 0, d.width + d.rotary) }.split_at_mut(d.width);
        for i in vectors {
            let (t, h) = (i / d.heads, i % d.heads);
            let place = q.place(&[t, h]);
            // SAFETY: row and head lie in `q` and belong to one task; the position is kept inside the table.
            unsafe {
                let Some(token) = toks.get(t) else { continue };
                q.load(place, head, ctx.simd);
                rope.load(rope.place(&[token.pos.min(d.positions - 1)]), cs, ctx.simd);
            }
            row::rotate(head, cs, false);
            if d.hadamard {
                // As the composed form rounds between its steps: a code must not depend on the form.
                row::round(d.act, head);
                row::hadamard(head);
            }
            row::round(d.act, head);
            row::quantise(d.quant, d.rotary, head);
            // SAFETY: as above.
            unsafe { q.store(place, head, ctx.simd) };
        }
    });
    Ok(())
}

/// Keys that are widened and scored together: a multiple of a tile of dot products.
const BLOCK: usize = 24;

/// Multiply-adds of one task at least where threads share a row: about ten microseconds.
const SHARED_TASK: usize = 1 << 18;

/// Sizes of the scratch memory.
#[derive(Clone, Copy)]
struct Sizes {
    /// Channels with padding.
    width: usize,
    /// Bytes for a row: ranks of all entries, queries, head weights.
    row: usize,
    /// Bytes for a block of keys.
    block: usize,
}

impl Sizes {
    fn new(d: &Select) -> Sizes {
        let width = d.width.next_multiple_of(dots::LANES);
        let row = 8 * d.pages.capacity() + 4 * d.heads * (width + 1);
        Sizes { width, row, block: 4 * BLOCK * width }
    }
}

struct Work<'a> {
    d: &'a Select,
    sizes: Sizes,
    simd: &'static Kernels,
    rows: Scratch,
    blocks: Scratch,
    q: Tensor,
    w: Tensor,
    pool: Stored,
    pages: Pages,
    toks: Tokens,
    idx: Tensor,
    scores: Option<Tensor>,
}

fn select(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::IndexerSelect(d) = op else { return unsupported(op).map(|_| ()) };
    let a = SelectArgs::new(args)?;
    let (sizes, threads) = (Sizes::new(d), ctx.pool.threads());
    let work = Work {
        d,
        sizes,
        simd: ctx.simd,
        rows: Scratch::new(args.workspace, 0, sizes.row),
        blocks: Scratch::new(args.workspace, Scratch::bytes(threads, sizes.row), sizes.block),
        q: Tensor::new(a.q),
        w: Tensor::new(a.w),
        pool: Stored::new(a.pool, d.format, d.width, d.rotary),
        pages: Pages::new(a.pt, d.pages),
        toks: Tokens::new(a.toks),
        idx: Tensor::new(a.idx),
        scores: a.scores.map(Tensor::new),
    };
    let rows = d.rows.min(args.rows_hint);
    // SAFETY: `t` is a row of the step.
    let token = |t: usize| unsafe { work.toks.get(t) };
    if (0..rows).filter(|&t| token(t).is_some()).count() >= 2 * threads {
        ctx.pool.run(rows, &|t, thread| {
            let Some(token) = token(t) else { return };
            let visible = work.visible(token);
            if work.prepare(t, visible, thread) {
                work.score(token, thread, thread, 0..visible);
            }
            work.choose(t, token, visible, thread);
        });
        return Ok(());
    }
    let grain = (SHARED_TASK / (d.heads * sizes.width)).next_multiple_of(BLOCK);
    for t in 0..rows {
        let Some(token) = token(t) else { continue };
        let visible = work.visible(token);
        if work.prepare(t, visible, 0) {
            ctx.pool.ranges(visible, grain.max(BLOCK), &|entries, thread| work.score(token, 0, thread, entries));
        }
        work.choose(t, token, visible, 0);
    }
    Ok(())
}

impl Work<'_> {
    fn visible(&self, token: Token) -> usize {
        ((token.pos + 1) / self.d.ratio).min(self.d.pages.capacity())
    }

    /// True if scores are needed to choose among `visible` entries, or asked for.
    fn scored(&self, visible: usize) -> bool {
        visible > self.d.keep || self.scores.is_some()
    }

    /// Byte of the queries in a row's part, after the ranks.
    fn queries(&self) -> usize {
        8 * self.d.pages.capacity()
    }

    /// Byte of the head weights.
    fn weights(&self) -> usize {
        self.queries() + 4 * self.d.heads * self.sizes.width
    }

    /// Widens the queries of a row, if it has to be scored.
    fn prepare(&self, t: usize, visible: usize, part: usize) -> bool {
        if !self.scored(visible) {
            return false;
        }
        let (d, width) = (self.d, self.sizes.width);
        // SAFETY: the part belongs to this task until it is scored; `t` is a row of `q` and `w`.
        unsafe {
            let queries = self.rows.slice::<f32>(part, self.queries(), d.heads * width);
            for (h, query) in queries.chunks_exact_mut(width).enumerate() {
                let (used, padding) = query.split_at_mut(d.width);
                self.q.load(self.q.place(&[t, h]), used, self.simd);
                padding.fill(0.0);
            }
            self.w.load(self.w.place(&[t]), self.rows.slice(part, self.weights(), d.heads), self.simd);
        }
        true
    }

    /// Ranks a range of entries; one without a page gets the last rank of all.
    fn score(&self, token: Token, part: usize, thread: usize, range: Range<usize>) {
        let (d, width) = (self.d, self.sizes.width);
        let factor = 1.0 / ((d.width * d.heads) as f32).sqrt();
        // SAFETY: queries and weights are only read now; these ranks belong to this task, the block to its thread.
        let (queries, weights, ranks, keys) = unsafe {
            (
                self.rows.read::<f32>(part, self.queries(), d.heads * width),
                self.rows.read::<f32>(part, self.weights(), d.heads),
                self.rows.slice::<u64>(part, 8 * range.start, range.len()),
                self.blocks.slice::<f32>(thread, 0, BLOCK * width),
            )
        };
        for (ranks, first) in ranks.chunks_mut(BLOCK).zip(range.step_by(BLOCK)) {
            let (mut scores, mut places) = ([0.0; BLOCK], [0; BLOCK]);
            let mut count = 0;
            for (i, rank) in ranks.iter_mut().enumerate() {
                *rank = u64::MAX;
                // SAFETY: the sequence of a row is in the table; page and place lie in the pool.
                unsafe {
                    let Some((page, inner)) = self.pages.find(token.seq, first + i) else { continue };
                    let key = &mut keys[count * width..][..width];
                    self.pool.load(page, inner, key, self.simd);
                    key[d.width..].fill(0.0);
                }
                places[count] = i;
                count += 1;
            }
            dots::relu_scores(queries, weights, &keys[..count * width], width, &mut scores[..count]);
            for (&i, &score) in places[..count].iter().zip(&scores) {
                ranks[i] = best::rank(factor * score, first + i, true);
            }
        }
    }

    /// Writes the best entries of a row, ascending.
    fn choose(&self, t: usize, token: Token, visible: usize, part: usize) {
        let keep = self.d.keep;
        // SAFETY: `t` is a row of `idx`, which belongs to this task.
        let put = |q: usize, entry: i32| unsafe { self.idx.at::<i32>(self.idx.place(&[t, q])).write_unaligned(entry) };
        let mut count = 0;
        if !self.scored(visible) {
            for entry in 0..visible {
                // SAFETY: the sequence of a row is in the table.
                if unsafe { self.pages.find(token.seq, entry) }.is_some() {
                    put(count, entry as i32);
                    count += 1;
                }
            }
        } else {
            // SAFETY: the ranks of this row belong to this task again.
            let ranks = unsafe { self.rows.slice::<u64>(part, 0, visible) };
            let kept = best::keep_best(ranks, keep);
            // Halves swapped, they sort by entry.
            kept.iter_mut().for_each(|r| *r = r.rotate_left(32));
            kept.sort_unstable();
            for rank in kept.iter().map(|r| r.rotate_left(32)).filter(|&r| r != u64::MAX) {
                put(count, best::place(rank) as i32);
                if let Some(scores) = &self.scores {
                    // SAFETY: `t` is a row of `scores`, which belongs to this task.
                    unsafe { scores.set(scores.place(&[t, count]), best::value(rank)) };
                }
                count += 1;
            }
        }
        (count..keep).for_each(|q| put(q, -1));
    }
}
