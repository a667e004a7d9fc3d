//! compress.update: pooling of closed windows, then the rows of open ones.
//!
//! Three passes with a hand-over between them: pool all closings (reading the state as it was), finish and store the entries, write
//! the state. A channel adds its slots in the declared order, so an entry's bits depend on its rows alone.

#[cfg(test)]
mod tests;

use super::attention::{gain, row};
use super::cache::activation;
use super::cache::step::{Chunk, Chunks, Pages, Tokens};
use super::cache::stored::{self, Stored};
use super::{Choice, Ctx, Scratch, Tensor, unsupported};
use crate::simd::{Kernels, dots};
use omnihal::op::RowQuant;
use omnihal::op::compress::{Update, UpdateArgs, halves};
use omnihal::{Args, Error, Op, Result, RowFormat};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    let Op::CompressUpdate(d) = op else { return unsupported(op) };
    activation(d.act)?;
    gain(d.weight)?;
    stored::check(d.format, d.width, d.rotary)?;
    let exact = match d.format {
        RowFormat::Plain(_) => true,
        RowFormat::F8R => d.quant == RowQuant::F8Nope,
        RowFormat::F4 => d.quant == RowQuant::F4All,
    };
    if !exact {
        return Err(Error::unsupported(format!(
            "entries rounded by {:?} do not fit rows of {}; use F32 or BF16",
            d.quant, d.format
        )));
    }
    Choice::new(update, pooled_bytes(d) + Scratch::bytes(threads, finish_bytes(d)))
}

/// Pooled values of all closings.
fn pooled_bytes(d: &Update) -> usize {
    (4 * d.closings * d.width).next_multiple_of(64)
}

/// Gains and angles, for each thread.
fn finish_bytes(d: &Update) -> usize {
    4 * (d.width + d.rotary)
}

/// Channels that are pooled together.
const CHANNELS: usize = 64;

/// Slots times channels of one task at least: some tens of microseconds.
const POOL_TASK: usize = 1 << 15;

struct Work<'a> {
    d: &'a Update,
    simd: &'static Kernels,
    proj: Tensor,
    ape: Tensor,
    norm: Tensor,
    rope: Tensor,
    state: Tensor,
    pool: Stored,
    pages: Pages,
    toks: Tokens,
    seqs: Chunks,
    close: Tensor,
    pooled: Scratch,
    scratch: Scratch,
}

/// A window that closes in this step.
struct Closing {
    seq: usize,
    entry: usize,
    slot: usize,
    chunk: Chunk,
}

fn update(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::CompressUpdate(d) = op else { return unsupported(op).map(|_| ()) };
    let a = UpdateArgs::new(args)?;
    let work = Work {
        d,
        simd: ctx.simd,
        proj: Tensor::new(a.proj),
        ape: Tensor::new(a.ape),
        norm: Tensor::new(a.norm),
        rope: Tensor::new(a.rope),
        state: Tensor::new(a.state),
        pool: Stored::new(a.pool, d.format, d.width, d.rotary),
        pages: Pages::new(a.pt, d.pages),
        toks: Tokens::new(a.toks),
        seqs: Chunks::new(a.seqs),
        close: Tensor::new(a.close),
        pooled: Scratch::new(args.workspace, 0, pooled_bytes(d)),
        scratch: Scratch::new(args.workspace, pooled_bytes(d), finish_bytes(d)),
    };
    // Closings fill the column from its start.
    let closings = (0..d.closings).rposition(|c| work.closing(c).is_some()).map_or(0, |last| last + 1);
    let parts = d.width.div_ceil(CHANNELS);
    let grain = (POOL_TASK / (halves(d.overlap) * d.ratio * CHANNELS)).max(1);
    ctx.pool.ranges(closings * parts, grain, &|tasks, _| {
        tasks.for_each(|task| work.pool(task / parts, task % parts * CHANNELS));
    });
    ctx.pool.ranges(closings, 4, &|range, thread| work.finish(range, thread));
    ctx.pool.ranges(d.rows.min(args.rows_hint), 8, &|rows, _| rows.for_each(|t| work.keep(t)));
    Ok(())
}

