//! A block's state and attention, fed in chunks.

use crate::ops::attention::row;
use crate::ops::cache::testing::{Array, Seed, rounded, run};
use omnihal::op::attention::{Entries, Sparse};
use omnihal::op::cache::Store;
use omnihal::op::compress::{Update, halves};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{Column, DType, RowFormat, Sequence, SpaceShape, StepColumns, StepLayout, StepShape};

pub(super) const LENGTH: usize = 23;
const PAGES: usize = 14;
pub(super) const PAGE: usize = 3;
const SLOTS: usize = 5;
const RING: usize = 34;
pub(super) const EPS: f32 = 1e-6;
pub(super) const SCALE: f32 = 0.3;
/// Pages of the sequence under test and of its neighbour.
pub(super) const OWN: [i32; 4] = [9, 3, 12, 5];
const OTHER: [i32; 4] = [2, 13, 4, 7];

#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub heads: usize,
    pub head: usize,
    pub rotary: usize,
    pub window: usize,
    pub ratio: usize,
    pub overlap: bool,
    pub entries: Entries,
    pub quant: RowQuant,
    pub format: RowFormat,
    pub act: DType,
}

#[derive(Debug)]
pub(super) struct Feed {
    pub chunks: &'static [usize],
    pub threads: usize,
    /// Capacity in rows.
    pub rows: usize,
    /// Capacity in pages.
    pub table: usize,
    /// Another sequence goes first in every step.
    pub neighbour: bool,
}

/// What came out.
pub(super) struct Outputs {
    rows: Vec<f32>,
    /// Memory of the sequence's pages.
    pub pool: Vec<Vec<f32>>,
}

impl Outputs {
    pub(super) fn outputs(&self) -> Vec<f32> {
        self.rows.clone()
    }

    pub(super) fn bits(&self) -> Vec<u32> {
        self.rows.iter().map(|v| v.to_bits()).collect()
    }
}

/// Everything that a sequence brings, by position.
pub(super) struct Inputs {
    pub q: Vec<f32>,
    pub kv: Vec<f32>,
    pub proj: Vec<f32>,
    pub idx: Vec<i32>,
}

/// What all rows share.
pub(super) struct Constants {
    pub ape: Vec<f32>,
    pub gain: Vec<f32>,
    pub sink: Vec<f32>,
    pub rope: Vec<f32>,
}

/// Some positions of a sequence.
struct Part<'a> {
    inputs: &'a Inputs,
    first: usize,
    count: usize,
}

/// Columns of the step table.
struct Table {
    toks: Array,
    seqs: Array,
    pt: Array,
    close: Array,
}

/// What the rows of a step bring.
struct Rows {
    q: Array,
    kv: Array,
    proj: Array,
    idx: Array,
}

/// The arrays that live from step to step.
struct State {
    ring: Array,
    open: Array,
    pool: Array,
}

impl Block {
    pub(super) fn columns(&self) -> usize {
        halves(self.overlap) * 2 * self.head
    }

    fn listed(&self) -> usize {
        if let Entries::Listed(keep) = self.entries { keep } else { 1 }
    }

    pub(super) fn constants(&self, name: &str) -> Constants {
        let mut seed = Seed::of(&format!("{name} constants"));
        let mut numbers = |n: usize| (0..n).map(|_| seed.number()).collect::<Vec<_>>();
        let (ape, gain, sink) = (numbers(self.ratio * self.columns()), numbers(self.head), numbers(self.heads));
        let angle = |i: usize, half: usize| (i as f32 * 0.37 + 0.1) * (1.0 + half as f32 * 0.21);
        let rope = (0..LENGTH * self.rotary)
            .map(|i| (i / self.rotary, i % self.rotary))
            .map(|(p, c)| if c % 2 == 0 { angle(p, c / 2).cos() } else { angle(p, c / 2).sin() })
            .collect();
        Constants { ape, gain, sink, rope }
    }

