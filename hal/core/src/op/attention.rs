//! Latent projections, queries, and attention over window and gathered entries (deepseek-v4.md 4).

use super::{PageSpace, RowQuant, product, row_len, row_type};
use crate::{DType, RowFormat};
use serde::{Deserialize, Serialize};

/// Which compressed entries a row attends to besides its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Entries {
    /// None: a window-only block.
    None,
    /// Those listed in `idx`, at most this many, ascending, -1 at the end.
    Listed(usize),
    /// All visible ones, up to the capacity of the page table.
    All,
}

super::operators! {
    /// Splits the joint projection `lat`: `qr = rms(lat[..q_lora])`, `kv = rope(rms(lat[q_lora..]))`, then the state rounding of `kv`.
    Fused "attention.latent" Latent LatentArgs {
        /// Rows of a step.
        rows: usize,
        /// Width of the query latent.
        q_lora: usize,
        /// Width of a key-value row.
        head: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Positions of the rope table.
        positions: usize,
        /// Epsilon of both norms.
        eps: f32,
        /// Rounding of kv.
        quant: RowQuant,
        /// Type of the norm weights.
        weight: DType,
        /// Activation type.
        act: DType,
    }
    require(d) {
        rotary if d.rotary % 2 == 0 && d.rotary <= d.head => "even and at most `head`";
        quant if d.quant != RowQuant::F8Nope || (d.head - d.rotary) % 64 == 0 => "a rounding whose group of 64 divides head - rotary";
        quant if d.quant != RowQuant::F4All => "no rounding or F8 on the channels without rope";
    }
    args(d) {
        /// Joint projection; rows may lie apart.
        read lat = d.act, [d.rows, d.q_lora + d.head];
        /// Gain of the query latent.
        read q_norm = d.weight, [d.q_lora];
        /// Gain of the key-value row.
        read kv_norm = d.weight, [d.head];
        /// Cosine and sine by position.
        read rope = DType::F32, [d.positions, d.rotary];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// Query latent.
        write qr = d.act, [d.rows, d.q_lora];
        /// Key-value rows of this step.
        write kv = d.act, [d.rows, d.head];
    }
    flops(d) = product([4, d.rows, d.q_lora]) + product([7, d.rows, d.head]);

    /// Norm of each head without a weight, then rope, in place.
    Fused "attention.query" Query QueryArgs {
        /// Rows of a step.
        rows: usize,
        /// Query heads.
        heads: usize,
        /// Width of a head.
        head: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Positions of the rope table.
        positions: usize,
        /// Epsilon of the norm.
        eps: f32,
        /// Activation type.
        act: DType,
    }
    require(d) {
        rotary if d.rotary % 2 == 0 && d.rotary <= d.head => "even and at most `head`";
    }
    args(d) {
        /// Queries; rows may lie apart.
        update q = d.act, [d.rows, d.heads, d.head];
        /// Cosine and sine by position.
        read rope = DType::F32, [d.positions, d.rotary];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
    }
    flops(d) = product([7, d.rows, d.heads, d.head]);

    /// Attention of each row over its window and its compressed entries, one key-value row for all heads, with one sink logit a head.
    /// Keys in order: positions `max(0, t-window+1)..=t` (from `kv` if in this step, else from the ring as it was), then the entries,
    /// ascending. Softmax includes the sink in its maximum and its sum; the sink contributes no value. When act is BF16, probabilities are
    /// rounded to BF16 before the value product, the denominator is not. With `inverse` the last channels of the result are rotated back
    /// by the query's position. Entries that are not visible (`j >= (t+1)/ratio`), repeated, or on absent pages count as absent.
    Fused "attention.sparse" Sparse SparseArgs {
        /// Rows of a step.
        rows: usize,
        /// Sequences of a step.
        seqs: usize,
        /// Query heads.
        heads: usize,
        /// Width of a head and of a key-value row.
        head: usize,
        /// Rotated channels at its end.
        rotary: usize,
        /// Positions of the rope table.
        positions: usize,
        /// Window length, the row itself included.
        window: usize,
        /// Factor of the logits.
        scale: f32,
        /// Which compressed entries.
        entries: Entries,
        /// Positions in a compressed entry.
        ratio: usize,
        /// Pages of the entry pool.
        pages: PageSpace,
        /// Rows of a window ring.
        ring: usize,
        /// State slots.
        slots: usize,
        /// Stored rows of ring and pool.
        format: RowFormat,
        /// Rotate the result back.
        inverse: bool,
        /// Activation type.
        act: DType,
    }
    require(d) {
        rotary if d.rotary % 2 == 0 && d.rotary <= d.head => "even and at most `head`";
        ring if d.ring >= d.window => "at least `window`";
        ratio if d.entries == Entries::None || d.ratio >= 2 => "at least 2";
    }
    args(d) {
        /// Queries; rows may lie apart.
        read q = d.act, [d.rows, d.heads, d.head];
        /// Key-value rows of this step.
        read kv = d.act, [d.rows, d.head];
        /// Window rings.
        read ring = row_type(d.format, d.head, d.rotary), [d.slots, d.ring, row_len(d.format, d.head, d.rotary)];
        /// Compressed entries.
        read pool if (d.entries != Entries::None) = row_type(d.format, d.head, d.rotary), [d.pages.pages, d.pages.entries, row_len(d.format, d.head, d.rotary)];
        /// Step column `pt` of the ratio.
        read pt if (d.entries != Entries::None) = DType::I32, [d.seqs, d.pages.table];
        /// Chosen entries.
        read idx if (matches!(d.entries, Entries::Listed(_))) = DType::I32, [d.rows, match d.entries { Entries::Listed(k) => k, _ => 1 }];
        /// Sink logit of each head.
        read sink = DType::F32, [d.heads];
        /// Cosine and sine by position.
        read rope = DType::F32, [d.positions, d.rotary];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// Step column `seqs`.
        read seqs = DType::I32, [d.seqs, 4];
        /// Attention output of each head.
        write o = d.act, [d.rows, d.heads, d.head];
    }
    flops(d) = product([4, d.rows, d.heads, d.head, d.window]) + product([4, d.rows, d.heads, d.head, match d.entries {
        Entries::None => 0,
        Entries::Listed(k) => k,
        Entries::All => d.pages.capacity(),
    }]);
}
