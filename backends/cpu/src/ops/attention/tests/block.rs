//! A block's state and attention, fed in chunks, and the same in f64 over the whole history.

use crate::ops::attention::row;
use crate::ops::cache::testing::{Array, Seed, rounded, run};
use omnihal::op::attention::{Entries, Sparse};
use omnihal::op::cache::Store;
use omnihal::op::compress::{Update, halves};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{Column, DType, RowFormat, Sequence, SpaceShape, StepColumns, StepLayout, StepShape};

pub(super) const LENGTH: usize = 23;
const PAGES: usize = 14;
const PAGE: usize = 3;
const SLOTS: usize = 5;
const RING: usize = 34;
const EPS: f32 = 1e-6;
const SCALE: f32 = 0.3;
/// Pages of the sequence under test and of its neighbour.
const OWN: [i32; 4] = [9, 3, 12, 5];
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
struct Inputs {
    q: Vec<f32>,
    kv: Vec<f32>,
    proj: Vec<f32>,
    idx: Vec<i32>,
}

/// What all rows share.
struct Constants {
    ape: Vec<f32>,
    gain: Vec<f32>,
    sink: Vec<f32>,
    rope: Vec<f32>,
}

/// The arrays that live from step to step.
struct State {
    ring: Array,
    open: Array,
    pool: Array,
}

impl Block {
    fn columns(&self) -> usize {
        halves(self.overlap) * 2 * self.head
    }

    fn listed(&self) -> usize {
        if let Entries::Listed(keep) = self.entries { keep } else { 1 }
    }

