//! attention.sparse: all heads of a row over the same gathered keys.
//!
//! The keys of a row are gathered once, as f32, in the order of the declaration; then scores, softmax with the sink, and the value
//! product are dense products over that list. Each score is a dot product of its own and each output channel adds the keys one
//! after the other, so the bits of a row depend on its list alone: not on how the list is cut into tasks, nor on whether a key came
//! from this step or from the ring.

use super::row;
use crate::num::round_bf16;
use crate::ops::cache::step::{Chunks, Pages, Token, Tokens};
use crate::ops::cache::stored::Stored;
use crate::ops::{Ctx, Scratch, Tensor, unsupported};
use crate::simd::Kernels;
use crate::simd::dots::{self, Columns};
use omnihal::op::attention::{Entries, Sparse, SparseArgs};
use omnihal::{Args, DType, Op, Result};
use std::ops::Range;

/// Keys that are gathered and scored together: 48 KB of 512 channels, and a multiple of a tile of dot products.
const SCORE_BLOCK: usize = 24;

/// Keys whose values are added together: fewer trips of the sums to memory, and still inside the second-level cache.
const VALUE_BLOCK: usize = 48;

/// Multiply-adds from which on threads share a row's products: about ten microseconds of one thread.
const SHARED_ROW: usize = 1 << 18;

/// Heads are split between tasks in multiples of a tile of value products.
const HEAD_TILE: usize = 4;

/// Parts of the scratch memory of one row.
const QUERIES: usize = 0;
const KEYS: usize = 1;
const SCORES: usize = 2;
const OUTPUTS: usize = 3;
const ANGLES: usize = 4;
const PLACES: usize = 5;

/// Sizes of one row's scratch memory, in elements of four bytes.
#[derive(Clone, Copy)]
struct Sizes {
    /// Channels with padding.
    width: usize,
    /// Most keys that a row can have.
    keys: usize,
    /// Most entries that a row can have.
    entries: usize,
}

impl Sizes {
    fn new(d: &Sparse) -> Sizes {
        let entries = match d.entries {
            Entries::None => 0,
            Entries::Listed(keep) => keep.min(d.pages.capacity()),
            Entries::All => d.pages.capacity().min(d.positions.div_ceil(d.ratio)),
        };
        Sizes { width: d.head.next_multiple_of(dots::LANES), keys: d.window + entries, entries }
    }

    /// Lengths of the parts numbered below.
    fn parts(&self, d: &Sparse) -> [usize; 6] {
        let heads = d.heads * self.width;
        [heads, self.keys * self.width, d.heads * self.keys, heads, d.rotary, 2 * self.entries]
    }

    fn bytes(&self, d: &Sparse) -> usize {
        4 * self.parts(d).iter().sum::<usize>()
    }
}

pub(super) fn workspace(d: &Sparse, threads: usize) -> usize {
    Scratch::bytes(threads, Sizes::new(d).bytes(d))
}

/// The list of keys of one row.
#[derive(Clone, Copy)]
struct Keys {
    token: Token,
    /// Position of the first window key.
    start: usize,
    /// Window keys that come from the ring.
    old: usize,
    /// Row of the step that holds the first window key that does not.
    row: usize,
    /// Window keys.
    window: usize,
    /// Window keys and entries.
    count: usize,
}

struct Work<'a> {
    d: &'a Sparse,
    sizes: Sizes,
    scratch: Scratch,
    simd: &'static Kernels,
    q: Tensor,
    kv: Tensor,
    ring: Stored,
    pool: Option<(Stored, Pages)>,
    idx: Option<Tensor>,
    sink: Tensor,
    rope: Tensor,
    toks: Tokens,
    seqs: Chunks,
    o: Tensor,
}

