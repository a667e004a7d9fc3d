//! The best of a row, and choosing a token.

use super::product;
use crate::DType;

/// Sampling parameters of a row, in the order of `par`'s columns; the rest are reserved and 0.
pub const PARAMS: [&str; 5] = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty"];

super::operators! {
    /// The `keep` best of each row with their places. Ties: lowest place. A NaN ranks below every number.
    Core "sample.topk" TopK TopKArgs {
        /// Rows.
        rows: usize,
        /// Elements of a row.
        width: usize,
        /// Elements kept.
        keep: usize,
        /// Best means largest; otherwise smallest.
        largest: bool,
        /// Best first; otherwise in any order.
        sorted: bool,
    }
    require(d) {
        keep if d.keep <= d.width => "at most `width`";
    }
    args(d) {
        /// Values; rows may lie apart.
        read x = DType::F32, [d.rows, d.width];
        /// Best values.
        write values = DType::F32, [d.rows, d.keep];
        /// Their places.
        write idx = DType::I32, [d.rows, d.keep];
    }
    flops(d) = product([d.rows, d.width]);

    /// Chooses a token for each wanted row. Temperature 0: the largest logit, lowest id on ties, no penalty. Otherwise, in this order: repetition penalty
    /// (seen tokens: positive logits divided, negative multiplied), temperature, probabilities over the whole vocabulary, cut to the `candidates`
    /// best, top-k (below 1: off), top-p (1 and above: off), min-p, renormalise, first candidate whose cumulative sum exceeds `u`. Marks the token as seen and stores it in `last`.
    Fused "sample.pick" Pick PickArgs {
        /// Rows of logits.
        wanted: usize,
        /// Vocabulary.
        vocab: usize,
        /// Candidates kept before the cuts.
        candidates: usize,
        /// Rows of a step.
        rows: usize,
        /// State slots.
        slots: usize,
        /// Draft tokens kept beside the last one.
        drafts: usize,
        /// Count seen tokens for the repetition penalty.
        penalties: bool,
    }
    require(d) {
        candidates if d.candidates <= d.vocab => "at most `vocab`";
    }
    args(d) {
        /// Logits.
        read logits = DType::F32, [d.wanted, d.vocab];
        /// Parameters of each row, see [`PARAMS`].
        read par = DType::F32, [d.wanted, 8];
        /// Uniform numbers in 0..1, from a counter generator of the host.
        read u = DType::F32, [d.wanted];
        /// Step column `out`.
        read out = DType::I32, [d.wanted];
        /// Step column `toks`.
        read toks = DType::I32, [d.rows, 4];
        /// 1 where a slot has seen a token.
        update seen if (d.penalties) = DType::F32, [d.slots, d.vocab];
        /// Tokens sampled last, by slot.
        update last = DType::I32, [d.slots, d.drafts + 1];
        /// Chosen tokens.
        write tok = DType::I32, [d.wanted];
        /// Logarithm of the token's probability after temperature, before the cuts.
        write logprob = DType::F32, [d.wanted];
    }
    flops(d) = product([8, d.wanted, d.vocab]);
}
