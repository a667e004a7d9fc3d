//! The variants of element-wise operators.

use crate::Variant;
use omnihal::OpKind;

const ALL: &[OpKind] = &[OpKind::Unary, OpKind::Binary, OpKind::Where, OpKind::Reduce, OpKind::Softmax, OpKind::Cumsum];
const NUMERIC: &[OpKind] = &[OpKind::Unary, OpKind::Binary, OpKind::Reduce, OpKind::Softmax, OpKind::Cumsum];
const BROADCAST: &[OpKind] = &[OpKind::Binary, OpKind::Where];
const UNARY: &[OpKind] = &[OpKind::Unary];
const BINARY: &[OpKind] = &[OpKind::Binary];
const WHERE: &[OpKind] = &[OpKind::Where];
const REDUCE: &[OpKind] = &[OpKind::Reduce];
const SOFTMAX: &[OpKind] = &[OpKind::Softmax];
const CUMSUM: &[OpKind] = &[OpKind::Cumsum];

const fn honest(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
    Variant::honest(id, ops, what)
}

const fn planted(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
    Variant::planted(id, ops, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    honest("elementwise.exp_by_a_power_of_two", UNARY, "e^x is computed as 2^(x log2 e) in f32"),
    honest("elementwise.softplus_by_the_larger_part", UNARY, "max(x, 0) + log1p(e^-|x|)"),
    honest("elementwise.sigmoid_by_decaying_exponential", UNARY, "e^x / (1 + e^x) below 0"),
    honest("elementwise.silu_by_multiplication", UNARY, "x times the sigmoid"),
    honest("elementwise.root_in_f64", UNARY, "reciprocal roots are rounded once"),
    honest("elementwise.fused_scale_and_offset", UNARY, "scale and offset in one rounding"),
    honest("elementwise.division_by_reciprocal", BINARY, "a times 1/b"),
    honest("elementwise.reduces_pairwise", REDUCE, "a balanced tree"),
    honest("elementwise.reduces_in_f64", REDUCE, "sums are kept in f64"),
    honest("elementwise.reduces_in_lanes", REDUCE, "every 16th element goes into the same of 16 sums"),
    honest("elementwise.softmax_in_blocks", SOFTMAX, "largest and sum in one pass, rescaled as it goes"),
    honest("elementwise.softmax_by_reciprocal", SOFTMAX, "exponentials are multiplied by 1/sum"),
    honest("elementwise.softmax_sums_from_the_end", SOFTMAX, "exponentials are added from the last to the first"),
    honest("elementwise.sums_in_blocks", CUMSUM, "blocks of 8 are summed apart and lifted"),
    planted("elementwise.gaps_in_operands_are_ignored", ALL, "operands are read as one block"),
    planted("elementwise.gaps_in_results_are_ignored", ALL, "results are written as one block"),
    planted("elementwise.result_is_truncated", NUMERIC, "BF16 results drop the low half"),
    planted("elementwise.nan_becomes_zero", NUMERIC, "a NaN result is replaced by 0"),
    planted("elementwise.result_overflows_to_the_largest_f16", NUMERIC, "results beyond 65504 are cut"),
    planted("elementwise.tail_of_16_is_not_written", NUMERIC, "elements past the last whole vector are left"),
    planted("elementwise.writes_past_the_last_element", NUMERIC, "one element more than there is"),
    planted("elementwise.broadcast_repeats_the_whole_operand", BROADCAST, "only leading axes can repeat"),
    planted("elementwise.exp_in_f16", UNARY, "exponentials have 11 bits"),
    planted("elementwise.exp_argument_in_bf16", UNARY, "arguments of exponentials have 8 bits"),
    planted("elementwise.exp_is_cut_at_80", UNARY, "arguments of exponentials are kept within 80"),
    planted("elementwise.softplus_overflows", UNARY, "the linear part is missing"),
    planted("elementwise.softplus_is_linear_above_2", UNARY, "the linear part starts at 2"),
    planted("elementwise.softplus_without_log1p", UNARY, "log(1 + e^x) loses small e^x"),
    planted("elementwise.root_of_softplus_is_forgotten", UNARY, "softplus without the root"),
    planted("elementwise.relu_swallows_nan", UNARY, "max(NaN, 0) is 0"),
    planted("elementwise.relu_leaks", UNARY, "a hundredth of negative values comes through"),
    planted("elementwise.hard_sigmoid", UNARY, "three straight lines instead of the sigmoid"),
    planted("elementwise.silu_is_gelu_like", UNARY, "the sigmoid of 1.702 x"),
    planted("elementwise.silu_forgets_the_factor", UNARY, "the sigmoid alone"),
    planted("elementwise.half_precision_root", UNARY, "reciprocal roots have 11 bits"),
    planted("elementwise.floor_truncates", UNARY, "negative values are rounded towards zero"),
    planted("elementwise.clamp_has_no_lower_bound", UNARY, "only the upper bound holds"),
    planted("elementwise.clamp_is_symmetric", UNARY, "the lower bound is the negative upper one"),
    planted("elementwise.logarithm_to_base_2", UNARY, "log2 instead of the natural logarithm"),
    planted("elementwise.scale_after_the_offset", UNARY, "factor * (x + offset)"),
    planted("elementwise.offset_before_the_function_is_ignored", UNARY, "beta is 0"),
    planted("elementwise.scale_before_the_function_is_ignored", UNARY, "alpha is 1"),
    planted("elementwise.offset_of_the_result_is_ignored", UNARY, "delta is 0"),
    planted("elementwise.divisor_without_eps", BINARY, "eps is ignored"),
    planted("elementwise.quotient_without_scale", BINARY, "scale is ignored"),
    planted("elementwise.eps_is_a_lower_bound_of_the_divisor", BINARY, "max(b, eps) instead of b + eps"),
    planted("elementwise.half_precision_reciprocal", BINARY, "the reciprocal has 8 bits"),
    planted("elementwise.operands_swapped_when_the_left_repeats", BINARY, "a - b becomes b - a when a is smaller"),
    planted("elementwise.operands_in_bf16", BINARY, "operands are rounded to BF16"),
    planted("elementwise.difference_the_other_way", BINARY, "b - a"),
    planted("elementwise.minimum_of_magnitudes", BINARY, "the operand nearer to 0"),
    planted("elementwise.maximum_of_magnitudes", BINARY, "the operand farther from 0"),
    planted("elementwise.whole_numbers_are_compared_as_f32", WHERE, "I32 values above 2^24 lose bits"),
    planted("elementwise.nan_compares_as_true", WHERE, "comparisons with NaN hold"),
    planted("elementwise.less_than_includes_equal", WHERE, "< is <="),
    planted("elementwise.greater_or_equal_excludes_equal", WHERE, ">= is >"),
    planted("elementwise.greater_includes_equal", WHERE, "> is >="),
    planted("elementwise.nearly_equal_is_equal", WHERE, "= has a tolerance"),
    planted("elementwise.choices_are_swapped_for_equality", WHERE, "p and q change places for ="),
    planted("elementwise.choice_by_multiplication", WHERE, "infinite values that were not chosen leak"),
    planted("elementwise.other_choices_are_not_written", WHERE, "where the comparison fails the result is left"),
    planted("elementwise.reduces_without_the_tail_of_16", REDUCE, "elements past the last whole vector do not count"),
    planted("elementwise.reduces_in_bf16", REDUCE, "each partial sum is rounded to BF16"),
    planted("elementwise.reduces_in_f16", REDUCE, "each partial sum is rounded to F16"),
    planted("elementwise.maximum_starts_at_0", REDUCE, "negative lines have the maximum 0"),
    planted("elementwise.maximum_starts_at_minus_65504", REDUCE, "lines below the range of F16 have its lower end"),
    planted("elementwise.largest_magnitude_instead_of_maximum", REDUCE, "the maximum of absolute values"),
    planted("elementwise.factor_before_the_maximum", REDUCE, "a negative factor makes it a minimum"),
    planted("elementwise.maximum_without_factor", REDUCE, "alpha is 1 for the maximum"),
    planted("elementwise.mean_instead_of_sum", REDUCE, "the sum is divided by the length"),
    planted("elementwise.sum_of_squares_instead_of_mean", REDUCE, "the sum of squares is not divided"),
    planted("elementwise.reduces_the_last_axis", REDUCE, "the axis after the reduced one is taken for none"),
    planted("elementwise.adds_to_the_old_result", REDUCE, "the result is not cleared first"),
    planted("elementwise.softmax_subtracts_nothing", SOFTMAX, "large logits overflow"),
    planted("elementwise.softmax_subtracts_at_least_0", SOFTMAX, "very negative lines underflow"),
    planted("elementwise.softmax_subtracts_the_first", SOFTMAX, "logits far above the first overflow"),
    planted("elementwise.softmax_in_f16", SOFTMAX, "exponentials have 11 bits"),
    planted("elementwise.softmax_sums_without_the_tail_of_8", SOFTMAX, "the tail does not count in the sum"),
    planted("elementwise.softmax_sums_in_bf16", SOFTMAX, "the sum is kept in BF16"),
    planted("elementwise.softmax_counts_one_more", SOFTMAX, "a sink of 1 is in the sum"),
    planted("elementwise.softmax_reads_what_it_has_written", SOFTMAX, "wrong when the result is the input"),
    planted("elementwise.softmax_over_the_last_axis", SOFTMAX, "the axis after the given one"),
    planted("elementwise.sums_run_on_into_the_next_row", CUMSUM, "rows start with the sum of the one before"),
    planted("elementwise.exclusive_is_ignored", CUMSUM, "the element itself is counted"),
    Variant::equivalent(
        "elementwise.exclusive_by_subtraction",
        CUMSUM,
        "a large element wipes out the sum before it",
        "libraries form exclusive sums so, and the judge's bound leaves room for it; the model adds up counts only, which are exact",
    ),
    planted("elementwise.exclusive_starts_with_the_first", CUMSUM, "the first sum is the first element, not 0"),
    planted("elementwise.carry_between_blocks_is_lost", CUMSUM, "every 32 elements the sum starts anew"),
    planted("elementwise.running_sum_in_bf16", CUMSUM, "the sum is kept in BF16"),
    planted("elementwise.sums_run_backwards", CUMSUM, "from the end of the row"),
];