pub(super) fn sparse(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::AttentionSparse(d) = op else { return unsupported(op).map(|_| ()) };
    let a = SparseArgs::new(args)?;
    let sizes = Sizes::new(d);
    let stored = |view| Stored::new(view, d.format, d.head, d.rotary);
    let work = Work {
        d,
        sizes,
        scratch: Scratch::new(args.workspace, 0, sizes.bytes(d)),
        simd: ctx.simd,
        q: Tensor::new(a.q),
        kv: Tensor::new(a.kv),
        ring: stored(a.ring),
        pool: a.pool.zip(a.pt).map(|(pool, pt)| (stored(pool), Pages::new(pt, d.pages))),
        idx: a.idx.map(Tensor::new),
        sink: Tensor::new(a.sink),
        rope: Tensor::new(a.rope),
        toks: Tokens::new(a.toks),
        seqs: Chunks::new(a.seqs),
        o: Tensor::new(a.o),
    };
    let rows = d.rows.min(args.rows_hint);
    // SAFETY: `t` is a row of the step.
    let live = (0..rows).filter(|&t| unsafe { work.toks.get(t) }.is_some()).count();
    let threads = ctx.pool.threads();
    if live >= 2 * threads || sizes.keys * d.heads * sizes.width < SHARED_ROW {
        ctx.pool.run(rows, &|t, thread| {
            let Some(keys) = work.prepare(t, thread) else { return };
            work.score(&keys, thread, 0..keys.count);
            work.weigh(t, &keys, thread, 0..d.heads);
        });
        return Ok(());
    }
    // Few rows: the threads share each, in the first part of the scratch.
    let group = d.heads.div_ceil(threads).next_multiple_of(HEAD_TILE);
    for t in 0..rows {
        let Some(keys) = work.prepare(t, 0) else { continue };
        ctx.pool.ranges(keys.count, SCORE_BLOCK, &|block, _| work.score(&keys, 0, block));
        ctx.pool.ranges(d.heads, group, &|heads, _| work.weigh(t, &keys, 0, heads));
    }
    Ok(())
}