    pub(super) fn inputs(&self, name: &str) -> Inputs {
        let mut seed = Seed::of(name);
        let mut numbers =
            |n: usize, dtype: DType| (0..n).map(|_| rounded(dtype, seed.number() as f64) as f32).collect::<Vec<_>>();
        let q = numbers(LENGTH * self.heads * self.head, self.act);
        let mut kv = numbers(LENGTH * self.head, self.act);
        kv.chunks_mut(self.head).for_each(|row| row::quantise(self.quant, self.rotary, row));
        let proj = numbers(LENGTH * self.columns(), DType::F32);
        let mut idx = Vec::new();
        for t in 0..LENGTH {
            // Ascending, some repeated, some past the visible ones, the rest absent.
            let mut list: Vec<i32> =
                (0..seed.below(self.listed() + 1)).map(|_| seed.below((t + 1) / self.ratio + 2) as i32).collect();
            list.sort_unstable();
            list.resize(self.listed(), -1);
            idx.extend(list);
        }
        Inputs { q, kv, proj, idx }
    }

    fn pages(&self, table: usize) -> PageSpace {
        PageSpace { pages: PAGES, entries: PAGE, table }
    }

    pub(super) fn feed(&self, name: &str, feed: &Feed) -> Outputs {
        let (own, other, shared) = (self.inputs(name), self.inputs("neighbour"), self.constants(name));
        let (dtype, len) = self.format.row(self.head, self.rotary);
        let state = State {
            ring: Array::garbage(dtype, [SLOTS, RING, len]),
            open: Array::garbage(DType::F32, [SLOTS, RING, self.columns()]),
            pool: Array::garbage(dtype, [PAGES, PAGE, len]),
        };
        let (mut rows, mut first) = (Vec::new(), 0);
        for (step, &count) in feed.chunks.iter().enumerate() {
            // The neighbour decodes, one row a step, from position 0.
            let next_to = (feed.neighbour && step < LENGTH).then_some(step);
            let skip = next_to.iter().len() * self.heads * self.head;
            let beside = next_to.map(|first| Part { inputs: &other, first, count: 1 });
            let parts: Vec<_> = beside.into_iter().chain([Part { inputs: &own, first, count }]).collect();
            let o = self.step(feed, &state, &shared, &parts);
            rows.extend_from_slice(&o[skip..skip + count * self.heads * self.head]);
            first += count;
        }
        assert_eq!(first, LENGTH);
        Outputs { rows, pool: self.entries_of(&state) }
    }

    /// Entries that the sequence has completed.
    fn entries_of(&self, state: &State) -> Vec<Vec<f32>> {
        let stored = crate::ops::cache::stored::Stored::new(&state.pool.view(), self.format, self.head, self.rotary);
        let load = |j: usize| {
            let mut row = vec![0.0; self.head];
            // SAFETY: the page lies in the pool of this test.
            unsafe { stored.load(OWN[j / PAGE] as usize, j % PAGE, &mut row, crate::simd::kernels()) };
            row
        };
        (0..(LENGTH / self.ratio).min(OWN.len() * PAGE)).map(load).collect()
    }

