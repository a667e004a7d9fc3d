//! The steps that cases take part in: which sequences, where they stand, and in which geometry of state.

use omnihal::op::PageSpace;
use omnihal::{Sequence, SpaceShape, StepColumns, StepLayout, StepShape};

/// Sizes of the state that a step reads and writes.
#[derive(Debug, PartialEq)]
pub struct Geometry {
    /// Window length.
    pub window: usize,
    /// Rows of a window ring.
    pub ring: usize,
    /// State slots, null and trash included.
    pub slots: usize,
    /// Rows of the rope table.
    pub positions: usize,
    /// Pages of each pool.
    pub pages: PageSpace,
    /// Compression ratio, overlap, rows of the open-window ring.
    pub spaces: &'static [(usize, bool, usize)],
}

/// Small: every border is met within a few positions.
pub static SMALL: Geometry = Geometry {
    window: 4,
    ring: 12,
    slots: 7,
    positions: 64,
    pages: PageSpace { pages: 24, entries: 4, table: 4 },
    spaces: &[(4, true, 16), (8, false, 16)],
};

/// The window and ratios of the released models (deepseek-v4.md 1), with few pages. Open-window rings hold the rows that a closing reads, and 8 of slack.
pub static RELEASED: Geometry = Geometry {
    window: 128,
    ring: 144,
    slots: 4,
    positions: 640,
    pages: PageSpace { pages: 12, entries: 32, table: 5 },
    spaces: &[(4, true, 16), (128, false, 136)],
};

/// One sequence of a step: its slot, the position of its first row, its rows.
#[derive(Debug, PartialEq)]
pub struct Member {
    /// State slot.
    pub slot: usize,
    /// Position of its first row.
    pub first: usize,
    /// Rows.
    pub len: usize,
}

/// A step.
#[derive(Debug, PartialEq)]
pub struct Batch {
    /// Its name in a case's.
    pub name: &'static str,
    /// State sizes.
    pub geometry: &'static Geometry,
    /// Capacity in rows: what is not used is padding.
    pub rows: usize,
    /// Capacity in sequences.
    pub seqs: usize,
    /// Capacity in wanted rows.
    pub wanted: usize,
    /// The sequences.
    pub members: &'static [Member],
}

const fn member(slot: usize, first: usize, len: usize) -> Member {
    Member { slot, first, len }
}

