//! Choosing a token.

use super::cuts::{Params, drawn};
use crate::Call;
use crate::ops::copy::packed;
use crate::tensor::{ints, load, store, store_ints};
use omnihal::op::sample::Pick;

/// Logits after penalty and temperature.
fn scaled(call: &Call<'_>, logits: &[f32], seen: Option<&[f32]>, par: &Params) -> Vec<f32> {
    let penalised = |(id, &l): (usize, &f32)| {
        let Some(seen) = seen else { return l };
        let all = call.is("sample.penalty_for_unseen_tokens");
        match () {
            () if seen[id] == 0.0 && !all => l,
            () if call.is("sample.penalty_is_ignored") => l,
            () if call.is("sample.penalty_divides_negative_logits_too") => l / par.penalty,
            () if call.is("sample.penalty_is_subtracted") => l - par.penalty,
            () if l > 0.0 => l / par.penalty,
            () => l * par.penalty,
        }
    };
    let cooled = |l: f32| match () {
        () if call.is("sample.temperature_multiplies") => l * par.temperature,
        () if call.is("sample.temperature_is_ignored") => l,
        () => l / par.temperature,
    };
    logits.iter().enumerate().map(penalised).map(cooled).collect()
}

/// Logarithm of a token's probability among all.
fn logprob(call: &Call<'_>, scores: &[f32], token: usize) -> f32 {
    let max = scores.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
    if call.is("sample.logprob_is_the_shifted_logit") {
        return scores[token] - max;
    }
    let exps = scores.iter().map(|x| (x - max).exp());
    let total: f32 = match () {
        () if call.is("sample.probabilities_summed_from_the_end") => exps.rev().sum(),
        () if call.is("sample.probabilities_summed_in_f64") => exps.map(f64::from).sum::<f64>() as f32,
        () => exps.sum(),
    };
    let log = scores[token] - max - total.ln();
    if call.is("sample.probability_instead_of_its_logarithm") { log.exp() } else { log }
}

/// The token of one row and its log-probability.
fn choose(call: &Call<'_>, d: &Pick, logits: &[f32], seen: Option<&[f32]>, par: &Params) -> (usize, f32) {
    if par.temperature == 0.0 {
        let order: Vec<f32> = if call.is("sample.greedy_with_penalty") {
            scaled(call, logits, seen, &par.at_temperature(1.0))
        } else {
            logits.to_vec()
        };
        let mut token = super::best(&order, 1, true)[0];
        if call.is("sample.greedy_takes_the_last_of_equals") {
            token = logits.iter().rposition(|l| *l == logits[token]).unwrap_or(token);
        }
        return (token, logprob(call, logits, token));
    }
    let scores = scaled(call, logits, seen, par);
    let order = super::best(&scores, d.candidates.max(1), true);
    let max = scores[order[0]];
    let total: f32 = if call.is("sample.probabilities_among_candidates_only") {
        order.iter().map(|&id| (scores[id] - max).exp()).sum()
    } else {
        scores.iter().filter(|s| !s.is_nan()).map(|s| (s - max).exp()).sum()
    };
    let shares: Vec<f32> = order.iter().map(|&id| (scores[id] - max).exp() / total).collect();
    let token = order[drawn(call, &shares, par)];
    let of = if call.is("sample.logprob_before_temperature") { logits } else { &scores };
    (token, logprob(call, of, token))
}

pub fn run(call: &Call<'_>, d: &Pick) {
    let logits = call.arg(0);
    let logits = load(&if call.is("sample.gaps_between_rows_are_ignored") { packed(logits) } else { *logits });
    let (par, u, out, toks) = (load(call.arg(1)), load(call.arg(2)), ints(call.arg(3)), ints(call.arg(4)));
    let mut seen = call.view(5).map(load);
    let mut last = ints(call.arg(6));
    let (mut tokens, mut logprobs) = (vec![-1; d.wanted], vec![0.0; d.wanted]);
    let mut picked = vec![0; d.slots];
    for i in 0..d.wanted {
        let Some(row) = usize::try_from(out[i]).ok().filter(|&r| r < d.rows) else { continue };
        let column = if call.is("sample.sequence_instead_of_slot") { 2 } else { 1 };
        let Some(slot) = usize::try_from(toks[row * 4 + column]).ok().filter(|&s| s < d.slots) else { continue };
        let at = if call.is("sample.parameters_of_the_first_row_for_all") { 0 } else { i };
        let uniform = if call.is("sample.one_uniform_number_for_all") { u[0] } else { u[i] };
        let params = Params::new(&par[at * 8..(at + 1) * 8], uniform);
        let of_slot = seen.as_ref().map(|s| &s[slot * d.vocab..(slot + 1) * d.vocab]);
        let (token, log) = choose(call, d, &logits[i * d.vocab..(i + 1) * d.vocab], of_slot, &params);
        (tokens[i], logprobs[i]) = (token as i32, log);
        let nth = picked[slot];
        picked[slot] += 1;
        if nth <= d.drafts && !call.is("sample.last_token_is_not_stored") {
            last[slot * (d.drafts + 1) + nth] = token as i32;
        }
        if let Some(seen) = seen.as_mut().filter(|_| !call.is("sample.token_is_not_marked_as_seen")) {
            let counts = call.is("sample.seen_tokens_are_counted");
            let cell = &mut seen[slot * d.vocab + token];
            *cell = if counts { *cell + 1.0 } else { 1.0 };
        }
    }
    if let (Some(view), Some(seen)) = (call.view(5), &seen) {
        store(view, seen);
    }
    store_ints(call.arg(6), &last);
    store_ints(call.arg(7), &tokens);
    store(call.arg(8), &logprobs);
}
