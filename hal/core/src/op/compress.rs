//! Pooling of windows of positions into compressed entries (deepseek-v4.md 4.3, 4.4, 5).

use super::{PageSpace, RowQuant, product, row_len, row_type};
use crate::{DType, RowFormat};

super::operators! {
    /// Pools every window of `ratio` positions that closes in this step, and keeps the rows of windows still open.
    ///
    /// `row[t] = proj[t] + ape[pos mod ratio]`. A closing `(b, j)` pools the rows of positions `j*ratio .. (j+1)*ratio-1`; with `overlap` the
    /// A-halves of the `ratio` positions before come first (absent for j = 0) and the B-halves of its own positions follow. Per channel:
    /// `alpha = softmax(gate)` over the slots, `e = sum alpha * kv`. Then: round to act, norm, rope at position `j*ratio`, Hadamard if asked, state rounding, store at
    /// the pool row of entry j. Afterwards `state[slot, pos mod ring] = row[t]`. A position is read from `proj` if it is in this step, else
    /// from `state` as it was before. Entries on pages that the table does not have are dropped.
    ///
    /// Columns of a row, for each half: kv, then gate, `width` each.
    Fused "compress.update" Update UpdateArgs {
        /// Rows of a step.
        rows: usize,
        /// Sequences of a step.
        seqs: usize,
        /// Closings that a step can have.
        closings: usize,
        /// Positions in an entry.
        ratio: usize,
        /// Entries also pool the A-halves of the window before.
        overlap: bool,
        /// Channels of an entry.
        width: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Positions of the rope table.
        positions: usize,
        /// Rows of an open-window ring.
        ring: usize,
        /// State slots.
        slots: usize,
        /// Epsilon of the norm.
        eps: f32,
        /// Multiply by the orthonormal Hadamard matrix after rope.
        hadamard: bool,
        /// Rounding of an entry.
        quant: RowQuant,
        /// Pages of the pool.
        pages: PageSpace,
        /// Stored rows of the pool.
        format: RowFormat,
        /// Type of the norm weight.
        weight: DType,
        /// Type that the pooled value is rounded to before its norm.
        act: DType,
    }
    require(d) {
        ratio if d.ratio >= 2 => "at least 2";
        rotary if d.rotary % 2 == 0 && d.rotary <= d.width => "even and at most `width`";
        ring if d.ring >= halves(d.overlap) * d.ratio => "room for every row that a closing can read";
        hadamard if !d.hadamard || d.width.is_power_of_two() => "only for a width that is a power of two";
        quant if d.quant != RowQuant::F8Nope || (d.width - d.rotary) % 64 == 0 => "a rounding whose group of 64 divides width - rotary";
        quant if d.quant != RowQuant::F4All || d.width % 32 == 0 => "a rounding whose group of 32 divides width";
    }
    args(d) {
        /// Projections of the rows; rows may lie apart.
        read proj = DType::F32, [d.rows, halves(d.overlap) * 2 * d.width];
        /// Position bias in the gate columns, 0 in the kv columns.
        read ape = DType::F32, [d.ratio, halves(d.overlap) * 2 * d.width];
        /// Gain of the norm.
        read norm = d.weight, [d.width];
        /// Cosine and sine by position.
        read rope = DType::F32, [d.positions, d.rotary];
        /// Open windows.
        update state = DType::F32, [d.slots, d.ring, halves(d.overlap) * 2 * d.width];
        /// Compressed entries.
        update pool = row_type(d.format, d.width, d.rotary), [d.pages.pages, d.pages.entries, row_len(d.format, d.width, d.rotary)];
        /// Step column `pt` of the ratio.
        read pt = DType::I32, [d.seqs, d.pages.table];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// Step column `seqs`.
        read seqs = DType::I32, [d.seqs, 4];
        /// Step column `close` of the ratio.
        read close = DType::I32, [d.closings, 2];
    }
    flops(d) = product([6, d.closings, halves(d.overlap), d.ratio, d.width]);
}

/// Halves of a projection row: A for the next entry and B for its own, or one.
pub const fn halves(overlap: bool) -> usize {
    if overlap { 2 } else { 1 }
}
