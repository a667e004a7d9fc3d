//! The variants of family `compress`.

use crate::Variant;
use omnihal::OpKind::{self, CompressUpdate};

const OPS: &[OpKind] = &[CompressUpdate];

/// Why no input shows a kernel that forgets the strides of what it updates.
const GAPLESS: &str = "what this operator writes has no gaps: only its inputs may";

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("compress.backward_sums", OPS, "adds from the last term to the first"),
    Variant::honest("compress.pairwise_sums", OPS, "adds halves recursively"),
    Variant::honest("compress.sixteen_lanes", OPS, "adds in sixteen interleaved lanes"),
    Variant::honest("compress.fused_multiply_add", OPS, "adds products without rounding them"),
    Variant::honest("compress.fast_exponential", OPS, "takes exponentials from a polynomial"),
    Variant::honest("compress.reciprocals", OPS, "multiplies by the reciprocal of the denominator"),
    Variant::honest("compress.newton_roots", OPS, "refines a guess of the root by Newton's iteration"),
    Variant::honest("compress.online_softmax", OPS, "pools with a running maximum"),
    Variant::honest("compress.late_division", OPS, "divides the pooled sum, not the weights"),
    Variant::honest("compress.slots_backwards", OPS, "pools from the last slot to the first"),
    Variant::honest("compress.hadamard_by_rows", OPS, "multiplies by the Hadamard matrix row by row"),
    Variant::honest("compress.rounded_after_rope", OPS, "rounds entries between rope and what follows"),
    // Which rows.
    Variant::planted(
        "compress.halves_swapped",
        OPS,
        "pools the B-halves of the window before and the A-halves of its own",
    ),
    Variant::planted("compress.overlap_missing", OPS, "pools the entry's own window only"),
    Variant::planted("compress.window_one_early", OPS, "pools a window that begins one position early"),
    Variant::planted("compress.first_entry_pools_zeros", OPS, "counts the absent rows before entry 0 as zeros"),
    Variant::planted("compress.first_entry_pools_stale_rows", OPS, "takes stale ring rows for those before entry 0"),
    Variant::planted("compress.state_written_first", OPS, "overwrites ring rows that a closing of the same step reads"),
    Variant::planted(
        "compress.step_read_from_state",
        OPS,
        "reads rows of this step from the state, where they are not yet",
    ),
    Variant::planted("compress.history_from_neighbour_rows", OPS, "takes the rows before a chunk for its history"),
    Variant::planted(
        "compress.one_closing_a_sequence",
        OPS,
        "loses the second entry that a sequence completes in a step",
    ),
    Variant::planted("compress.closings_of_one_sequence", OPS, "has room for the closings of one sequence only"),
    Variant::planted("compress.proj_stride_ignored", OPS, "reads projections as if their rows had no gaps"),
    Variant::planted("compress.bias_stride_ignored", OPS, "reads the position bias as if its rows had no gaps"),
    Variant::equivalent("compress.state_stride_ignored", OPS, "takes rings to have no gaps", GAPLESS),
    // Bias, gate and pooling.
    Variant::planted("compress.bias_added_again", OPS, "adds the position bias to kept rows, which have it already"),
    Variant::planted("compress.bias_by_row", OPS, "takes the position bias by row, not by position"),
    Variant::planted("compress.bias_not_kept", OPS, "keeps rows without their position bias"),
    Variant::planted("compress.gate_and_value_swapped", OPS, "takes the first columns for gates"),
    Variant::planted("compress.gate_of_first_channel", OPS, "uses one gate for all channels"),
    Variant::planted("compress.softmax_without_maximum", OPS, "takes exponentials of unshifted gates"),
    Variant::planted("compress.mean_of_values", OPS, "takes the mean where a weighted sum is due"),
    Variant::planted("compress.channel_tail_skipped", OPS, "leaves out the channels after whole tiles of 64"),
    Variant::planted("compress.bf16_accumulator", OPS, "keeps partial sums in BF16"),
    Variant::planted("compress.order_depends_on_rows", OPS, "splits sums where there are several rows, but claims D2"),
    // From the pooled value to the entry.
    Variant::planted("compress.pooled_not_rounded", OPS, "normalises the pooled value before it is rounded"),
    Variant::planted("compress.epsilon_missing", OPS, "leaves epsilon out: an entry of zeros becomes NaN"),
    Variant::planted("compress.norm_missing", OPS, "applies the gain without the norm"),
    Variant::planted("compress.rope_half_split", OPS, "pairs channel k with channel k + rotary/2"),
    Variant::planted("compress.rope_sign", OPS, "rotates the other way"),
    Variant::planted("compress.rope_on_first_channels", OPS, "rotates the first channels, not the last"),
    Variant::planted("compress.rope_at_last_position", OPS, "rotates by the window's last position"),
    Variant::planted("compress.rope_at_entry_number", OPS, "rotates by the number of the entry"),
    Variant::planted("compress.rope_at_chunk_start", OPS, "rotates by the first position of the step"),
    Variant::planted("compress.hadamard_missing", OPS, "leaves the Hadamard product out"),
    Variant::planted("compress.hadamard_not_scaled", OPS, "forgets the factor of the Hadamard matrix"),
    Variant::planted("compress.hadamard_before_rope", OPS, "multiplies by the Hadamard matrix before rope"),
    Variant::planted("compress.rounded_before_hadamard", OPS, "rounds to codes before the Hadamard product"),
    Variant::planted("compress.codes_truncated", OPS, "cuts codes towards zero"),
    Variant::planted("compress.code_ties_away", OPS, "rounds ties of codes away from zero"),
    Variant::planted("compress.subnormal_codes_flushed", OPS, "has no codes below the smallest normal one"),
    Variant::planted("compress.scale_rounded_down", OPS, "takes the power of two below as scale"),
    Variant::planted("compress.scale_of_neighbour_group", OPS, "takes the scale of the group before"),
    Variant::planted("compress.one_scale_a_row", OPS, "shares one F4 scale among all channels"),
    Variant::planted("compress.rope_channels_rounded_too", OPS, "rounds rotated channels to F8 as well"),
    Variant::planted("compress.rope_channels_not_rounded", OPS, "leaves rotated channels out of the F4 rounding"),
    // Where it is stored.
    Variant::planted("compress.table_of_first_sequence", OPS, "uses the page table of sequence 0 for all"),
    Variant::planted("compress.pages_taken_as_adjacent", OPS, "follows the page table for its first page only"),
    Variant::planted("compress.absent_page_written", OPS, "writes entries of absent pages into the null page"),
    Variant::planted("compress.page_border_lost", OPS, "loses an entry that is the first of a page"),
    Variant::equivalent("compress.pool_stride_ignored", OPS, "takes pages to have no gaps", GAPLESS),
    Variant::planted("compress.first_scale_for_all_groups", OPS, "packs all groups of a row with the first scale"),
    Variant::planted("compress.nibbles_swapped", OPS, "packs the even column into the high nibble"),
    Variant::planted("compress.packed_scales_misplaced", OPS, "packs scales before the rotated channels"),
    Variant::planted("compress.stored_rows_truncated", OPS, "cuts stored numbers to BF16"),
    Variant::planted("compress.padding_kept_in_slot_zero", OPS, "keeps padding rows in the null slot"),
    Variant::planted("compress.slot_of_sequence_number", OPS, "takes a sequence's number for its slot"),
    Variant::planted("compress.ring_wraps_at_ratio", OPS, "addresses the ring modulo the pooled rows"),
    Variant::planted("compress.state_rows_in_any_order", OPS, "lets an early row of a chunk overwrite a later one"),
    Variant::planted("compress.state_kept_in_bf16", OPS, "keeps rows with the bits of BF16 only"),
];