macro_rules! batches {
    ($($(#[doc = $doc:literal])+ $NAME:ident = $name:literal, $geometry:ident, $rows:literal x $seqs:literal wanted $wanted:literal, [$(($slot:literal, $first:literal, $len:literal)),*];)*) => {
        $($(#[doc = $doc])+ pub static $NAME: Batch = Batch {
            name: $name, geometry: &$geometry, rows: $rows, seqs: $seqs, wanted: $wanted, members: &[$(member($slot, $first, $len)),*],
        };)*
        /// Every step.
        pub static ALL: &[&Batch] = &[$(&$NAME),*];
    };
}

batches! {
    /// A decoding sequence, a chunk that closes windows of both ratios, a fresh sequence, a row of padding.
    MIXED = "mixed", SMALL, 6 x 3 wanted 3, [(2, 9, 1), (3, 13, 3), (4, 0, 1)];
    /// Four sequences that decode: before, on and after the borders of windows and pages. Slots out of order.
    DECODE = "decode", SMALL, 5 x 5 wanted 5, [(5, 3, 1), (2, 15, 1), (6, 16, 1), (3, 62, 1)];
    /// One chunk over several windows, longer than the ring's slack: only its last rows stay in the ring.
    CHUNK = "chunk", SMALL, 14 x 1 wanted 2, [(4, 2, 14)];
    /// Chunks that end on the last entry of a page and start on the first of the next.
    BORDER = "border", SMALL, 8 x 2 wanted 2, [(3, 14, 3), (5, 28, 5)];
    /// A chunk with history that is longer than either ring: it wraps over itself.
    WRAP = "wrap", SMALL, 21 x 1 wanted 1, [(3, 7, 20)];
    /// Chunks that close the first entry of a page.
    PAGE = "page", SMALL, 12 x 3 wanted 3, [(4, 17, 4), (2, 38, 3), (6, 34, 3)];
    /// Prompts from the start: no history at all.
    FRESH = "fresh", SMALL, 9 x 3 wanted 3, [(6, 0, 3), (2, 0, 4), (3, 0, 1)];
    /// One row among padding.
    ALONE = "alone", SMALL, 3 x 2 wanted 2, [(4, 7, 1)];
    /// Nothing but padding, in the capacities of `ALONE`: what it leaves alone says something only of a device that can run that one.
    EMPTY = "empty", SMALL, 3 x 2 wanted 2, [];
    /// Decoding with the released window and ratios, one sequence past a page of entries.
    RELEASED_DECODE = "released-decode", RELEASED, 3 x 3 wanted 3, [(2, 255, 1), (3, 600, 1)];
    /// A chunk with the released window and ratios.
    RELEASED_CHUNK = "released-chunk", RELEASED, 4 x 1 wanted 1, [(3, 382, 4)];
}

/// What a case makes of its step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Twist {
    /// The last page of the last sequence is not there: its entries count as absent, and nothing is written to it.
    pub absent_page: bool,
    /// Every other row has an id of the device's own tokens: the last one, or one of so many drafts.
    pub own_tokens: Option<usize>,
}

impl Batch {
    /// The step's capacities.
    pub fn shape(&self) -> StepShape {
        let space = |&(ratio, overlap, ring): &(usize, bool, usize)| SpaceShape {
            ratio,
            overlap,
            closings: SpaceShape::max_closings(ratio, self.rows, self.seqs),
            table: self.geometry.pages.table,
            page_entries: self.geometry.pages.entries,
            ring,
        };
        StepShape {
            rows: self.rows,
            seqs: self.seqs,
            wanted: self.wanted,
            tile: 1,
            window: self.geometry.window,
            ring: self.geometry.ring,
            drafts: 1,
            spaces: self.geometry.spaces.iter().map(space).collect(),
        }
    }

    /// The step table with all base columns and the given ones. `choose(n)` draws a number below `n`: which pages, which tokens.
    pub fn columns(
        &self,
        twist: Twist,
        derived: impl IntoIterator<Item = omnihal::Column>,
        mut choose: impl FnMut(usize) -> usize,
    ) -> omnihal::Result<StepColumns> {
        let shape = StepShape { drafts: twist.own_tokens.unwrap_or(1), ..self.shape() };
        let mut table = StepColumns::new(StepLayout::new(shape, derived)?);
        let mut pages: Vec<Vec<Vec<i32>>> =
            self.geometry.spaces.iter().map(|&(ratio, ..)| self.pages(ratio, &mut choose)).collect();
        let mut ids: Vec<Vec<i32>> =
            self.members.iter().map(|m| (0..m.len).map(|_| choose(7) as i32).collect()).collect();
        if twist.absent_page {
            for of_last in pages.iter_mut().filter_map(|space| space.last_mut()) {
                of_last.pop();
            }
        }
        if let Some(drafts) = twist.own_tokens {
            let own = ids.iter_mut().flatten().enumerate().filter(|(row, _)| row % 2 == 0);
            own.for_each(|(row, id)| *id = -1 - (row as i32 / 2) % (drafts as i32 + 1));
        }
        let last: Vec<[usize; 1]> = self.members.iter().map(|m| [m.len - 1]).collect();
        let of: Vec<Vec<&[i32]>> =
            (0..self.members.len()).map(|b| pages.iter().map(|space| space[b].as_slice()).collect()).collect();
        let sequences: Vec<Sequence<'_>> = self
            .members
            .iter()
            .enumerate()
            .map(|(b, m)| Sequence { slot: m.slot, first: m.first, ids: &ids[b], pages: &of[b], wanted: &last[b] })
            .collect();
        table.build(&sequences)?;
        Ok(table)
    }

    /// Pages of each member in the space of a ratio: distinct ones, in no order, as many as its entries need.
    fn pages(&self, ratio: usize, choose: &mut impl FnMut(usize) -> usize) -> Vec<Vec<i32>> {
        let space = self.geometry.pages;
        let mut free: Vec<i32> = (2..space.pages as i32).collect();
        let mut take = |m: &Member| {
            let entries = (m.first + m.len) / ratio;
            let count = entries.div_ceil(space.entries).max(1).min(space.table);
            (0..count).map(|_| free.swap_remove(choose(free.len()))).collect()
        };
        self.members.iter().map(&mut take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_fits_its_state_and_builds() {
        for batch in ALL {
            let rows: usize = batch.members.iter().map(|m| m.len).sum();
            assert!(rows <= batch.rows && batch.members.len() <= batch.seqs, "{}", batch.name);
            for m in batch.members {
                assert!(m.slot < batch.geometry.slots && m.first + m.len <= batch.geometry.positions, "{}", batch.name);
            }
            let mut n = 0;
            let choose = |below: usize| {
                n += 3;
                n % below
            };
            batch.columns(Twist::default(), [], choose).unwrap();
        }
    }
}