    fn constants(&self, name: &str) -> Constants {
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

    fn inputs(&self, name: &str) -> Inputs {
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
            let o = self.step(feed, &state, &shared, (&own, first, count), next_to.map(|p| (&other, p, 1)));
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

    fn step(
        &self,
        feed: &Feed,
        state: &State,
        shared: &Constants,
        own: (&Inputs, usize, usize),
        other: Option<(&Inputs, usize, usize)>,
    ) -> Vec<f32> {
        let n = feed.rows + 1;
        let space = SpaceShape {
            ratio: self.ratio,
            overlap: self.overlap,
            closings: n + 2,
            table: feed.table,
            page_entries: PAGE,
            ring: RING,
        };
        let shape = StepShape {
            rows: n,
            seqs: 3,
            wanted: 1,
            tile: 1,
            window: self.window,
            ring: RING,
            drafts: 0,
            spaces: vec![space],
        };
        let ids = [7; LENGTH];
        let sequence = |slot, part: (&Inputs, usize, usize), pages| Sequence {
            slot,
            first: part.1,
            ids: &ids[..part.2],
            pages,
            wanted: &[],
        };
        let (mine, theirs): ([&[i32]; 1], [&[i32]; 1]) = ([&OWN], [&OTHER]);
        let parts: Vec<_> = other.into_iter().chain([own]).collect();
        let mut seqs: Vec<_> = other.map(|part| sequence(3, part, &theirs[..])).into_iter().collect();
        seqs.push(sequence(4, own, &mine[..]));
        let mut table = StepColumns::new(StepLayout::new(shape, []).unwrap());
        table.build(&seqs).unwrap();
        let column =
            |column, shape: &[usize]| Array::indices(omnihal::Shape::new(shape), table.column(column).unwrap());
        let ratio = self.ratio as u32;
        let (toks, seqs) = (column(Column::Toks, &[n, 4]), column(Column::Seqs, &[3, 4]));
        let (pt, close) =
            (column(Column::PageTable(ratio), &[3, feed.table]), column(Column::Close(ratio), &[n + 2, 2]));
        // Rows of the step, garbage where nothing is.
        let gather = |dtype, width: usize, of: &dyn Fn(&Inputs) -> Vec<f32>| {
            let mut rows: Vec<f32> = parts
                .iter()
                .flat_map(|(inputs, first, count)| of(inputs)[first * width..(first + count) * width].to_vec())
                .collect();
            rows.resize(n * width, f32::NAN);
            Array::floats(dtype, [n, width], &rows)
        };
        let q = gather(self.act, self.heads * self.head, &|i| i.q.clone());
        let kv = gather(self.act, self.head, &|i| i.kv.clone());
        let proj = gather(DType::F32, self.columns(), &|i| i.proj.clone());
        let listed = self.listed();
        let mut idx: Vec<i32> = parts
            .iter()
            .flat_map(|(i, first, count)| i.idx[first * listed..(first + count) * listed].to_vec())
            .collect();
        idx.resize(n * listed, i32::MAX);
        let idx = Array::indices([n, listed], &idx);
        let f32s = |shape: &[usize], values: &[f32]| Array::floats(DType::F32, omnihal::Shape::new(shape), values);
        let rope = f32s(&[LENGTH, self.rotary], &shared.rope);
        let ape = f32s(&[self.ratio, self.columns()], &shared.ape);
        let gain = f32s(&[self.head], &shared.gain);
        let sink = f32s(&[self.heads], &shared.sink);
        let o = Array::garbage(self.act, [n, self.heads, self.head]);
        let update = self.update(n, feed.table);
        run(
            feed.threads,
            update,
            &[
                proj.view(),
                ape.view(),
                gain.view(),
                rope.view(),
                state.open.view(),
                state.pool.view(),
                pt.view(),
                toks.view(),
                seqs.view(),
                close.view(),
            ]
            .map(Some),
        );
        let q = q.view().split(1, self.heads, self.head).unwrap();
        let any = self.entries != Entries::None;
        let chosen = matches!(self.entries, Entries::Listed(_));
        run(
            feed.threads,
            self.sparse(n, feed.table),
            &[
                Some(q),
                Some(kv.view()),
                Some(state.ring.view()),
                any.then(|| state.pool.view()),
                any.then(|| pt.view()),
                chosen.then(|| idx.view()),
                Some(sink.view()),
                Some(rope.view()),
                Some(toks.view()),
                Some(seqs.view()),
                Some(o.view()),
            ],
        );
        let store = Store {
            rows: n,
            seqs: 3,
            width: self.head,
            rotary: self.rotary,
            ring: RING,
            slots: SLOTS,
            format: self.format,
            act: self.act,
        };
        run(feed.threads, store, &[kv.view(), state.ring.view(), toks.view(), seqs.view()].map(Some));
        o.values()
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

    /// The outputs of all rows, in f64 over the whole history.
    pub(super) fn expected(&self, name: &str) -> Vec<f64> {
        let (inputs, shared) = (self.inputs(name), self.constants(name));
        let entries: Vec<Vec<f64>> = (0..LENGTH / self.ratio).map(|j| self.entry(j, &inputs, &shared)).collect();
        (0..LENGTH)
            .flat_map(|t| {
                let keys = self.keys(t, &inputs, &entries);
                (0..self.heads).flat_map(move |h| self.attend(t, h, &keys, name)).collect::<Vec<_>>()
            })
            .collect()
    }

    fn rotated(&self, x: &mut [f64], position: usize, inverse: bool, shared: &Constants) {
        let from = x.len() - self.rotary;
        for k in 0..self.rotary / 2 {
            let c = shared.rope[position * self.rotary + 2 * k] as f64;
            let s = shared.rope[position * self.rotary + 2 * k + 1] as f64 * if inverse { -1.0 } else { 1.0 };
            let (a, b) = (x[from + 2 * k], x[from + 2 * k + 1]);
            (x[from + 2 * k], x[from + 2 * k + 1]) = (a * c - b * s, a * s + b * c);
        }
    }

    fn entry(&self, j: usize, inputs: &Inputs, shared: &Constants) -> Vec<f64> {
        let (m, w) = (self.ratio, self.head);
        let at =
            |p: usize, c: usize| (inputs.proj[p * self.columns() + c] + shared.ape[p % m * self.columns() + c]) as f64;
        let mut slots = Vec::new();
        if self.overlap && j > 0 {
            slots.extend(((j - 1) * m..j * m).map(|p| (p, 0)));
        }
        slots.extend((j * m..(j + 1) * m).map(|p| (p, if self.overlap { 2 * w } else { 0 })));
        let mut e: Vec<f64> = (0..w)
            .map(|c| {
                let gates: Vec<f64> = slots.iter().map(|&(p, half)| at(p, half + w + c).exp()).collect();
                let sum: f64 = gates.iter().sum();
                gates.iter().zip(&slots).map(|(g, &(p, half))| g / sum * at(p, half + c)).sum()
            })
            .map(|e: f64| rounded(self.act, e))
            .collect();
        let factor = 1.0 / (e.iter().map(|v| v * v).sum::<f64>() / w as f64 + EPS as f64).sqrt();
        e.iter_mut().zip(&shared.gain).for_each(|(v, g)| *v = rounded(self.act, *v * factor * *g as f64));
        self.rotated(&mut e, j * m, false, shared);
        e.iter_mut().for_each(|v| *v = rounded(self.act, *v));
        if w.is_power_of_two() {
            let before = e.clone();
            for (i, v) in e.iter_mut().enumerate() {
                let sign = |k: usize| if (i & k).count_ones() % 2 == 0 { 1.0 } else { -1.0 };
                *v = before.iter().enumerate().map(|(k, b)| sign(k) * b).sum::<f64>() / (w as f64).sqrt();
            }
        }
        let mut e: Vec<f32> = e.iter().map(|&v| v as f32).collect();
        row::quantise(self.quant, self.rotary, &mut e);
        e.iter().map(|&v| v as f64).collect()
    }

    fn keys(&self, t: usize, inputs: &Inputs, entries: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let window = (t + 1).saturating_sub(self.window)..t + 1;
        let mut keys: Vec<Vec<f64>> =
            window.map(|p| inputs.kv[p * self.head..(p + 1) * self.head].iter().map(|&v| v as f64).collect()).collect();
        let visible = ((t + 1) / self.ratio).min(OWN.len() * PAGE);
        let mut chosen: Vec<usize> = match self.entries {
            Entries::None => Vec::new(),
            Entries::All => (0..visible).collect(),
            Entries::Listed(k) => {
                let list = inputs.idx[t * k..(t + 1) * k].iter();
                list.filter_map(|&j| usize::try_from(j).ok()).filter(|&j| j < visible).collect()
            }
        };
        chosen.dedup();
        keys.extend(chosen.into_iter().map(|j| entries[j].clone()));
        keys
    }

    fn attend(&self, t: usize, h: usize, keys: &[Vec<f64>], name: &str) -> Vec<f64> {
        let (inputs, shared) = (self.inputs(name), self.constants(name));
        let q = &inputs.q[(t * self.heads + h) * self.head..][..self.head];
        let p: Vec<f64> = keys
            .iter()
            .map(|k| (k.iter().zip(q).map(|(k, &q)| k * q as f64).sum::<f64>() * SCALE as f64).exp())
            .collect();
        let sum = p.iter().sum::<f64>() + (shared.sink[h] as f64).exp();
        let mut o = vec![0.0; self.head];
        for (p, key) in p.iter().zip(keys) {
            let p = rounded(self.act, p / sum);
            o.iter_mut().zip(key).for_each(|(o, k)| *o += p * k);
        }
        self.rotated(&mut o, t, true, &shared);
        o
    }
}
