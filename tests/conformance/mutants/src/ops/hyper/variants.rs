//! The variants of family `hyper`.

use crate::Variant;
use omnihal::OpKind::{self, HyperHead, HyperPost, HyperPre, HyperSinkhorn};

const PRE: &[OpKind] = &[HyperPre];
const POST: &[OpKind] = &[HyperPost];
const HEAD: &[OpKind] = &[HyperHead];
const BALANCED: &[OpKind] = &[HyperPre, HyperSinkhorn];
const PROJECTED: &[OpKind] = &[HyperPre, HyperHead];
const STREAMS: &[OpKind] = &[HyperPre, HyperPost, HyperHead];
const BY_ROWS: &[OpKind] = &[HyperPre, HyperSinkhorn, HyperPost];
const QUOTIENTS: &[OpKind] = &[HyperPre, HyperSinkhorn, HyperHead];
const ALL: &[OpKind] = &[HyperPre, HyperSinkhorn, HyperPost, HyperHead];

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("hyper.backward_sums", ALL, "adds from the last term to the first"),
    Variant::honest("hyper.pairwise_sums", ALL, "adds halves recursively"),
    Variant::honest("hyper.sixteen_lanes", ALL, "adds in sixteen interleaved lanes"),
    Variant::honest("hyper.fused_multiply_add", ALL, "adds products without rounding them"),
    Variant::honest("hyper.split_sums", ALL, "adds four parts of a sum on their own"),
    Variant::honest("hyper.split_sums_by_rows", STREAMS, "splits sums only where there are several rows, and says so"),
    Variant::honest("hyper.fast_exponential", QUOTIENTS, "takes exponentials from a polynomial"),
    Variant::honest("hyper.reciprocals", QUOTIENTS, "multiplies by reciprocals of sums"),
    Variant::honest("hyper.newton_roots", PROJECTED, "refines a guess of the root by Newton's iteration"),
    Variant::honest("hyper.normalised_first", PROJECTED, "normalises the streams before they are projected"),
    // Coefficients.
    Variant::planted("hyper.stream_stride_ignored", STREAMS, "reads streams as if they had no gaps"),
    Variant::planted("hyper.bf16_accumulator", ALL, "keeps partial sums in BF16"),
    Variant::planted("hyper.tf32_products", PROJECTED, "cuts factors to ten fraction bits"),
    Variant::planted("hyper.sum_tail_dropped", PROJECTED, "forgets the terms after whole tiles of 32"),
    Variant::planted("hyper.order_depends_on_rows", STREAMS, "splits sums where there are several rows, but claims D2"),
    Variant::planted("hyper.projection_in_bf16", PROJECTED, "rounds the projection to BF16"),
    Variant::planted("hyper.norm_epsilon_missing", PROJECTED, "leaves epsilon out: a row of zeros becomes NaN"),
    Variant::planted("hyper.norm_of_first_stream", PROJECTED, "takes the root mean square of the first stream only"),
    Variant::planted("hyper.norm_by_sum", PROJECTED, "divides the sum of squares by the width of one stream"),
    Variant::planted("hyper.streams_interleaved", PROJECTED, "flattens channel by channel, not stream by stream"),
    Variant::planted("hyper.scale_of_first_group", PRE, "uses one scale for all coefficients"),
    Variant::planted("hyper.comb_bias_missing", PRE, "forgets the bias of the mixing matrix"),
    Variant::planted("hyper.pre_epsilon_missing", PRE, "adds no epsilon to the weights of the sum"),
    Variant::planted("hyper.pre_and_post_swapped", PRE, "gives the weights of the sum as those of the output"),
    Variant::planted("hyper.post_not_doubled", PRE, "forgets the factor 2 of the output's weights"),
    Variant::planted("hyper.post_epsilon_added", PRE, "adds epsilon to the output's weights"),
    Variant::planted("hyper.sum_not_rounded", PROJECTED, "normalises the sum before it is rounded"),
    Variant::planted("hyper.sublayer_norm_missing", PROJECTED, "applies the gain without the norm"),
    Variant::planted("hyper.gain_missing", PROJECTED, "forgets the gain of the norm"),
    Variant::planted("hyper.row_tail_skipped", BY_ROWS, "leaves out the rows after whole tiles of four"),
    // The mixing matrix.
    Variant::planted("hyper.rows_first", BALANCED, "divides rows where columns are due and columns where rows are"),
    Variant::planted("hyper.ends_with_rows", BALANCED, "ends with one more division of the rows"),
    Variant::planted("hyper.iteration_missing", BALANCED, "does one iteration less"),
    Variant::planted("hyper.iteration_too_many", BALANCED, "does one iteration more"),
    Variant::planted("hyper.iterations_fixed_at_20", BALANCED, "does 20 iterations whatever was asked"),
    Variant::planted("hyper.stops_when_settled", BALANCED, "stops when nothing changes by more than a thousandth"),
    Variant::planted("hyper.softmax_over_columns", BALANCED, "starts with a softmax over the first index"),
    Variant::planted("hyper.softmax_epsilon_missing", BALANCED, "adds no epsilon after the softmax"),
    Variant::planted("hyper.softmax_without_maximum", BALANCED, "takes exponentials of unshifted logits"),
    Variant::planted("hyper.exponentials_not_normalised", BALANCED, "starts from exponentials, not from a softmax"),
    Variant::planted("hyper.sum_epsilon_missing", BALANCED, "adds no epsilon to sums of rows and columns"),
    Variant::planted("hyper.comb_given_transposed", BALANCED, "gives the matrix with rows and columns swapped"),
    Variant::planted("hyper.logit_stride_ignored", &[HyperSinkhorn], "reads logits as if their rows had no gaps"),
    // Mixing and collapsing.
    Variant::planted("hyper.comb_not_transposed", POST, "sums over the second index of the matrix"),
    Variant::planted("hyper.output_stride_ignored", POST, "reads the sublayer's output as if its rows had no gaps"),
    Variant::equivalent(
        "hyper.result_stride_ignored",
        POST,
        "writes streams as if they had no gaps",
        "the result of this operator has no gaps: only its inputs may",
    ),
    Variant::planted("hyper.post_weights_in_bf16", POST, "rounds weights and matrix to BF16 first"),
    Variant::planted("hyper.mixed_streams_rounded_first", POST, "rounds both parts of the sum before it is taken"),
    Variant::planted(
        "hyper.post_in_place",
        POST,
        "reads streams that it has overwritten, where the result lies over them",
    ),
    Variant::planted("hyper.column_tail_skipped", POST, "leaves out the columns after whole tiles of 32"),
    Variant::planted("hyper.head_rows_in_order", HEAD, "takes the first rows, not the wanted ones"),
    Variant::planted("hyper.head_epsilon_missing", HEAD, "adds no epsilon to the weights"),
    Variant::planted("hyper.head_weights_normalised", HEAD, "divides the weights by their sum"),
];
