//! The variants of sampling.

use crate::Variant;
use omnihal::OpKind;

const TOPK: &[OpKind] = &[OpKind::SampleTopK];
const PICK: &[OpKind] = &[OpKind::SamplePick];
const ALL: &[OpKind] = &[OpKind::SampleTopK, OpKind::SamplePick];

const fn best(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, TOPK, what)
}

const fn pick(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, PICK, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("sample.blocks_of_16_are_merged", TOPK, "the best of each block, then the best of those"),
    Variant::honest(
        "sample.unsorted_where_allowed",
        TOPK,
        "the kept elements come worst first where any order is legal",
    ),
    Variant::honest("sample.probabilities_summed_from_the_end", PICK, "exponentials are added from the last"),
    Variant::honest("sample.probabilities_summed_in_f64", PICK, "the sum of exponentials is kept in f64"),
    Variant::planted("sample.gaps_between_rows_are_ignored", ALL, "rows are read as one block"),
    best("sample.ties_by_the_highest_place", "of equal values the last is better"),
    best("sample.nan_is_the_best", "a NaN ranks above every number"),
    best("sample.nan_is_the_largest", "a NaN ranks above every number when the largest are kept"),
    best("sample.nan_equals_the_worst_infinity", "a NaN ties with the worst number instead of ranking below it"),
    best("sample.magnitudes_are_compared", "signs are ignored"),
    best("sample.values_are_compared_in_bf16", "values that differ in their last bits are taken for equal"),
    best("sample.always_the_largest", "the smallest cannot be asked for"),
    best("sample.negative_zero_is_below_zero", "bits are compared instead of numbers"),
    best("sample.elements_beyond_a_tile_of_32_are_ignored", "the tail of a row is not looked at"),
    best("sample.last_element_is_ignored", "the last element of a row is not looked at"),
    best("sample.two_of_a_block_at_most", "a block of 8 gives no more than two"),
    best("sample.best_last", "the kept elements come worst first"),
    best("sample.sorted_by_place", "the kept elements come in their old order"),
    best("sample.best_values_in_bf16", "values are rounded to BF16"),
    best("sample.last_of_the_kept_is_not_written", "one element less than asked for"),
    best("sample.writes_a_place_too_many", "one element more than there is"),
    best("sample.places_are_counted_from_1", "places are one too large"),
    best("sample.places_within_the_tile", "places are counted anew every 32 elements"),
    best("sample.infinite_values_are_absent", "the place of an infinite value is -1"),
    best("sample.first_of_equal_values", "equal values all have the place of the first"),
    pick("sample.penalty_is_ignored", "seen tokens are not penalised"),
    pick("sample.penalty_divides_negative_logits_too", "negative logits of seen tokens grow"),
    pick("sample.penalty_is_subtracted", "the penalty is subtracted from the logit"),
    pick("sample.penalty_for_unseen_tokens", "tokens that were not seen are penalised too"),
    pick("sample.temperature_multiplies", "logits are multiplied by the temperature"),
    pick("sample.temperature_is_ignored", "the temperature is 1 unless it is 0"),
    pick("sample.logprob_is_the_shifted_logit", "the sum of all probabilities is forgotten"),
    pick("sample.probability_instead_of_its_logarithm", "the logarithm is not taken"),
    pick("sample.logprob_before_temperature", "the probability is taken before the temperature"),
    pick("sample.greedy_with_penalty", "temperature 0 penalises seen tokens"),
    pick("sample.greedy_takes_the_last_of_equals", "temperature 0 takes the highest id on ties"),
    pick("sample.probabilities_among_candidates_only", "probabilities are shares of the candidates"),
    pick("sample.sequence_instead_of_slot", "the state of a row is looked up by its sequence"),
    pick("sample.parameters_of_the_first_row_for_all", "rows share the parameters of the first"),
    pick("sample.one_uniform_number_for_all", "rows share the uniform number of the first"),
    pick("sample.last_token_is_not_stored", "`last` keeps what it was"),
    pick("sample.token_is_not_marked_as_seen", "`seen` keeps what it was"),
    pick("sample.seen_tokens_are_counted", "`seen` grows beyond 1"),
    pick("sample.top_k_is_ignored", "top-k cuts nothing"),
    pick("sample.top_k_keeps_one_less", "top-k keeps one candidate less"),
    pick("sample.top_p_is_ignored", "top-p cuts nothing"),
    pick("sample.top_p_leaves_out_what_crosses_it", "the candidate that reaches top-p is cut too"),
    pick("sample.top_p_of_what_top_k_left", "top-p is a share of the candidates left by top-k"),
    pick("sample.min_p_is_ignored", "min-p cuts nothing"),
    pick("sample.min_p_is_absolute", "min-p is not taken relative to the best"),
    pick("sample.shares_are_not_renormalised", "shares do not add up to 1 after the cuts"),
    pick("sample.uniform_number_from_the_other_end", "1 - u decides"),
    pick("sample.sum_before_the_candidate_decides", "the candidate after the right one is chosen"),
];
