//! Token ids and their embeddings.

use crate::DType;

super::operators! {
    /// `x[t, j] = table[ids[t]]` for each of `copies` identical streams (deepseek-v4.md 3).
    /// An id outside the table gives an unspecified row, never a fault: the host refuses such ids before.
    Core "embed.lookup" Lookup LookupArgs {
        /// Rows of a step.
        rows: usize,
        /// Rows of the table.
        vocab: usize,
        /// Hidden size.
        width: usize,
        /// Residual streams.
        copies: usize,
        /// Table type: F32 or BF16.
        table: DType,
        /// Activation type.
        act: DType,
    }
    args(d) {
        /// Embedding table.
        read table = d.table, [d.vocab, d.width];
        /// Token ids.
        read ids = DType::I32, [d.rows];
        /// Residual streams.
        write x = d.act, [d.rows, d.copies, d.width];
    }
    flops(_d) = 0.0;

    /// Token ids of a step: a literal id (>= 0), or `-1-i` for the i-th token that the device sampled last for the row's slot.
    /// Lets decoding go on before the host has read a token. Padding rows give 0.
    Fused "embed.ids" Ids IdsArgs {
        /// Rows of a step.
        rows: usize,
        /// State slots.
        slots: usize,
        /// Draft tokens kept beside the last one.
        drafts: usize,
    }
    args(d) {
        /// Step column `toks`: position, slot, sequence, id.
        read toks = DType::I32, [d.rows, 4];
        /// Tokens sampled last, by slot.
        read last = DType::I32, [d.slots, d.drafts + 1];
        /// Token ids.
        write ids = DType::I32, [d.rows];
    }
    flops(_d) = 0.0;
}
