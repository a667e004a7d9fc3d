//! The lightning indexer: which compressed entries a row attends to (deepseek-v4.md 4.5).

use super::{PageSpace, RowQuant, product, row_len, row_type};
use crate::{DType, RowFormat};

super::operators! {
    /// Rope, then Hadamard and rounding if asked, of each indexer head, in place. No norm.
    Fused "indexer.query" Query QueryArgs {
        /// Rows of a step.
        rows: usize,
        /// Indexer heads.
        heads: usize,
        /// Width of a head.
        width: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Positions of the rope table.
        positions: usize,
        /// Multiply by the orthonormal Hadamard matrix after rope.
        hadamard: bool,
        /// Rounding.
        quant: RowQuant,
        /// Activation type.
        act: DType,
    }
    require(d) {
        rotary if d.rotary % 2 == 0 && d.rotary <= d.width => "even and at most `width`";
        hadamard if !d.hadamard || d.width.is_power_of_two() => "only for a width that is a power of two";
        quant if d.quant != RowQuant::F8Nope && (d.quant == RowQuant::None || d.width % 32 == 0) => "none, or F4 on a width of whole groups of 32";
    }
    args(d) {
        /// Indexer queries; rows may lie apart.
        update q = d.act, [d.rows, d.heads, d.width];
        /// Cosine and sine by position.
        read rope = DType::F32, [d.positions, d.rotary];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
    }
    flops(d) = product([3, d.rows, d.heads, d.rotary]);

    /// Scores every visible entry and keeps the best `keep`: `s(t, j) = (width * heads)^-1/2 * sum_h w_h * relu(q_h . k_j)`, f32, for `j < (pos+1)/ratio`.
    /// The result is ascending by entry, -1 at the end; with fewer visible entries, all of them. Ties: lowest entry. A NaN score ranks below every number.
    Fused "indexer.select" Select SelectArgs {
        /// Rows of a step.
        rows: usize,
        /// Sequences of a step.
        seqs: usize,
        /// Indexer heads.
        heads: usize,
        /// Width of a head and of a key.
        width: usize,
        /// Rotated channels, as the stored key's format needs them.
        rotary: usize,
        /// Entries kept.
        keep: usize,
        /// Positions in an entry.
        ratio: usize,
        /// Pages of the key pool.
        pages: PageSpace,
        /// Stored rows of the pool.
        format: RowFormat,
        /// Activation type.
        act: DType,
        /// Give the scores of the kept entries too.
        with_scores: bool,
    }
    require(d) {
        ratio if d.ratio >= 2 => "at least 2";
        keep if d.keep <= d.pages.capacity() => "at most the entries that a page table can hold";
    }
    args(d) {
        /// Indexer queries; rows may lie apart.
        read q = d.act, [d.rows, d.heads, d.width];
        /// Head weights, before the factor `(width * heads)^-1/2`; rows may lie apart.
        read w = DType::F32, [d.rows, d.heads];
        /// Indexer keys.
        read pool = row_type(d.format, d.width, d.rotary), [d.pages.pages, d.pages.entries, row_len(d.format, d.width, d.rotary)];
        /// Step column `pt` of the ratio.
        read pt = DType::I32, [d.seqs, d.pages.table];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// Kept entries.
        write idx = DType::I32, [d.rows, d.keep];
        /// Their scores; unspecified where `idx` is -1.
        write scores if (d.with_scores) = DType::F32, [d.rows, d.keep];
    }
    flops(d) = product([2, d.rows, d.heads, d.width + 1, d.pages.capacity()]);
}
