//! sample.pick.

use super::choice;
use super::result::{self, NewRow};
use super::step;
use crate::num::{self, Num, U_ACC};
use crate::tensor::{Output, Reader, index, read};
use omnihal::op::sample::{Pick, PickArgs};
use omnihal::{Args, OpKind, Result};

/// Parameters of a row, by the columns of `par`.
#[derive(Clone, Copy)]
struct Params {
    temperature: f64,
    top_k: f64,
    top_p: f64,
    min_p: f64,
    penalty: f64,
    u: f64,
}

/// A chosen token.
struct Picked {
    token: usize,
    logprob: Num,
    /// No honest device may choose another.
    decided: bool,
}

pub fn pick(d: &Pick, args: &Args) -> Result<Vec<Output>> {
    let a = PickArgs::new(args)?;
    let tokens = step::tokens(a.toks, usize::MAX)?;
    let (logits, par, u) = (Reader::new(a.logits)?, read(a.par)?, read(a.u)?);
    let seen = a.seen.map(Reader::new).transpose()?;

    let (mut tok, mut logprob) = (vec![-1.0; d.wanted], vec![Num::ZERO; d.wanted]);
    let mut decided = vec![false; d.wanted];
    let (mut new_last, mut new_seen) = (Vec::new(), Vec::new());
    let mut picked_of_slot = vec![0; d.slots];
    for (i, row) in read(a.out)?.data.iter().enumerate() {
        let Some(token) = index(*row, d.rows).and_then(|row| tokens[row]).filter(|t| t.slot < d.slots) else {
            continue;
        };
        let p = par.row(i);
        let params = Params { temperature: p[0], top_k: p[1], top_p: p[2], min_p: p[3], penalty: p[4], u: u.data[i] };
        let seen = seen.as_ref().map(|seen| seen.row(token.slot)).transpose()?;
        let picked = choose(&logits.row(i)?, seen.as_deref(), params, d.candidates);
        (tok[i], logprob[i], decided[i]) = (picked.token as f64, picked.logprob, picked.decided);
        let one = |row: usize, v: f64| NewRow { row, values: vec![Num::exact(v)], decided: picked.decided };
        let nth = picked_of_slot[token.slot];
        picked_of_slot[token.slot] += 1;
        if nth <= d.drafts {
            new_last.push(one(token.slot * (d.drafts + 1) + nth, picked.token as f64));
        }
        new_seen.push(one(token.slot * d.vocab + picked.token, 1.0));
    }
    let op = OpKind::SamplePick;
    let mut outputs = vec![
        result::dense_exact(op, "tok", tok, &decided),
        result::dense(op, "logprob", logprob, &decided),
        result::rows(op, "last", 1, true, new_last),
    ];
    if d.penalties {
        outputs.push(result::rows(op, "seen", 1, true, new_seen));
    }
    Ok(outputs)
}

fn choose(logits: &[f64], seen: Option<&[f64]>, params: Params, candidates: usize) -> Picked {
    if params.temperature == 0.0 {
        let scores: Vec<Num> = logits.iter().copied().map(Num::exact).collect();
        let token = choice::best(&scores, 1)[0];
        return Picked { token, logprob: logprob(&scores, token), decided: true };
    }
    let penalty = Num::exact(params.penalty);
    let scaled: Vec<Num> = logits
        .iter()
        .enumerate()
        .map(|(id, &l)| {
            let l = Num::exact(l);
            let l = match seen {
                Some(seen) if seen[id] != 0.0 && params.penalty != 1.0 => {
                    if l.v > 0.0 {
                        l / penalty
                    } else {
                        l * penalty
                    }
                }
                _ => l,
            };
            l / Num::exact(params.temperature)
        })
        .collect();
    let order = choice::best(&scaled, candidates.max(1));
    let shift = scaled[order[0]].v;
    let total: f64 = scaled.iter().filter(|l| !l.v.is_nan()).map(|l| (l.v - shift).exp()).sum();
    let p: Vec<f64> = order.iter().map(|&id| (scaled[id].v - shift).exp() / total).collect();
    let place = cut_and_draw(&p, params, 0.0);
    // Devices add probabilities up in f32: a draw that a shift of every border by that much changes is nobody's fault.
    let slack = SLACK * (logits.len() as f64).sqrt() * U_ACC * (1.0 + shift.abs());
    let steady = [-slack, slack].iter().all(|&nudge| cut_and_draw(&p, params, nudge) == place);
    let apart =
        |a: usize, b: usize| scaled[order[a]].v == scaled[order[b]].v || scaled[order[a]].lo() > scaled[order[b]].hi();
    let alone = (place == 0 || apart(place - 1, place)) && (place + 1 >= order.len() || apart(place, place + 1));
    let token = order[place];
    Picked { token, logprob: logprob(&scaled, token), decided: steady && alone }
}

/// Share of a probability that f32 arithmetic may lose or add, in units of `sqrt(vocabulary)` roundoffs: the sum (architecture.md 6), and as
/// much again for the exponentials and the running sums.
const SLACK: f64 = 12.0;

/// Place of the drawn candidate, with every border moved by `nudge`. `p` holds the candidates' true probabilities, best first.
fn cut_and_draw(p: &[f64], params: Params, nudge: f64) -> usize {
    let mut kept: &[f64] = p;
    if params.top_k >= 1.0 && params.top_k < kept.len() as f64 {
        kept = &kept[..params.top_k as usize];
    }
    if params.top_p < 1.0 {
        let mut before = 0.0;
        let within = kept.iter().take_while(|&&p| {
            let stays = before < params.top_p + nudge;
            before += p;
            stays
        });
        kept = &kept[..within.count().max(1)];
    }
    let floor = params.min_p * kept[0] * (1.0 + nudge);
    kept = &kept[..kept.iter().take_while(|&&p| p >= floor).count().max(1)];
    let total: f64 = kept.iter().sum();
    let mut sum = 0.0;
    let drawn = kept.iter().position(|p| {
        sum += p;
        sum / total > params.u + nudge
    });
    drawn.unwrap_or(kept.len() - 1)
}

/// Logarithm of a token's share among all.
fn logprob(scaled: &[Num], token: usize) -> Num {
    let shift = Num::exact(scaled.iter().map(|l| l.v).fold(f64::NEG_INFINITY, f64::max));
    let total = num::sum(&scaled.iter().map(|&l| (l - shift).exp()).collect::<Vec<_>>());
    scaled[token] - shift - total.ln()
}