impl Work<'_> {
    fn closing(&self, c: usize) -> Option<Closing> {
        // SAFETY: `close` has two indices for each closing.
        let (seq, entry) =
            unsafe { (self.close.index(self.close.place(&[c, 0])), self.close.index(self.close.place(&[c, 1]))) };
        let (Ok(seq), Ok(entry)) = (usize::try_from(seq), usize::try_from(entry)) else { return None };
        // SAFETY: a sequence that closes a window is in the step.
        unsafe { Some(Closing { seq, entry, slot: self.seqs.slot(seq), chunk: self.seqs.get(seq) }) }
    }

    /// `out.len()` columns, from `column` on, of the row of a position: projection plus bias.
    fn read(&self, closing: &Closing, position: usize, column: usize, out: &mut [f32]) {
        let (d, chunk) = (self.d, &closing.chunk);
        // SAFETY: the position belongs to a closing of this step: it is in this step, or in the ring, which has room for it.
        unsafe {
            match position.checked_sub(chunk.first) {
                Some(at) => self.biased(chunk.row + at, position, column, out),
                None => {
                    let place = self.state.place(&[closing.slot, position % d.ring, column]);
                    self.state.load(place, out, self.simd);
                }
            }
        }
    }

    /// Columns of row `t` of this step.
    ///
    /// # Safety
    /// Row and columns must lie in `proj`.
    unsafe fn biased(&self, t: usize, position: usize, column: usize, out: &mut [f32]) {
        let mut bias = [0.0; CHANNELS];
        let bias = &mut bias[..out.len()];
        // SAFETY: passed on to the caller; `ape` has a row for each position of a window.
        unsafe {
            self.proj.load(self.proj.place(&[t, column]), out, self.simd);
            self.ape.load(self.ape.place(&[position % self.d.ratio, column]), bias, self.simd);
        }
        out.iter_mut().zip(bias).for_each(|(x, b)| *x += *b);
    }

    /// Slots of a closing: first column of the half, and position.
    fn slots(&self, entry: usize) -> impl Iterator<Item = (usize, usize)> {
        let (m, width) = (self.d.ratio, self.d.width);
        let before = if self.d.overlap && entry > 0 { m } else { 0 };
        let own = if self.d.overlap { 2 * width } else { 0 };
        let earlier = (entry * m - before..entry * m).map(|position| (0, position));
        earlier.chain((entry * m..(entry + 1) * m).map(move |position| (own, position)))
    }

    /// Pools the channels from `from` on of a closing.
    fn pool(&self, c: usize, from: usize) {
        let Some(closing) = self.closing(c) else { return };
        let width = self.d.width;
        let n = CHANNELS.min(width - from);
        let (mut gate, mut kv, mut max) = ([0.0; CHANNELS], [0.0; CHANNELS], [f32::NEG_INFINITY; CHANNELS]);
        let (mut den, mut num) = ([0.0; CHANNELS], [0.0; CHANNELS]);
        for (half, position) in self.slots(closing.entry) {
            self.read(&closing, position, half + width + from, &mut gate[..n]);
            max[..n].iter_mut().zip(&gate).for_each(|(m, &g)| *m = if g > *m { g } else { *m });
        }
        for (half, position) in self.slots(closing.entry) {
            self.read(&closing, position, half + width + from, &mut gate[..n]);
            self.read(&closing, position, half + from, &mut kv[..n]);
            dots::pool_slot(&gate[..n], &kv[..n], &max[..n], &mut den[..n], &mut num[..n]);
        }
        // SAFETY: these channels of the closing belong to this task.
        let out = unsafe { self.pooled.slice::<f32>(0, 4 * (c * width + from), n) };
        out.iter_mut().zip(num.iter().zip(&den)).for_each(|(e, (num, den))| *e = num / den);
    }

    /// Norm, rotation, rounding and storing of some closings.
    fn finish(&self, range: std::ops::Range<usize>, thread: usize) {
        let d = self.d;
        // SAFETY: a part of the scratch belongs to its thread; the gain is as wide as an entry.
        let (gains, cs) = unsafe {
            let (gains, cs) = self.scratch.slice::<f32>(thread, 0, d.width + d.rotary).split_at_mut(d.width);
            self.norm.load(0, gains, self.simd);
            (gains, cs)
        };
        for c in range {
            let Some(closing) = self.closing(c) else { continue };
            // SAFETY: the sequence is in the table; the pooled values of a closing belong to one task, the angle is kept in the table.
            let (found, entry) = unsafe {
                let position = (closing.entry * d.ratio).min(d.positions - 1);
                self.rope.load(self.rope.place(&[position]), cs, self.simd);
                (self.pages.find(closing.seq, closing.entry), self.pooled.slice::<f32>(0, 4 * c * d.width, d.width))
            };
            let Some((page, inner)) = found else { continue };
            row::round(d.act, entry);
            row::normalise(entry, Some(gains), d.eps);
            row::round(d.act, entry);
            row::rotate(entry, cs, false);
            row::round(d.act, entry);
            if d.hadamard {
                row::hadamard(entry);
                row::round(d.act, entry);
            }
            row::quantise(d.quant, d.rotary, entry);
            // SAFETY: page and place lie in the pool, and each entry is closed once.
            unsafe { self.pool.store(page, inner, entry, self.simd) };
        }
    }

    /// Keeps row `t` in the state, unless a later row of the step takes its place.
    fn keep(&self, t: usize) {
        let d = self.d;
        // SAFETY: `t` is a row of the step, its sequence is in `seqs`, its slot and place in the ring; rows that would share a place
        // are left out.
        unsafe {
            let Some(token) = self.toks.get(t) else { return };
            if token.pos + d.ring < self.seqs.get(token.seq).end() {
                return;
            }
            let columns = 2 * halves(d.overlap) * d.width;
            let mut buffer = [0.0; CHANNELS];
            for column in (0..columns).step_by(CHANNELS) {
                let part = &mut buffer[..CHANNELS.min(columns - column)];
                self.biased(t, token.pos, column, part);
                self.state.store(self.state.place(&[token.slot, token.pos % d.ring, column]), part, self.simd);
            }
        }
    }
}
