//! The variants of matrix products.

use crate::Variant;
use omnihal::OpKind;

const ALL: &[OpKind] = &[OpKind::GemmLinear, OpKind::GemmBatched, OpKind::GemmGrouped];
const WEIGHTED: &[OpKind] = &[OpKind::GemmLinear, OpKind::GemmGrouped];
const ADDING: &[OpKind] = &[OpKind::GemmLinear, OpKind::GemmBatched];
const LINEAR: &[OpKind] = &[OpKind::GemmLinear];
const BATCHED: &[OpKind] = &[OpKind::GemmBatched];
const GROUPED: &[OpKind] = &[OpKind::GemmGrouped];

const fn honest(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
    Variant::honest(id, ops, what)
}

const fn planted(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
    Variant::planted(id, ops, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    honest("gemm.sums_from_the_end", ALL, "products are added from the last to the first"),
    honest("gemm.sums_pairwise", ALL, "products are added as a balanced tree"),
    honest("gemm.fused_multiply_add", ALL, "products are not rounded before they are added"),
    honest("gemm.sums_in_f64", ALL, "sums are kept in f64 and rounded to f32 once"),
    honest("gemm.sums_in_sixteen_lanes", ALL, "every 16th product goes into the same of 16 sums"),
    honest("gemm.sums_in_four_parts", ALL, "four parts of the products are summed apart, then added"),
    honest("gemm.sums_by_tensor_core_14_bits", ALL, "16 products at a time, cut to 14 bits, as the plan declares"),
    honest("gemm.parts_of_a_sum_chosen_by_rows", ALL, "the number of parts follows the rows, as the plan declares"),
    honest("gemm.rows_beyond_the_hint_are_left_out", LINEAR, "rows past the hint keep what they were"),
    honest("gemm.rows_past_the_counts_are_computed", GROUPED, "unspecified rows are filled by the last group"),
    planted("gemm.parts_follow_the_rows_though_d2_is_promised", ALL, "the bits of a row depend on how many there are"),
    planted(
        "gemm.products_beyond_a_tile_of_32_are_dropped",
        ALL,
        "the tail of a sum is lost when 32 does not divide it",
    ),
    planted("gemm.last_odd_product_is_dropped", ALL, "the last product of an odd number is lost"),
    planted(
        "gemm.padding_of_the_last_vector_repeats_the_first_product",
        ALL,
        "where 8 does not divide the length, the first product counts twice",
    ),
    planted("gemm.bf16_accumulator", ALL, "each partial sum is rounded to BF16"),
    planted("gemm.bf16_partial_sums", ALL, "sums of 32 products are kept in BF16"),
    planted("gemm.f16_accumulator", ALL, "each partial sum is rounded to F16"),
    planted("gemm.tf32_operands", ALL, "F32 operands lose 13 bits"),
    planted("gemm.f32_operands_are_rounded_to_bf16", ALL, "F32 operands are rounded to BF16"),
    planted("gemm.operands_pass_through_f16", ALL, "operands beyond the range of F16 are lost"),
    planted("gemm.result_is_truncated", ALL, "BF16 results drop the low half"),
    planted("gemm.result_passes_through_f16", ALL, "BF16 results are rounded to F16 first"),
    planted("gemm.f32_result_is_rounded_to_bf16", ALL, "F32 results have 8 bits only"),
    planted("gemm.nan_becomes_zero", ALL, "a NaN result is replaced by 0"),
    planted("gemm.nan_of_a_neighbour_row_leaks", LINEAR, "rows of a tile are masked by a factor 0"),
    planted("gemm.last_partial_row_tile_is_not_written", ALL, "rows past the last whole tile of 16 are left"),
    planted("gemm.last_partial_column_tile_is_not_written", ALL, "columns past the last whole tile of 16 are left"),
    planted("gemm.last_row_is_not_written", ALL, "the last of several rows is left"),
    planted("gemm.row_at_the_hint_is_left_out", LINEAR, "the last row that the hint counts is left"),
    planted("gemm.result_gaps_are_ignored", ALL, "the result is written as one block"),
    planted("gemm.writes_past_the_last_element", ALL, "one element more than there is"),
    planted("gemm.workspace_is_taken_for_cleared", ALL, "parts are added to what the scratch memory held"),
    planted("gemm.workspace_is_used_past_its_end", ALL, "more scratch memory than the plan asks for"),
    planted("gemm.second_run_adds_to_the_first", ALL, "the plan's own sums are not cleared between runs"),
    planted("gemm.weights_of_the_first_run_are_kept", WEIGHTED, "a plan unpacks its weight once and for all"),
    planted("gemm.gaps_between_activations_are_ignored", WEIGHTED, "activations are read as one block"),
    planted("gemm.gaps_between_weight_rows_are_ignored", WEIGHTED, "the weight is read as one block"),
    planted("gemm.activations_are_not_rounded_to_codes", LINEAR, "a_quant is ignored"),
    planted("gemm.activation_codes_are_truncated", LINEAR, "activations are rounded towards zero"),
    planted("gemm.activation_scale_is_no_power_of_two", LINEAR, "the scale is the largest magnitude by 448"),
    planted("gemm.activation_groups_of_64", LINEAR, "64 channels share a scale instead of 128"),
    planted("gemm.one_activation_scale_for_a_row", LINEAR, "all channels of a row share a scale"),
    planted("gemm.activation_scale_of_the_first_row_for_all", LINEAR, "rows share the scales of the first"),
    planted("gemm.nibbles_are_swapped", WEIGHTED, "the even column is read from the high nibble"),
    planted("gemm.scale_of_the_next_block", WEIGHTED, "columns are multiplied by the scale of the next block"),
    planted("gemm.scales_of_the_first_row_block", WEIGHTED, "every block row takes the scales of the first"),
    planted("gemm.scales_of_the_first_group", GROUPED, "every group takes the scales of the first"),
    planted(
        "gemm.scale_columns_are_counted_without_the_partial_block",
        WEIGHTED,
        "rows of scales are taken for one shorter where the block does not divide the columns",
    ),
    planted("gemm.small_scales_are_flushed", WEIGHTED, "scales below 2^-14 become 0"),
    planted("gemm.small_codes_are_flushed", WEIGHTED, "subnormal E4M3 codes become 0"),
    Variant::equivalent(
        "gemm.nan_codes_are_taken_for_480",
        WEIGHTED,
        "the NaN code of E4M3 is read as a number",
        "weights with NaN codes are refused when a model is loaded, so that no legal input has one",
    ),
    planted("gemm.accumulate_is_ignored", ADDING, "the old result is overwritten"),
    planted("gemm.old_result_is_added_twice", ADDING, "the old result counts twice"),
    planted("gemm.alpha_is_applied_twice", BATCHED, "products are multiplied by the square of alpha"),
    planted("gemm.alpha_is_applied_to_the_old_result", BATCHED, "alpha multiplies what is added to as well"),
    planted("gemm.alpha_is_ignored_when_accumulating", BATCHED, "alpha is 1 when adding to the old result"),
    planted("gemm.square_left_operand_is_not_transposed", BATCHED, "transpose_a is ignored where m equals inner"),
    planted("gemm.square_right_operand_is_not_transposed", BATCHED, "transpose_b is inverted where n equals inner"),
    planted("gemm.first_right_operand_for_all", BATCHED, "every left operand meets the first right one"),
    planted("gemm.gaps_between_pairs_are_ignored", BATCHED, "operands are read as one block"),
    planted("gemm.last_pair_is_lost", BATCHED, "the last of several pairs is not written"),
    planted("gemm.empty_groups_have_no_weight", GROUPED, "weights are counted by groups that have rows"),
    planted("gemm.groups_start_at_multiples_of_4", GROUPED, "rows of a group are looked for at the next multiple of 4"),
    planted("gemm.counts_are_taken_for_ends", GROUPED, "a group starts where the count before says"),
    planted("gemm.last_row_of_each_group_is_lost", GROUPED, "the last of several rows of a group is left"),
    planted("gemm.nan_of_an_unused_weight_leaks", GROUPED, "weights of empty groups are multiplied by 0"),
];
