//! The variants of number formats.

use crate::Variant;
use omnihal::OpKind;

const QDQ: &[OpKind] = &[OpKind::QuantQdq];
const MAKING: &[OpKind] = &[OpKind::QuantQdq, OpKind::QuantQuantize];
const DEQUANT: &[OpKind] = &[OpKind::QuantDequant];
const QUANTIZE: &[OpKind] = &[OpKind::QuantQuantize];
const ALL: &[OpKind] = &[OpKind::QuantQdq, OpKind::QuantDequant, OpKind::QuantQuantize];

const fn planted(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
    Variant::planted(id, ops, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    planted("quant.codes_are_truncated", MAKING, "values are rounded towards zero"),
    planted("quant.ties_go_away_from_zero", MAKING, "halves are rounded up in magnitude, not to the even code"),
    planted("quant.scale_is_no_power_of_two", MAKING, "the scale is the largest magnitude by the largest code"),
    planted("quant.exponent_of_the_scale_is_rounded_down", MAKING, "the largest magnitudes saturate"),
    planted("quant.exact_power_of_two_takes_the_next_scale", MAKING, "a quotient that is a power of two is doubled"),
    planted("quant.smallest_scale_is_missing", MAKING, "tiny groups get a scale of their own below the least one"),
    planted("quant.largest_code_is_taken_for_240", MAKING, "the grid of another E4M3 format"),
    planted("quant.subnormal_codes_are_flushed", ALL, "codes below the normal range become 0"),
    Variant::equivalent(
        "quant.sign_of_zero_is_lost",
        ALL,
        "-0 becomes 0",
        "codes stand for numbers, and both zeros are the same number; only copies and embeddings promise bits",
    ),
    planted("quant.maximum_without_absolute_value", MAKING, "negative values do not count for the scale"),
    Variant::equivalent(
        "quant.nan_becomes_zero",
        MAKING,
        "a NaN is replaced by 0",
        "a group with a NaN has no largest magnitude and so no scale: what becomes of it is not specified",
    ),
    planted("quant.gaps_between_rows_are_ignored", ALL, "inputs are read as one block"),
    planted("quant.result_gaps_are_ignored", QDQ, "the result is written as one block"),
    planted("quant.one_group_for_a_vector", QDQ, "all groups of a vector share a scale"),
    planted("quant.groups_of_twice_the_size", QDQ, "two groups share a scale"),
    planted("quant.last_group_is_left", QDQ, "the last of several groups is not rounded"),
    planted("quant.scale_of_the_group_before", QDQ, "groups take the scale of their left neighbour"),
    planted("quant.heads_after_the_first_are_left", QDQ, "only the first vector of a row is rounded"),
    planted("quant.scale_of_the_next_row_block", DEQUANT, "rows take the scale of the next block of rows"),
    planted("quant.scale_of_the_next_column_block", DEQUANT, "columns take the scale of the next block"),
    planted("quant.nibbles_are_swapped", DEQUANT, "the even column is read from the high nibble"),
    planted("quant.last_odd_column_is_left", DEQUANT, "the last of an odd number of columns is not written"),
    planted("quant.small_scales_are_flushed", DEQUANT, "scales below 2^-14 become 0"),
    Variant::equivalent(
        "quant.nan_codes_are_taken_for_480",
        DEQUANT,
        "the NaN code of E4M3 is read as a number",
        "weights with NaN codes are refused when a model is loaded, so that no legal input has one",
    ),
    planted("quant.codes_are_read_as_e5m2", DEQUANT, "the other FP8 format"),
    planted("quant.expanded_through_f16", DEQUANT, "values beyond the range of F16 are lost"),
    planted("quant.scale_is_told_inverted", QUANTIZE, "the factor is stored instead of the scale"),
    planted("quant.codes_are_packed_high_nibble_first", QUANTIZE, "the even column goes into the high nibble"),
    planted("quant.scales_are_stored_by_columns", QUANTIZE, "the scale tensor is transposed"),
    planted("quant.writes_a_scale_too_many", QUANTIZE, "one scale more than there is"),
];
