//! The step table as the fused kernels read it (op-catalogue.md 1.2, 1.3).

use crate::tensor::ints;
use omnihal::View;
use omnihal::op::PageSpace;

/// A row that is not padding.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// Position in its sequence.
    pub pos: usize,
    /// State slot.
    pub slot: usize,
    /// Sequence of the step.
    pub seq: usize,
}

/// The rows of column `toks`, `None` for padding.
pub fn tokens(view: &View) -> Vec<Option<Token>> {
    let row = |t: &[i32]| match (usize::try_from(t[0]), usize::try_from(t[1]), usize::try_from(t[2])) {
        (Ok(pos), Ok(slot), Ok(seq)) => Some(Token { pos, slot, seq }),
        _ => None,
    };
    ints(view).chunks_exact(4).map(row).collect()
}

/// A sequence of the step.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    /// State slot.
    pub slot: usize,
    /// Position of its first token in this step.
    pub first: usize,
    /// Row of that token.
    pub row: usize,
    /// Its rows.
    pub rows: usize,
}

/// The rows of column `seqs`, `None` for padding.
pub fn sequences(view: &View) -> Vec<Option<Sequence>> {
    let row = |s: &[i32]| {
        let at = |i: usize| usize::try_from(s[i]).ok();
        Some(Sequence { slot: at(0)?, first: at(1)?, row: at(2)?, rows: at(3)? })
    };
    ints(view).chunks_exact(4).map(row).collect()
}

/// Where the row of a position lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this row of the step.
    Step(usize),
    /// In this row of the rings, slots joined.
    Ring(usize),
}

impl Sequence {
    /// Where the row of a position lies, with the rings as they were before the step. `None` past the end of the step.
    pub fn source(&self, pos: usize, ring: usize) -> Option<Source> {
        if pos < self.first {
            return Some(Source::Ring(self.slot * ring + pos % ring));
        }
        (pos - self.first < self.rows).then(|| Source::Step(self.row + pos - self.first))
    }

    /// True for a position of this step whose ring row no later one of the step overwrites.
    pub fn stays(&self, pos: usize, ring: usize) -> bool {
        pos + ring >= self.first + self.rows
    }
}

/// The page tables of a step.
pub struct Pages {
    /// Pages of the pool.
    pub space: PageSpace,
    table: Vec<i32>,
}

impl Pages {
    /// From column `pt`.
    pub fn new(space: PageSpace, pt: &View) -> Pages {
        Pages { space, table: ints(pt) }
    }

    /// Page number `i` of a sequence as the table has it.
    pub fn page(&self, seq: usize, i: usize) -> Option<i32> {
        if i >= self.space.table {
            return None;
        }
        self.table.get(seq * self.space.table + i).copied()
    }

    /// Pool row of an entry. Pages 0 and 1 are reserved: an entry there is absent.
    pub fn row(&self, seq: usize, entry: usize) -> Option<usize> {
        let page = self.page(seq, entry / self.space.entries)?;
        let page = usize::try_from(page).ok().filter(|&p| p >= 2 && p < self.space.pages)?;
        Some(page * self.space.entries + entry % self.space.entries)
    }
}
