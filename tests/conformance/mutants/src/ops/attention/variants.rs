//! The variants of family `attention`.

use crate::Variant;
use omnihal::OpKind::{self, AttentionLatent, AttentionQuery, AttentionSparse};

const LATENT: &[OpKind] = &[AttentionLatent];
const QUERY: &[OpKind] = &[AttentionQuery];
const SPARSE: &[OpKind] = &[AttentionSparse];
const READ_Q: &[OpKind] = &[AttentionQuery, AttentionSparse];
const NORMED: &[OpKind] = &[AttentionLatent, AttentionQuery];
const ALL: &[OpKind] = &[AttentionLatent, AttentionQuery, AttentionSparse];

/// Why no input shows a kernel that forgets the strides of state or of the step table.
const OWNED: &str = "rings, pools and step columns are the engine's own, which lays them out without gaps";

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("attention.backward_sums", ALL, "adds from the last term to the first"),
    Variant::honest("attention.pairwise_sums", ALL, "adds halves recursively"),
    Variant::honest("attention.sixteen_lanes", ALL, "adds in sixteen interleaved lanes"),
    Variant::honest("attention.fused_multiply_add", ALL, "adds products without rounding them"),
    Variant::honest("attention.split_sums", ALL, "adds four parts of a sum on their own"),
    Variant::honest("attention.split_sums_by_rows", ALL, "splits sums only where there are several rows, and says so"),
    Variant::honest("attention.fast_exponential", SPARSE, "takes exponentials from a polynomial"),
    Variant::honest("attention.reciprocals", SPARSE, "multiplies by the reciprocal of the denominator"),
    Variant::honest("attention.newton_roots", NORMED, "refines a guess of the root by Newton's iteration"),
    Variant::honest("attention.rounded_between_norm_and_rope", QUERY, "rounds queries between norm and rope"),
    Variant::honest("attention.online_softmax", SPARSE, "goes through blocks of keys with a running maximum"),
    Variant::honest("attention.split_keys", SPARSE, "attends to two halves of the keys, then joins them"),
    Variant::honest("attention.keys_backwards", SPARSE, "goes through the keys from the last to the first"),
    Variant::honest("attention.late_division", SPARSE, "divides the weighted sum, not the weights"),
    Variant::honest("attention.rounded_before_inverse_rope", SPARSE, "rounds outputs before they are rotated back"),
    // Norm, rope and rounding.
    Variant::planted("attention.rope_half_split", ALL, "pairs channel k with channel k + rotary/2"),
    Variant::planted("attention.rope_sign", ALL, "rotates the other way"),
    Variant::planted("attention.rope_position_off_by_one", ALL, "takes the rope of the next position"),
    Variant::planted("attention.rope_by_row", ALL, "takes the rope of the row's number, not of its position"),
    Variant::planted("attention.rope_on_first_channels", ALL, "rotates the first channels, not the last"),
    Variant::planted("attention.lat_stride_ignored", LATENT, "reads the projection as if its rows had no gaps"),
    Variant::planted("attention.latent_row_tail_skipped", LATENT, "leaves out the rows after whole tiles of four"),
    Variant::planted("attention.norm_over_joint_width", LATENT, "takes one root mean square for both parts"),
    Variant::planted("attention.latent_epsilon_missing", LATENT, "leaves epsilon out: a row of zeros becomes NaN"),
    Variant::planted("attention.latent_epsilon_outside_root", LATENT, "adds epsilon to the root, not under it"),
    Variant::planted("attention.kv_gain_missing", LATENT, "forgets the gain of the key-value norm"),
    Variant::planted("attention.norm_output_not_rounded", LATENT, "keeps more bits than BF16 between norm and rope"),
    Variant::planted("attention.rope_channels_rounded_too", LATENT, "rounds rotated channels to F8 as well"),
    Variant::planted("attention.last_group_not_rounded", LATENT, "leaves the last group of 64 as it is"),
    Variant::planted("attention.groups_of_128", LATENT, "shares a scale among 128 channels"),
    Variant::planted("attention.codes_truncated", LATENT, "cuts F8 codes towards zero"),
    Variant::planted("attention.code_ties_away", LATENT, "rounds ties of F8 codes away from zero"),
    Variant::planted("attention.subnormal_codes_flushed", LATENT, "has no F8 codes below 2^-6"),
    Variant::planted("attention.scale_rounded_down", LATENT, "takes the power of two below as scale"),
    Variant::planted("attention.scale_of_neighbour_group", LATENT, "takes the scale of the group before"),
    Variant::planted("attention.scale_not_a_power_of_two", LATENT, "does not round the scale"),
    Variant::planted("attention.query_norm_over_all_heads", QUERY, "takes one root mean square for all heads"),
    Variant::planted("attention.query_epsilon_missing", QUERY, "leaves epsilon out: a head of zeros becomes NaN"),
    Variant::planted("attention.odd_head_skipped", QUERY, "leaves out the last of an odd number of heads"),
    Variant::planted("attention.query_stride_ignored", READ_Q, "reads queries as if their rows had no gaps"),
    // Sums.
    Variant::planted("attention.bf16_accumulator", ALL, "keeps partial sums in BF16"),
    Variant::planted("attention.tf32_products", ALL, "cuts factors to ten fraction bits"),
    Variant::planted("attention.sum_tail_dropped", ALL, "forgets the terms after whole tiles of 32"),
    Variant::planted("attention.order_depends_on_rows", ALL, "splits sums where there are several rows, but claims D2"),
    // Which keys.
    Variant::planted("attention.window_one_short", SPARSE, "leaves out the oldest position of the window"),
    Variant::planted("attention.window_one_long", SPARSE, "takes one position more than the window has"),
    Variant::planted("attention.chunk_not_causal", SPARSE, "lets a row see later rows of its chunk"),
    Variant::planted("attention.positions_before_zero", SPARSE, "takes ring rows for positions before the sequence"),
    Variant::planted(
        "attention.step_read_from_ring",
        SPARSE,
        "reads keys of this step from the ring, where they are not yet",
    ),
    Variant::planted("attention.history_from_neighbour_rows", SPARSE, "takes the rows before a chunk for its history"),
    Variant::planted("attention.ring_wraps_at_window", SPARSE, "addresses the ring modulo the window"),
    Variant::planted("attention.ring_of_sequence_number", SPARSE, "takes a sequence's number for its slot"),
    Variant::equivalent("attention.ring_stride_ignored", SPARSE, "reads rings as if they had no gaps", OWNED),
    Variant::planted("attention.kv_stride_ignored", SPARSE, "reads keys of this step as if their rows had no gaps"),
    Variant::equivalent("attention.pool_stride_ignored", SPARSE, "reads pages as if they had no gaps", OWNED),
    Variant::equivalent(
        "attention.table_stride_ignored",
        SPARSE,
        "reads page tables as if their rows had no gaps",
        OWNED,
    ),
    Variant::planted("attention.entry_visible_early", SPARSE, "sees an entry whose window has not closed"),
    Variant::planted("attention.entry_visible_late", SPARSE, "does not see the entry that the row itself completes"),
    Variant::planted(
        "attention.visibility_of_chunk_end",
        SPARSE,
        "sees entries that a later row of the chunk completes",
    ),
    Variant::planted("attention.list_trusted", SPARSE, "takes listed entries without asking whether they are visible"),
    Variant::planted("attention.absent_entry_is_first", SPARSE, "takes -1 in a list for entry 0"),
    Variant::planted("attention.repeated_entry_counts", SPARSE, "counts an entry as often as it is listed"),
    Variant::planted("attention.table_of_first_sequence", SPARSE, "uses the page table of sequence 0 for all"),
    Variant::planted("attention.pages_taken_as_adjacent", SPARSE, "follows the page table for its first page only"),
    Variant::planted("attention.absent_page_read", SPARSE, "counts entries of absent pages as keys of zeros"),
    Variant::planted("attention.page_of_16_entries", SPARSE, "assumes 16 entries in a page"),
    Variant::planted(
        "attention.masked_keys_multiplied",
        SPARSE,
        "multiplies hidden entries by zero: what they hold gets through if it is NaN",
    ),
    Variant::planted("attention.key_tail_dropped", SPARSE, "forgets the keys after whole tiles of 16"),
    Variant::planted(
        "attention.first_scale_for_all_groups",
        SPARSE,
        "takes the first scale of a packed row for all its groups",
    ),
    Variant::planted("attention.packed_scales_misplaced", SPARSE, "looks for scales before the rotated channels"),
    // Softmax and output.
    Variant::planted("attention.scale_twice", SPARSE, "multiplies logits by the factor twice"),
    Variant::planted("attention.scale_of_head_width", SPARSE, "computes the factor from the head's width"),
    Variant::planted("attention.softmax_without_maximum", SPARSE, "takes exponentials of unshifted logits"),
    Variant::equivalent(
        "attention.sink_not_in_maximum",
        SPARSE,
        "leaves the sink out of the maximum: large ones overflow",
        "where the exponential of the sink overflows, every probability lies below the normal numbers, which a device may flush to 0",
    ),
    Variant::planted("attention.sink_missing", SPARSE, "forgets the sink"),
    Variant::planted("attention.sink_twice", SPARSE, "adds the sink twice"),
    Variant::planted("attention.sink_scaled", SPARSE, "multiplies the sink by the factor of the logits"),
    Variant::planted("attention.sink_of_first_head", SPARSE, "uses the sink of head 0 for all"),
    Variant::planted(
        "attention.denominator_summed_in_bf16",
        SPARSE,
        "keeps the denominator in BF16 when activations are",
    ),
    Variant::planted(
        "attention.rescaling_missing",
        SPARSE,
        "does not rescale the output when the running maximum grows",
    ),
    Variant::planted("attention.inverse_rope_missing", SPARSE, "does not rotate the result back"),
    Variant::planted("attention.inverse_rope_forward", SPARSE, "rotates the result forward"),
    Variant::planted("attention.inverse_rope_by_window_start", SPARSE, "rotates back by the position of the first key"),
    Variant::planted("attention.last_row_not_written", SPARSE, "leaves out the rows after whole tiles of four"),
    Variant::planted("attention.accumulator_not_cleared", SPARSE, "adds to the result of the run before"),
    Variant::planted("attention.workspace_taken_as_zeros", SPARSE, "adds to what the workspace happens to hold"),
    Variant::equivalent(
        "attention.probabilities_not_rounded",
        SPARSE,
        "keeps more bits of the probabilities than BF16",
        "a bound has to cover the rounding of the quotient and that of the exponential, and an unrounded probability lies between them",
    ),
];
