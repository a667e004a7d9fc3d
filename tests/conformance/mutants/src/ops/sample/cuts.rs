//! Cutting the candidates and drawing one of them.

use crate::Call;

/// Parameters of a row, in the order of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// Divides the logits; 0 takes the largest.
    pub temperature: f32,
    top_k: f32,
    top_p: f32,
    min_p: f32,
    /// Of tokens that were seen.
    pub penalty: f32,
    u: f32,
}

impl Params {
    /// From a row of parameters and the row's uniform number.
    pub fn new(par: &[f32], u: f32) -> Params {
        Params { temperature: par[0], top_k: par[1], top_p: par[2], min_p: par[3], penalty: par[4], u }
    }

    /// The same with another temperature.
    pub fn at_temperature(self, temperature: f32) -> Params {
        Params { temperature, ..self }
    }
}

/// How many of the candidates the cuts leave.
fn kept(call: &Call<'_>, shares: &[f32], par: &Params) -> usize {
    let mut count = shares.len();
    if par.top_k >= 1.0 && !call.is("sample.top_k_is_ignored") {
        let one_less = usize::from(call.is("sample.top_k_keeps_one_less"));
        count = count.min((par.top_k as usize).saturating_sub(one_less).max(1));
    }
    if par.top_p < 1.0 && !call.is("sample.top_p_is_ignored") {
        let (mut before, mut within) = (0.0, 0);
        for share in &shares[..count] {
            let reached = match () {
                () if call.is("sample.top_p_leaves_out_what_crosses_it") => before + share,
                () if call.is("sample.top_p_of_what_top_k_left") => before / shares[..count].iter().sum::<f32>(),
                () => before,
            };
            if reached >= par.top_p {
                break;
            }
            (before, within) = (before + share, within + 1);
        }
        count = within.max(1);
    }
    let floor = match () {
        () if call.is("sample.min_p_is_ignored") => 0.0,
        () if call.is("sample.min_p_is_absolute") => par.min_p,
        () => par.min_p * shares[0],
    };
    shares[..count].iter().take_while(|&&share| share >= floor).count().max(1)
}

/// The place of the candidate that the uniform number falls on.
pub fn drawn(call: &Call<'_>, shares: &[f32], par: &Params) -> usize {
    let left = &shares[..kept(call, shares, par)];
    let total: f32 = match () {
        () if call.is("sample.shares_are_not_renormalised") => 1.0,
        () => left.iter().sum(),
    };
    let u = if call.is("sample.uniform_number_from_the_other_end") { 1.0 - par.u } else { par.u };
    let mut sum = 0.0;
    let crossing = left.iter().position(|share| {
        let before = sum;
        sum += share;
        if call.is("sample.sum_before_the_candidate_decides") { before / total > u } else { sum / total > u }
    });
    crossing.unwrap_or(left.len() - 1)
}
