//! The variants of family `moe`.

use crate::Variant;
use omnihal::OpKind::{self, MoeExperts, MoeGroup, MoeMlp, MoeRoute, MoeSwiglu};

const GROUP: &[OpKind] = &[MoeGroup];
const ROUTE: &[OpKind] = &[MoeRoute];
const SWIGLU: &[OpKind] = &[MoeSwiglu];
const MLP: &[OpKind] = &[MoeMlp];
const EXPERTS: &[OpKind] = &[MoeExperts];
const PLACED: &[OpKind] = &[MoeGroup, MoeExperts];
const PRODUCTS: &[OpKind] = &[MoeMlp, MoeExperts];
const GATED: &[OpKind] = &[MoeSwiglu, MoeMlp, MoeExperts];
const WEIGHED: &[OpKind] = &[MoeSwiglu, MoeExperts];
const SUMS: &[OpKind] = &[MoeRoute, MoeMlp, MoeExperts];
const ALL: &[OpKind] = &[MoeRoute, MoeSwiglu, MoeMlp, MoeExperts];

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("moe.grouped_by_counting", GROUP, "counts the pairs of each expert, then places them"),
    Variant::honest("moe.backward_sums", SUMS, "adds from the last term to the first"),
    Variant::honest("moe.pairwise_sums", SUMS, "adds halves recursively"),
    Variant::honest("moe.sixteen_lanes", SUMS, "adds in sixteen interleaved lanes"),
    Variant::honest("moe.fused_multiply_add", SUMS, "adds products without rounding them"),
    Variant::honest("moe.split_sums", SUMS, "adds four parts of a sum on their own"),
    Variant::honest("moe.split_sums_by_rows", SUMS, "splits sums only where there are several rows, and says so"),
    Variant::honest("moe.fast_exponential", ALL, "takes exponentials from a polynomial"),
    Variant::honest("moe.reciprocals", ALL, "multiplies by reciprocals"),
    Variant::honest("moe.silu_as_quotient", GATED, "divides by the denominator of the sigmoid"),
    Variant::honest("moe.softplus_from_magnitude", ROUTE, "takes softplus as max(x, 0) + log1p(exp(-|x|))"),
    Variant::honest("moe.projections_rounded", PRODUCTS, "rounds gate and up projections"),
    Variant::honest("moe.parts_rounded", EXPERTS, "rounds each expert's part of the sum"),
    Variant::honest("moe.choices_backwards", EXPERTS, "adds the experts of a row from the last to the first"),
    // Sorting.
    Variant::planted("moe.choice_stride_ignored", GROUP, "reads choices as if their rows had no gaps"),
    Variant::planted("moe.foreign_experts_counted", GROUP, "counts absent and foreign experts as the last one's"),
    Variant::planted("moe.counts_not_cleared", GROUP, "adds to the counts of the run before"),
    Variant::planted("moe.offsets_for_counts", GROUP, "gives running sums of the counts"),
    Variant::planted("moe.source_is_choice", GROUP, "gives the choice of a pair where its row is due"),
    Variant::planted("moe.inverse_is_order", GROUP, "gives the order where its inverse is due"),
    Variant::planted("moe.experts_modulo_local", GROUP, "takes foreign experts modulo the local ones"),
    Variant::planted("moe.absent_experts_first", GROUP, "puts absent experts first"),
    Variant::planted(
        "moe.pairs_of_an_expert_backwards",
        GROUP,
        "sorts the pairs of an expert from the last to the first",
    ),
    Variant::planted("moe.pairs_by_choice_first", GROUP, "sorts the pairs of an expert by choice, then by row"),
    Variant::planted("moe.absent_expert_is_first", PLACED, "takes -1 for the first expert"),
    Variant::planted("moe.first_expert_ignored", PLACED, "takes experts to begin at 0"),
    Variant::planted("moe.last_expert_foreign", PLACED, "takes the last local expert for a foreign one"),
    // Routing.
    Variant::planted("moe.routed_stride_ignored", ROUTE, "reads activations as if their rows had no gaps"),
    Variant::planted("moe.padding_routed", ROUTE, "sends padding rows to experts"),
    Variant::planted("moe.logits_in_bf16", ROUTE, "rounds logits to BF16"),
    Variant::planted("moe.softplus_overflows", ROUTE, "has no linear part: large logits become infinite"),
    Variant::planted(
        "moe.softplus_loses_small_terms",
        ROUTE,
        "adds 1 before the logarithm: very negative logits become 0",
    ),
    Variant::planted("moe.root_missing", ROUTE, "takes softplus itself for the score"),
    Variant::planted("moe.sigmoid_for_softplus", ROUTE, "takes the sigmoid for the score"),
    Variant::planted("moe.table_by_row", ROUTE, "looks experts up by row"),
    Variant::planted("moe.table_by_position", ROUTE, "looks experts up by position"),
    Variant::planted("moe.table_choices_sorted", ROUTE, "sorts the experts of the table"),
    Variant::planted("moe.expert_tail_skipped", ROUTE, "forgets the experts after whole tiles of eight"),
    Variant::planted("moe.bias_missing", ROUTE, "chooses without the bias"),
    Variant::planted("moe.bias_subtracted", ROUTE, "chooses with the bias subtracted"),
    Variant::planted("moe.bias_in_weights", ROUTE, "lets the bias into the weights"),
    Variant::planted("moe.ties_take_highest", ROUTE, "prefers the highest of equal experts"),
    Variant::planted("moe.choices_ascending", ROUTE, "gives experts ascending, not by score"),
    Variant::planted("moe.choices_worst_first", ROUTE, "gives the worst of the chosen first"),
    Variant::planted("moe.weights_of_all_experts", ROUTE, "divides by the sum of all scores"),
    Variant::planted("moe.weights_not_normalised", ROUTE, "does not divide by the sum"),
    Variant::planted("moe.weight_scale_missing", ROUTE, "forgets the factor of the weights"),
    Variant::planted("moe.sum_floor_too_high", ROUTE, "adds a hundredth to the sum"),
    // SwiGLU.
    Variant::planted("moe.gated_stride_ignored", SWIGLU, "reads gate and up as if their rows had no gaps"),
    Variant::planted("moe.weight_of_first_row", SWIGLU, "uses the weight of row 0 for all"),
    Variant::planted("moe.gate_and_up_swapped", GATED, "takes the second half for the gate"),
    Variant::planted("moe.gate_and_up_interleaved", GATED, "takes gate and up in turns"),
    Variant::planted("moe.gate_clamped_both_ways", GATED, "clamps the gate from below too"),
    Variant::planted("moe.gate_not_clamped", GATED, "does not clamp the gate"),
    Variant::planted("moe.gate_clamped_after_silu", GATED, "clamps the gate after its activation"),
    Variant::planted("moe.sigmoid_for_silu", GATED, "takes the sigmoid of the gate"),
    Variant::planted("moe.nan_swallowed", GATED, "takes a gate that is NaN for the limit"),
    Variant::planted("moe.up_clamped_above_only", GATED, "does not clamp up from below"),
    Variant::planted("moe.up_not_clamped", GATED, "does not clamp up"),
    Variant::planted("moe.hidden_tail_skipped", GATED, "forgets the hidden values after whole tiles of 32"),
    Variant::planted("moe.weight_missing", WEIGHED, "forgets the row's weight"),
    Variant::planted("moe.weight_twice", WEIGHED, "multiplies by the row's weight twice"),
    // Experts.
    Variant::planted("moe.bf16_accumulator", SUMS, "keeps partial sums in BF16"),
    Variant::planted("moe.tf32_products", SUMS, "cuts factors to ten fraction bits"),
    Variant::planted("moe.sum_tail_dropped", SUMS, "forgets the terms after whole tiles of 32"),
    Variant::planted("moe.order_depends_on_rows", SUMS, "splits sums where there are several rows, but claims D2"),
    Variant::planted("moe.input_stride_ignored", PRODUCTS, "reads activations as if their rows had no gaps"),
    Variant::planted("moe.mlp_row_tail_skipped", MLP, "leaves out the rows after whole tiles of four"),
    Variant::planted("moe.input_not_rounded", PRODUCTS, "leaves the input of the first product as it is"),
    Variant::planted("moe.hidden_not_rounded", PRODUCTS, "keeps more bits than BF16 between the products"),
    Variant::planted("moe.hidden_codes_missing", PRODUCTS, "leaves the input of the second product as it is"),
    Variant::planted("moe.input_groups_of_64", PRODUCTS, "shares a scale among 64 channels"),
    Variant::planted("moe.input_scale_of_whole_row", PRODUCTS, "shares one scale among all channels"),
    Variant::planted("moe.codes_truncated", PRODUCTS, "cuts codes of activations towards zero"),
    Variant::planted("moe.code_ties_away", PRODUCTS, "rounds ties of codes away from zero"),
    Variant::planted("moe.scale_rounded_down", PRODUCTS, "takes the power of two below as scale"),
    Variant::planted("moe.scale_of_neighbour_group", PRODUCTS, "takes the scale of the group before"),
    Variant::planted("moe.nibbles_swapped", PRODUCTS, "reads the even column of FP4 weights from the high nibble"),
    Variant::planted("moe.weight_scale_of_next_block", PRODUCTS, "multiplies weights by the scale of the next columns"),
    Variant::planted("moe.weight_scale_of_first_row", PRODUCTS, "multiplies weights by the scales of the first rows"),
    Variant::planted("moe.expert_capacity_of_two", EXPERTS, "drops the third row of an expert"),
    Variant::planted("moe.repeated_expert_once", EXPERTS, "counts an expert once though a row lists it twice"),
    Variant::planted("moe.foreign_expert_clamped", EXPERTS, "takes the nearest local expert for a foreign one"),
    Variant::planted("moe.weight_after_down_projection", EXPERTS, "multiplies by the weight after the second product"),
    Variant::planted("moe.sum_not_accumulated", EXPERTS, "does not add what is to be added to"),
    Variant::planted("moe.accumulated_twice", EXPERTS, "adds it twice"),
    Variant::planted("moe.accumulated_stride_ignored", EXPERTS, "reads it as if its rows had no gaps"),
    Variant::planted(
        "moe.result_cleared_before_sum_is_read",
        EXPERTS,
        "clears the result first, where it may lie over what is to be added to",
    ),
];
