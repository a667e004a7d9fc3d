//! The variants of normalisation.

use crate::Variant;
use omnihal::OpKind;

const RMS: &[OpKind] = &[OpKind::NormRms];

const fn honest(id: &'static str, what: &'static str) -> Variant {
    Variant::honest(id, RMS, what)
}

const fn planted(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, RMS, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    honest("norm.squares_summed_pairwise", "squares are added as a balanced tree"),
    honest("norm.squares_summed_in_f64", "the sum of squares is kept in f64"),
    honest("norm.squares_summed_in_lanes", "every 16th square goes into the same of 16 sums"),
    honest("norm.weight_times_factor_first", "the gain is multiplied with the factor before it meets the value"),
    honest("norm.rows_beyond_the_hint_are_left_out", "rows past the hint keep what they were"),
    planted("norm.squares_beyond_a_vector_of_16_are_dropped", "the tail of the sum is lost"),
    planted("norm.bf16_sum_of_squares", "each partial sum is rounded to BF16"),
    planted("norm.f16_sum_of_squares", "each partial sum is rounded to F16"),
    planted("norm.sum_instead_of_mean", "the sum of squares is not divided"),
    planted("norm.mean_over_one_less", "the sum is divided by the width less 1"),
    planted("norm.mean_over_the_next_multiple_of_16", "the sum is divided by the padded width"),
    planted("norm.mean_is_subtracted", "the variance is taken for the mean square"),
    planted("norm.eps_is_missing", "nothing is added to the mean square"),
    planted("norm.eps_outside_the_root", "eps is added after the root"),
    planted("norm.eps_is_always_1e_5", "the descriptor's eps is ignored"),
    planted("norm.eps_is_added_to_the_sum", "eps is divided by the width"),
    planted("norm.larger_of_mean_and_eps", "eps is a lower limit instead of a summand"),
    planted("norm.zeros_without_eps_give_nan", "a row of zeros is multiplied by infinity"),
    planted("norm.root_is_forgotten", "vectors are divided by the mean square"),
    planted("norm.half_precision_root", "the factor has 11 bits"),
    planted("norm.weight_is_ignored", "the gain is 1"),
    planted("norm.weight_is_counted_over_heads", "heads after the first take shifted gains"),
    planted("norm.weight_is_one_more", "the gain is 1 + weight, as in other models"),
    planted("norm.rounded_before_the_weight", "BF16 results are rounded before the gain, as in other models"),
    planted("norm.result_is_truncated", "BF16 results drop the low half"),
    planted("norm.nan_becomes_zero", "a NaN result is replaced by 0"),
    planted("norm.heads_share_a_factor", "the mean runs over all vectors of a row"),
    planted("norm.factor_of_the_first_head", "vectors are divided by the root of the first of their row"),
    planted("norm.factor_of_the_row_before", "vectors are divided by the root of the one before"),
    planted("norm.only_the_first_64_channels_count", "channels past 64 do not enter the mean"),
    planted("norm.gaps_between_rows_are_ignored", "the input is read as one block"),
    planted("norm.result_gaps_are_ignored", "the result is written as one block"),
    planted("norm.factors_of_the_first_run_are_kept", "a plan computes its factors once"),
    planted("norm.last_row_is_not_written", "the last of several rows is left"),
    planted("norm.rows_beyond_a_tile_of_8_are_left", "rows past the last whole tile of 8 are not written"),
    planted("norm.channels_beyond_a_vector_of_16_are_left", "channels past the last whole vector are not written"),
    planted("norm.writes_past_the_last_element", "one element more than there is"),
];
