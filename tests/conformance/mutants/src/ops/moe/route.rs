//! moe.route: scores of the experts, the choice, and the weights.

use crate::Call;
use crate::rows::math::Math;
use crate::rows::step;
use crate::rows::{numbers, put, strided, vector};
use crate::tensor::{bf16, ints, load, store_ints};
use omnihal::op::moe::{Route, Routing};

/// Keeps the division defined when all scores are 0 (deepseek-v4.md 10, row 12).
const SUM_FLOOR: f32 = 1e-20;

pub fn route(call: &Call<'_>, d: &Route) {
    let math = Math::of(call, d.rows);
    let x = strided(call, 0, "moe.routed_stride_ignored");
    let gate: Vec<Vec<f32>> = (0..d.experts).map(|e| numbers(call.arg(1), e)).collect();
    for (row, token) in step::tokens(call.arg(5)).into_iter().enumerate() {
        let Some(token) = token else {
            if !call.is("moe.padding_routed") {
                choose(call, row, &vec![-1; d.choices], &vec![0.0; d.choices]);
                continue;
            }
            choose(call, row, &(0..d.choices as i32).collect::<Vec<_>>(), &vec![0.0; d.choices]);
            continue;
        };
        let x = numbers(&x, row);
        let mut logits: Vec<f32> = gate.iter().map(|w| math.dot(&x, w)).collect();
        if call.is("moe.logits_in_bf16") {
            logits.iter_mut().for_each(|l| *l = bf16(*l));
        }
        if let Some(view) = call.view(8) {
            put(view, row, &logits);
        }
        let scores: Vec<f32> = logits.iter().map(|&l| score(call, &math, l)).collect();
        let chosen = chosen(call, d, &scores, row, token.pos);
        let weights = weights(call, d, &math, &scores, &chosen);
        choose(call, row, &chosen, &weights);
    }
}

fn choose(call: &Call<'_>, row: usize, experts: &[i32], weights: &[f32]) {
    if let Some(place) = vector(call.arg(6), row) {
        store_ints(&place, experts);
    }
    put(call.arg(7), row, weights);
}

/// `sqrt(softplus(x))`, linear above 20.
fn score(call: &Call<'_>, math: &Math, x: f32) -> f32 {
    let softplus = match () {
        () if call.is("moe.softplus_overflows") => (1.0 + math.exp(x)).ln(),
        () if call.is("moe.softplus_loses_small_terms") && x <= 20.0 => (1.0 + math.exp(x)).ln(),
        () if call.is("moe.softplus_from_magnitude") => x.max(0.0) + math.exp(-x.abs()).ln_1p(),
        () if x > 20.0 => x,
        () => math.exp(x).ln_1p(),
    };
    match () {
        () if call.is("moe.root_missing") => softplus,
        () if call.is("moe.sigmoid_for_softplus") => math.sigmoid(x),
        () => softplus.sqrt(),
    }
}

/// The chosen experts, -1 for none.
fn chosen(call: &Call<'_>, d: &Route, scores: &[f32], row: usize, pos: usize) -> Vec<i32> {
    let (Routing::Hash(rows), Some(table), Some(ids)) = (d.routing, call.view(3), call.view(4)) else {
        return best(call, d, scores);
    };
    let id = match () {
        () if call.is("moe.table_by_row") => row as i32,
        () if call.is("moe.table_by_position") => pos as i32,
        () => ints(ids)[row],
    };
    let Some(place) = usize::try_from(id).ok().filter(|&id| id < rows).and_then(|id| vector(table, id)) else {
        return vec![-1; d.choices];
    };
    let mut chosen = ints(&place);
    chosen.iter_mut().filter(|e| **e < 0 || **e >= d.experts as i32).for_each(|e| *e = -1);
    if call.is("moe.table_choices_sorted") {
        chosen.sort_unstable();
    }
    chosen
}

/// The experts of the best biased scores, best first, the lowest of equals.
fn best(call: &Call<'_>, d: &Route, scores: &[f32]) -> Vec<i32> {
    let bias = call.view(2).map(load).unwrap_or_default();
    let count = if call.is("moe.expert_tail_skipped") && d.experts > 8 { d.experts - d.experts % 8 } else { d.experts };
    let biased: Vec<f32> = (0..count)
        .map(|e| match () {
            () if call.is("moe.bias_missing") => scores[e],
            () if call.is("moe.bias_subtracted") => scores[e] - bias[e],
            () => scores[e] + bias[e],
        })
        .collect();
    let mut order: Vec<usize> = (0..count).collect();
    let tie = |a: usize, b: usize| if call.is("moe.ties_take_highest") { b.cmp(&a) } else { a.cmp(&b) };
    order.sort_by(|&a, &b| {
        let better = biased[b].partial_cmp(&biased[a]);
        better.unwrap_or_else(|| biased[a].is_nan().cmp(&biased[b].is_nan())).then(tie(a, b))
    });
    order.truncate(d.choices);
    match () {
        () if call.is("moe.choices_ascending") => order.sort_unstable(),
        () if call.is("moe.choices_worst_first") => order.reverse(),
        () => (),
    }
    order.into_iter().map(|e| e as i32).collect()
}

fn weights(call: &Call<'_>, d: &Route, math: &Math, scores: &[f32], chosen: &[i32]) -> Vec<f32> {
    let bias = call.view(2).map(load).filter(|_| call.is("moe.bias_in_weights"));
    let score = |&e: &i32| usize::try_from(e).ok().map(|e| scores[e] + bias.as_ref().map_or(0.0, |b| b[e]));
    let own: Vec<f32> = chosen.iter().filter_map(score).collect();
    let total = match () {
        () if call.is("moe.weights_of_all_experts") => math.sum(scores),
        () if call.is("moe.weights_not_normalised") => 1.0,
        () => math.sum(&own),
    };
    let scale = if call.is("moe.weight_scale_missing") { 1.0 } else { d.scale };
    let floor = if call.is("moe.sum_floor_too_high") { 1e-2 } else { SUM_FLOOR };
    chosen.iter().map(|e| score(e).map_or(0.0, |s| math.div(s, total + floor) * scale)).collect()
}
