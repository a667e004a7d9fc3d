//! Which keys a row of attention.sparse sees, and where they lie (deepseek-v4.md 4.2, op-catalogue.md 5.3).

use crate::Call;
use crate::rows::step::{self, Pages, Sequence, Source, Token};
use crate::rows::{Rows, numbers, strided, without_gaps};
use crate::tensor::ints;
use omnihal::View;
use omnihal::op::attention::{Entries, Sparse};

/// A key-value row. One that is masked must not count, whatever it holds.
pub struct Key {
    pub values: Vec<f32>,
    pub masked: bool,
}

pub struct Keys<'a> {
    call: &'a Call<'a>,
    d: &'a Sparse,
    kv: View,
    ring: Rows,
    pool: Option<(Rows, Pages)>,
    lists: Option<Vec<i32>>,
    sequences: Vec<Option<Sequence>>,
}

impl<'a> Keys<'a> {
    pub fn new(call: &'a Call<'a>, d: &'a Sparse) -> Keys<'a> {
        let rows = |i: usize, id: &str| Rows::new(strided(call, i, id), d.format, d.head, d.rotary).of(call);
        let pool = match (call.view(3), call.view(4)) {
            (Some(_), Some(pt)) => {
                let pt = if call.is("attention.table_stride_ignored") { without_gaps(pt) } else { *pt };
                Some((rows(3, "attention.pool_stride_ignored"), Pages::new(d.pages, &pt)))
            }
            _ => None,
        };
        Keys {
            call,
            d,
            kv: strided(call, 1, "attention.kv_stride_ignored"),
            ring: rows(2, "attention.ring_stride_ignored"),
            pool,
            lists: call.view(5).map(ints),
            sequences: step::sequences(call.arg(9)),
        }
    }

    /// The keys of a row, in order: its window, then its entries.
    pub fn of(&self, row: usize, token: &Token) -> Vec<Key> {
        let mut keys = self.window(row, token);
        keys.extend(self.entries(row, token));
        match () {
            () if self.call.is("attention.keys_backwards") => keys.reverse(),
            () if self.call.is("attention.key_tail_dropped") && keys.len() > 16 => {
                keys.truncate(keys.len() - keys.len() % 16);
            }
            () => (),
        }
        keys
    }

    fn window(&self, row: usize, token: &Token) -> Vec<Key> {
        let Some(Some(sequence)) = self.sequences.get(token.seq) else { return Vec::new() };
        let (call, pos) = (self.call, token.pos);
        let length = match () {
            () if call.is("attention.window_one_short") => self.d.window - 1,
            () if call.is("attention.window_one_long") => self.d.window + 1,
            () => self.d.window,
        };
        let missing = length.saturating_sub(pos + 1);
        let end = if call.is("attention.chunk_not_causal") { sequence.first + sequence.rows - 1 } else { pos };
        let mut keys = Vec::new();
        if call.is("attention.positions_before_zero") {
            // Position -1 is taken for the last row of the ring.
            let before = (1..=missing.min(self.d.ring)).rev();
            keys.extend(before.map(|back| sequence.slot * self.d.ring + self.d.ring - back).map(|r| self.old(r)));
        }
        keys.extend(((pos + 1).saturating_sub(length)..=end).map(|p| self.position(row, token, sequence, p)));
        keys
    }

    fn old(&self, row: usize) -> Key {
        Key { values: self.ring.read(row), masked: false }
    }

    fn position(&self, row: usize, token: &Token, sequence: &Sequence, pos: usize) -> Key {
        let (call, ring) = (self.call, self.d.ring);
        let in_step = |row: usize| Key { values: numbers(&self.kv, row), masked: false };
        match sequence.source(pos, ring) {
            Some(Source::Step(_)) if call.is("attention.step_read_from_ring") && pos != token.pos => {
                self.old(sequence.slot * ring + pos % ring)
            }
            Some(Source::Step(row)) => in_step(row),
            Some(Source::Ring(place)) => match () {
                () if call.is("attention.history_from_neighbour_rows") && row + pos >= token.pos => {
                    in_step(row + pos - token.pos)
                }
                () if call.is("attention.ring_wraps_at_window") => self.old(sequence.slot * ring + pos % self.d.window),
                () if call.is("attention.ring_of_sequence_number") => self.old(token.seq * ring + pos % ring),
                () => self.old(place),
            },
            None => Key { values: vec![0.0; self.d.head], masked: true },
        }
    }

    fn entries(&self, row: usize, token: &Token) -> Vec<Key> {
        let Some((pool, pages)) = &self.pool else { return Vec::new() };
        let (call, ratio) = (self.call, self.d.ratio);
        let seen = match () {
            () if call.is("attention.entry_visible_early") => token.pos / ratio + 1,
            () if call.is("attention.entry_visible_late") => token.pos / ratio,
            () if call.is("attention.visibility_of_chunk_end") => self.chunk_end(token) / ratio,
            () => (token.pos + 1) / ratio,
        };
        let visible = seen.min(self.d.pages.capacity());
        let mut keys = Vec::new();
        for j in self.chosen(row, visible) {
            if let Some(place) = self.place(pages, token, j) {
                keys.push(Key { values: pool.read(place), masked: false });
            }
        }
        if call.is("attention.masked_keys_multiplied") {
            let hidden = (visible..self.d.pages.capacity()).map(|j| pages.row(token.seq, j).unwrap_or(0));
            keys.extend(hidden.map(|place| Key { values: pool.read(place), masked: true }));
        }
        keys
    }

    fn chunk_end(&self, token: &Token) -> usize {
        self.sequences.get(token.seq).and_then(|s| *s).map_or(token.pos + 1, |s| s.first + s.rows)
    }

    /// The entries of a row: those of its list that are visible, each once, or all visible ones.
    fn chosen(&self, row: usize, visible: usize) -> Vec<usize> {
        let (Entries::Listed(count), Some(lists)) = (self.d.entries, &self.lists) else {
            return (0..visible).collect();
        };
        let mut chosen = Vec::new();
        for &j in &lists[row * count..(row + 1) * count] {
            let j = if self.call.is("attention.absent_entry_is_first") { j.max(0) } else { j };
            let Ok(j) = usize::try_from(j) else { continue };
            let shown = j < visible || (self.call.is("attention.list_trusted") && j < self.d.pages.capacity());
            if shown && (self.call.is("attention.repeated_entry_counts") || !chosen.contains(&j)) {
                chosen.push(j);
            }
        }
        chosen
    }

    fn place(&self, pages: &Pages, token: &Token, j: usize) -> Option<usize> {
        let (call, per_page) = (self.call, self.d.pages.entries);
        match () {
            () if call.is("attention.table_of_first_sequence") => pages.row(0, j),
            () if call.is("attention.pages_taken_as_adjacent") => {
                pages.row(token.seq, 0).map(|start| start + j).filter(|&r| r < self.d.pages.rows())
            }
            () if call.is("attention.absent_page_read") => Some(pages.row(token.seq, j).unwrap_or(j % per_page)),
            () if call.is("attention.page_of_16_entries") => {
                let page = usize::try_from(pages.page(token.seq, j / per_page)?).ok()?;
                Some(page * 16 + j % per_page).filter(|&r| r < self.d.pages.rows())
            }
            () => pages.row(token.seq, j),
        }
    }
}
