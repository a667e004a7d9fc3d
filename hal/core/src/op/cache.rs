//! State rows: addressing, storing, copying (op-catalogue.md 5).

use super::{row_len, row_type};
use crate::{DType, RowFormat};

super::operators! {
    /// Pool rows of entries: `phys = pt[which, j / entries] * entries + j mod entries`; an absent entry (negative or past the table) gives 0, the null row. Exact.
    Core "cache.rows" Rows RowsArgs {
        /// Rows of `j`.
        rows: usize,
        /// Entries in a row.
        count: usize,
        /// Page tables.
        tables: usize,
        /// Pages in a table.
        table: usize,
        /// Entries in a page.
        entries: usize,
    }
    args(d) {
        /// Page tables.
        read pt = DType::I32, [d.tables, d.table];
        /// Page table of each row.
        read which = DType::I32, [d.rows];
        /// Entries.
        read j = DType::I32, [d.rows, d.count];
        /// Pool rows.
        write phys = DType::I32, [d.rows, d.count];
    }
    flops(_d) = 0.0;

    /// Stores the step's key-value rows: `ring[slot, pos mod ring] = kv[t]`, only the last `ring` rows of a sequence. Always after attention, never before.
    Fused "cache.store" Store StoreArgs {
        /// Rows of a step.
        rows: usize,
        /// Sequences of a step.
        seqs: usize,
        /// Channels of a row.
        width: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Rows of a ring.
        ring: usize,
        /// State slots.
        slots: usize,
        /// Stored rows.
        format: RowFormat,
        /// Type of kv.
        act: DType,
    }
    args(d) {
        /// Rows of this step.
        read kv = d.act, [d.rows, d.width];
        /// Window rings.
        update ring = row_type(d.format, d.width, d.rotary), [d.slots, d.ring, row_len(d.format, d.width, d.rotary)];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// Step column `seqs`.
        read seqs = DType::I32, [d.seqs, 4];
    }
    flops(_d) = 0.0;

    /// `t[to[i]] = t[from[i]]`; the two sets are disjoint, a negative index skips. Forks and snapshots, of slots and of pages.
    Fused "cache.copy_rows" CopyRows CopyRowsArgs {
        /// Rows of the tensor.
        rows: usize,
        /// Elements of a row.
        width: usize,
        /// Copies.
        count: usize,
        /// Element type.
        dtype: DType,
    }
    args(d) {
        /// Tensor, a slot or page a row.
        update t = d.dtype, [d.rows, d.width];
        /// Rows to read.
        read from = DType::I32, [d.count];
        /// Rows to write.
        read to = DType::I32, [d.count];
    }
    flops(_d) = 0.0;
}