impl Work<'_> {
    /// Byte of element `from` of one of [`Sizes::parts`].
    fn offset(&self, which: usize, from: usize) -> usize {
        4 * (self.sizes.parts(self.d)[..which].iter().sum::<usize>() + from)
    }

    /// `len` elements of a part, from element `from`, for writing.
    ///
    /// # Safety
    /// They must lie in the part, and no other borrow of them may be alive.
    unsafe fn write<'a, T>(&self, part: usize, which: usize, from: usize, len: usize) -> &'a mut [T] {
        // SAFETY: passed on to the caller; parts are aligned to four bytes.
        unsafe { self.scratch.slice(part, self.offset(which, from), len) }
    }

    /// The same for reading.
    ///
    /// # Safety
    /// They must lie in the part, and nobody may write them while borrowed.
    unsafe fn read<'a, T>(&self, part: usize, which: usize, from: usize, len: usize) -> &'a [T] {
        // SAFETY: passed on to the caller; parts are aligned to four bytes.
        unsafe { self.scratch.read(part, self.offset(which, from), len) }
    }

    /// Lists the keys of a row and widens its queries; `None` for padding.
    fn prepare(&self, t: usize, part: usize) -> Option<Keys> {
        let (d, width) = (self.d, self.sizes.width);
        // SAFETY: `t` is a row of the step, and its sequence is in `seqs`.
        let (token, chunk) = unsafe {
            let token = self.toks.get(t)?;
            (token, self.seqs.get(token.seq))
        };
        let start = (token.pos + 1).saturating_sub(d.window);
        let window = token.pos + 1 - start;
        let old = chunk.first.saturating_sub(start).min(window);
        let row = chunk.row + (start + old).saturating_sub(chunk.first);
        // SAFETY: the part belongs to this task until it hands the keys on.
        unsafe {
            let queries = self.write::<f32>(part, QUERIES, 0, d.heads * width);
            for (h, query) in queries.chunks_exact_mut(width).enumerate() {
                let (used, padding) = query.split_at_mut(d.head);
                self.q.load(self.q.place(&[t, h]), used, self.simd);
                padding.fill(0.0);
            }
            let position = token.pos.min(d.positions - 1);
            self.rope.load(self.rope.place(&[position]), self.write(part, ANGLES, 0, d.rotary), self.simd);
        }
        let entries = self.list(t, token, part);
        Some(Keys { token, start, old, row, window, count: window + entries })
    }

    /// Writes the pool places of the visible entries of a row, ascending, and returns their number.
    fn list(&self, t: usize, token: Token, part: usize) -> usize {
        let Some((_, pages)) = &self.pool else { return 0 };
        let visible = (token.pos + 1) / self.d.ratio;
        // SAFETY: the part belongs to this task.
        let places = unsafe { self.write::<[u32; 2]>(part, PLACES, 0, self.sizes.entries) };
        let (mut count, mut next) = (0, 0);
        let mut keep = |entry: usize| {
            // An entry below `next` repeats one that is listed already.
            if entry < next || entry >= visible || count == places.len() {
                return;
            }
            next = entry + 1;
            // SAFETY: the sequence of a row is in the table.
            if let Some((page, inner)) = unsafe { pages.find(token.seq, entry) } {
                places[count] = [page as u32, inner as u32];
                count += 1;
            }
        };
        match (&self.idx, self.d.entries) {
            (Some(idx), Entries::Listed(listed)) => {
                for i in 0..listed {
                    // SAFETY: `idx` has `listed` entries a row.
                    if let Ok(entry) = usize::try_from(unsafe { idx.index(idx.place(&[t, i])) }) {
                        keep(entry);
                    }
                }
            }
            _ => (0..visible.min(self.d.pages.capacity())).for_each(keep),
        }
        count
    }

    /// Gathers a range of keys and scores them for all heads.
    fn score(&self, keys: &Keys, part: usize, range: Range<usize>) {
        let (d, width) = (self.d, self.sizes.width);
        for from in range.clone().step_by(SCORE_BLOCK) {
            let block = from..(from + SCORE_BLOCK).min(range.end);
            // SAFETY: this range of keys and scores belongs to this task; queries and places are only read.
            unsafe {
                let rows = self.write::<f32>(part, KEYS, from * width, block.len() * width);
                for (row, i) in rows.chunks_exact_mut(width).zip(block.clone()) {
                    self.gather(keys, part, i, row);
                    row[d.head..].fill(0.0);
                }
                let queries = self.read::<f32>(part, QUERIES, 0, d.heads * width);
                let out = Columns::new(self.scratch.at(part, self.offset(SCORES, from)), self.sizes.keys);
                dots::scores(queries, rows, width, d.scale, out);
            }
        }
    }

    /// Widens key `i` of the list.
    ///
    /// # Safety
    /// The places of the part must have been written.
    unsafe fn gather(&self, keys: &Keys, part: usize, i: usize, row: &mut [f32]) {
        // SAFETY: positions, rows and places were computed from the step table, which names rows inside the views.
        unsafe {
            if i < keys.old {
                self.ring.load(keys.token.slot, (keys.start + i) % self.d.ring, row, self.simd);
            } else if i < keys.window {
                let place = self.kv.place(&[keys.row + i - keys.old]);
                self.kv.load(place, &mut row[..self.d.head], self.simd);
            } else if let Some((pool, _)) = &self.pool {
                let [page, inner] = self.read::<[u32; 2]>(part, PLACES, 2 * (i - keys.window), 1)[0];
                pool.load(page as usize, inner as usize, row, self.simd);
            }
        }
    }

    /// Softmax and value product of some heads, then their output.
    fn weigh(&self, t: usize, keys: &Keys, part: usize, heads: Range<usize>) {
        let (d, width, stride) = (self.d, self.sizes.width, self.sizes.keys);
        // SAFETY: scores and outputs of these heads belong to this task; keys and angles are only read.
        let (scores, rows, out, cs) = unsafe {
            (
                self.write::<f32>(part, SCORES, heads.start * stride, heads.len() * stride),
                self.read::<f32>(part, KEYS, 0, keys.count * width),
                self.write::<f32>(part, OUTPUTS, heads.start * width, heads.len() * width),
                self.read::<f32>(part, ANGLES, 0, d.rotary),
            )
        };
        for (h, scores) in heads.clone().zip(scores.chunks_exact_mut(stride)) {
            // SAFETY: there is one sink a head.
            softmax(&mut scores[..keys.count], unsafe { self.sink.get(self.sink.place(&[h])) }, d.act);
        }
        out.fill(0.0);
        for (block, rows) in rows.chunks(VALUE_BLOCK * width).enumerate() {
            dots::values(&scores[block * VALUE_BLOCK..], stride, rows, width, out);
        }
        for (h, out) in heads.zip(out.chunks_exact_mut(width)) {
            let out = &mut out[..d.head];
            if d.inverse {
                row::rotate(out, cs, true);
            }
            // SAFETY: row and head lie in `o` and belong to this task.
            unsafe { self.o.store(self.o.place(&[t, h]), out, self.simd) };
        }
    }
}

/// Turns scores into probabilities. The sink counts in the maximum and in the sum; the sum is of unrounded numbers.
fn softmax(scores: &mut [f32], sink: f32, act: DType) {
    let max = dots::largest(scores, sink);
    let factor = 1.0 / (dots::exp_sum(scores, max) + dots::exp_sum(&mut [sink], max));
    match act {
        DType::BF16 => scores.iter_mut().for_each(|p| *p = round_bf16(*p * factor)),
        _ => scores.iter_mut().for_each(|p| *p *= factor),
    }
}