    fn step(&self, feed: &Feed, state: &State, shared: &Constants, parts: &[Part<'_>]) -> Vec<f32> {
        let n = feed.rows + 1;
        let table = self.table(feed, parts);
        let rows = self.rows(n, parts);
        let f32s = |shape: &[usize], values: &[f32]| Array::floats(DType::F32, omnihal::Shape::new(shape), values);
        let rope = f32s(&[LENGTH, self.rotary], &shared.rope);
        let ape = f32s(&[self.ratio, self.columns()], &shared.ape);
        let (gain, sink) = (f32s(&[self.head], &shared.gain), f32s(&[self.heads], &shared.sink));
        let o = Array::garbage(self.act, [n, self.heads, self.head]);
        let views = [
            &rows.proj,
            &ape,
            &gain,
            &rope,
            &state.open,
            &state.pool,
            &table.pt,
            &table.toks,
            &table.seqs,
            &table.close,
        ];
        run(feed.threads, self.update(n, feed.table), &views.map(|a| Some(a.view())));
        let any = self.entries != Entries::None;
        let chosen = matches!(self.entries, Entries::Listed(_));
        let q = rows.q.view().split(1, self.heads, self.head).unwrap();
        let optional = [any.then(|| state.pool.view()), any.then(|| table.pt.view()), chosen.then(|| rows.idx.view())];
        let last = [&sink, &rope, &table.toks, &table.seqs, &o].map(|a| Some(a.view()));
        let first = [Some(q), Some(rows.kv.view()), Some(state.ring.view())];
        run(feed.threads, self.sparse(n, feed.table), &[&first[..], &optional[..], &last[..]].concat());
        let views = [&rows.kv, &state.ring, &table.toks, &table.seqs].map(|a| Some(a.view()));
        run(feed.threads, self.store(n), &views);
        o.values()
    }

    /// The step table of some parts, the sequence under test last.
    fn table(&self, feed: &Feed, parts: &[Part<'_>]) -> Table {
        let n = feed.rows + 1;
        let (ratio, overlap, window) = (self.ratio, self.overlap, self.window);
        let space = SpaceShape { ratio, overlap, closings: n + 2, table: feed.table, page_entries: PAGE, ring: RING };
        let spaces = vec![space];
        let shape = StepShape { rows: n, seqs: 3, wanted: 1, tile: 1, window, ring: RING, drafts: 0, spaces };
        let ids = [7; LENGTH];
        let pages: [[&[i32]; 1]; 2] = [[&OWN], [&OTHER]];
        let seqs: Vec<_> = parts
            .iter()
            .rev()
            .enumerate()
            .map(|(i, part)| Sequence {
                slot: 4 - i,
                first: part.first,
                ids: &ids[..part.count],
                pages: &pages[i],
                wanted: &[],
            })
            .rev()
            .collect();
        let mut table = StepColumns::new(StepLayout::new(shape, []).unwrap());
        table.build(&seqs).unwrap();
        let column = |column, rows: usize, width: usize| Array::indices([rows, width], table.column(column).unwrap());
        Table {
            toks: column(Column::Toks, n, 4),
            seqs: column(Column::Seqs, 3, 4),
            pt: column(Column::PageTable(ratio as u32), 3, feed.table),
            close: column(Column::Close(ratio as u32), n + 2, 2),
        }
    }

    /// Rows of the step, garbage where nothing is.
    fn rows(&self, n: usize, parts: &[Part<'_>]) -> Rows {
        let gather = |dtype, width: usize, of: fn(&Inputs) -> &[f32]| {
            let of_part = |part: &Part<'_>| of(part.inputs)[part.first * width..][..part.count * width].to_vec();
            let mut rows: Vec<f32> = parts.iter().flat_map(of_part).collect();
            rows.resize(n * width, f32::NAN);
            Array::floats(dtype, [n, width], &rows)
        };
        let listed = self.listed();
        let of_part = |part: &Part<'_>| part.inputs.idx[part.first * listed..][..part.count * listed].to_vec();
        let mut idx: Vec<i32> = parts.iter().flat_map(of_part).collect();
        idx.resize(n * listed, i32::MAX);
        Rows {
            q: gather(self.act, self.heads * self.head, |i| &i.q),
            kv: gather(self.act, self.head, |i| &i.kv),
            proj: gather(DType::F32, self.columns(), |i| &i.proj),
            idx: Array::indices([n, listed], &idx),
        }
    }

    fn store(&self, rows: usize) -> Store {
        Store {
            rows,
            seqs: 3,
            width: self.head,
            rotary: self.rotary,
            ring: RING,
            slots: SLOTS,
            format: self.format,
            act: self.act,
        }
    }

    fn update(&self, rows: usize, table: usize) -> Update {
        Update {
            rows,
            seqs: 3,
            closings: rows + 2,
            ratio: self.ratio,
            overlap: self.overlap,
            width: self.head,
            rotary: self.rotary,
            positions: LENGTH,
            ring: RING,
            slots: SLOTS,
            eps: EPS,
            hadamard: self.head.is_power_of_two(),
            quant: self.quant,
            pages: self.pages(table),
            format: self.format,
            weight: DType::F32,
            act: self.act,
        }
    }

    fn sparse(&self, rows: usize, table: usize) -> Sparse {
        Sparse {
            rows,
            seqs: 3,
            heads: self.heads,
            head: self.head,
            rotary: self.rotary,
            positions: LENGTH,
            window: self.window,
            scale: SCALE,
            entries: self.entries,
            ratio: self.ratio,
            pages: self.pages(table),
            ring: RING,
            slots: SLOTS,
            format: self.format,
            inverse: true,
            act: self.act,
        }
    }
}
