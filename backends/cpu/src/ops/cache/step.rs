//! The step table and page tables, as kernels read them.

use crate::ops::Tensor;
use omnihal::View;
use omnihal::op::PageSpace;

/// A row of the step that is not padding.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub pos: usize,
    pub slot: usize,
    pub seq: usize,
}

/// What a sequence brings to the step.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    /// Position of its first row.
    pub first: usize,
    /// Number of its first row.
    pub row: usize,
    /// Its rows.
    pub rows: usize,
}

impl Chunk {
    /// Position after its last row.
    pub(crate) fn end(&self) -> usize {
        self.first + self.rows
    }
}

/// Column `toks`.
#[derive(Clone, Copy)]
pub(crate) struct Tokens(Tensor);

impl Tokens {
    pub(crate) fn new(toks: &View) -> Tokens {
        Tokens(Tensor::new(toks))
    }

    /// A row; `None` for padding.
    ///
    /// # Safety
    /// The row must lie in the column.
    #[inline]
    pub(crate) unsafe fn get(&self, row: usize) -> Option<Token> {
        // SAFETY: passed on to the caller; a row has four words.
        let [pos, slot, seq] = [0, 1, 2].map(|i| unsafe { self.0.index(self.0.place(&[row, i])) });
        (pos >= 0 && slot >= 0 && seq >= 0).then_some(Token {
            pos: pos as usize,
            slot: slot as usize,
            seq: seq as usize,
        })
    }
}

/// Column `seqs`.
#[derive(Clone, Copy)]
pub(crate) struct Chunks(Tensor);

impl Chunks {
    pub(crate) fn new(seqs: &View) -> Chunks {
        Chunks(Tensor::new(seqs))
    }

    /// What a sequence brings.
    ///
    /// # Safety
    /// The sequence must lie in the column and not be padding.
    #[inline]
    pub(crate) unsafe fn get(&self, seq: usize) -> Chunk {
        // SAFETY: passed on to the caller; a row has four words.
        let [first, row, rows] = [1, 2, 3].map(|i| unsafe { self.0.index(self.0.place(&[seq, i])) } as usize);
        Chunk { first, row, rows }
    }

    /// The state slot of a sequence.
    ///
    /// # Safety
    /// The sequence must lie in the column and not be padding.
    #[inline]
    pub(crate) unsafe fn slot(&self, seq: usize) -> usize {
        // SAFETY: passed on to the caller.
        unsafe { self.0.index(self.0.place(&[seq, 0])) as usize }
    }
}

/// Page tables: where the entries of a sequence lie.
#[derive(Clone, Copy)]
pub(crate) struct Pages {
    table: Tensor,
    space: PageSpace,
}

impl Pages {
    pub(crate) fn new(pt: &View, space: PageSpace) -> Pages {
        Pages { table: Tensor::new(pt), space }
    }

    /// Page and row in it of an entry; `None` if the table has no page for it.
    ///
    /// # Safety
    /// The sequence must lie in the table.
    #[inline]
    pub(crate) unsafe fn find(&self, seq: usize, entry: usize) -> Option<(usize, usize)> {
        let at = entry / self.space.entries;
        if at >= self.space.table {
            return None;
        }
        // SAFETY: the page number was just checked, the sequence is the caller's promise.
        let page = unsafe { self.table.index(self.table.place(&[seq, at])) };
        // Page 0 is null: the table has nothing there.
        (page > 0 && (page as usize) < self.space.pages).then(|| (page as usize, entry % self.space.entries))
    }
}
