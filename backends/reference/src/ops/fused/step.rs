//! What the step table says: rows, sequences, pages (op-catalogue.md 1.2).

use crate::tensor::{Tensor, index, read};
use omnihal::op::PageSpace;
use omnihal::{Result, View};

/// A row that is not padding.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub pos: usize,
    pub slot: usize,
    pub seq: usize,
    /// Literal if not negative, else `-1-i`: the i-th token that the device sampled last.
    pub id: i32,
}

/// The rows of `toks`; `None` for padding, and for rows past the caller's hint.
pub fn tokens(toks: &View, hint: usize) -> Result<Vec<Option<Token>>> {
    let parse = |t: &[f64]| {
        let at = |c: usize| index(t[c], usize::MAX);
        Some(Token { pos: at(0)?, slot: at(1)?, seq: at(2)?, id: t[3] as i32 })
    };
    let table = read(toks)?;
    Ok(table.data.chunks(4).enumerate().map(|(row, t)| if row < hint { parse(t) } else { None }).collect())
}

/// Which rows are not padding.
pub fn live(tokens: &[Option<Token>]) -> Vec<bool> {
    tokens.iter().map(Option::is_some).collect()
}

/// A sequence of the step.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    pub slot: usize,
    /// Position of its first token in this step.
    pub first: usize,
    /// Row of that token.
    pub row: usize,
    pub rows: usize,
}

/// Where the row of a position is to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// In this row of the step.
    Step(usize),
    /// In this row of the rings, all slots joined.
    Ring(usize),
}

/// The rows of `seqs`; `None` for padding.
pub fn sequences(seqs: &View) -> Result<Vec<Option<Sequence>>> {
    let parse = |s: &[f64]| {
        let at = |c: usize| index(s[c], usize::MAX);
        Some(Sequence { slot: at(0)?, first: at(1)?, row: at(2)?, rows: at(3)? })
    };
    Ok(read(seqs)?.data.chunks(4).map(parse).collect())
}

impl Sequence {
    /// First position after this step.
    pub fn end(&self) -> usize {
        self.first + self.rows
    }

    /// Where a position's row lies before the step's own writes; `None` after the step's end.
    pub fn source(&self, pos: usize, ring: usize) -> Option<Source> {
        match pos.checked_sub(self.first) {
            Some(i) => (i < self.rows).then_some(Source::Step(self.row + i)),
            None => Some(Source::Ring(self.slot * ring + pos % ring)),
        }
    }

    /// Ring row that a position of this step ends up in; `None` if a later row of the step overwrites it.
    pub fn target(&self, pos: usize, ring: usize) -> Option<usize> {
        (pos + ring >= self.end()).then_some(self.slot * ring + pos % ring)
    }
}

/// The sequence of a row.
pub fn sequence_of(token: &Token, sequences: &[Option<Sequence>]) -> Option<Sequence> {
    sequences.get(token.seq).copied().flatten()
}

/// The page tables of a step.
pub struct Pages {
    space: PageSpace,
    table: Tensor,
}

/// Pages 0 and 1 are the null and the trash page: no entry lies there.
const RESERVED_PAGES: usize = 2;

impl Pages {
    pub fn new(space: PageSpace, pt: &View) -> Result<Pages> {
        Ok(Pages { space, table: read(pt)? })
    }

    /// Pool row of an entry; `None` if the table has no page for it.
    pub fn row(&self, seq: usize, entry: usize) -> Option<usize> {
        let page = *self.table.row(seq).get(entry / self.space.entries)?;
        let page = index(page, self.space.pages).filter(|&page| page >= RESERVED_PAGES)?;
        Some(page * self.space.entries + entry % self.space.entries)
    }

    /// Entries of `ratio` positions that a row at `pos` may see.
    pub fn visible(&self, pos: usize, ratio: usize) -> usize {
        ((pos + 1) / ratio).min(self.space.capacity())
    }
}
