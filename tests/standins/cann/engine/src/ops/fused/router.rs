//! The router (document of MoeGatingTopKV2 in CANN 9.1; vllm-ascend's MoeGatingTopKHash has the same parameters). The document's formula divides by the sum of all scores where experts
//! are chosen by score, and by that of the chosen ones where they are looked up; that the chosen ones are meant in both is an assumption.
//!
//! Mistakes: `sum-of-all` (the formula to the letter), `bias-in-weights`, `ties-last`.

use super::wrong::makes;
use crate::fault::{Answer, broken, code};
use crate::ops::Action;
use crate::ops::reader::{F32, I32, I64, Reader, is_float};
use crate::soc::{Soc, soc};

/// The square root of softplus.
const SQRT_SOFTPLUS: i64 = 2;

fn score(x: f32) -> f32 {
    // Softplus without overflow.
    (x.max(0.0) + (-x.abs()).exp().ln_1p()).sqrt()
}

pub(super) fn gating(r: &mut Reader<'_>, name: &'static str) -> Answer<Action> {
    let (x, bias, ids, table) = (r.input()?, r.optional_input()?, r.optional_input()?, r.optional_input()?);
    let (k, groups_kept, groups, _group_mode) = (r.whole()? as usize, r.whole()?, r.whole()?, r.whole()?);
    let (_renorm, norm, give) = (r.whole()?, r.whole()?, r.whole()? != 0);
    let (factor, epsilon) = (r.real()? as f32, r.real()? as f32);
    let (y, places, scores) = (r.output()?, r.output()?, r.optional_output()?);
    r.want(groups == 1 && groups_kept == 1, "the stand-in takes one group")?;
    r.want(norm == SQRT_SOFTPLUS, "the stand-in takes the root of softplus only")?;
    r.want(name != "MoeGatingTopKV2" || soc() == Soc::A950, "the root of softplus is on the newest chips only")?;
    let &[rows, experts] = x.dims() else { return r.bad("x is no matrix") };
    r.want(is_float(x.tensor.kind) && experts <= 2048 && (1..=experts).contains(&k), "sizes out of range")?;
    r.want(y.kind() == x.kind() && y.dims() == [rows, k], "the weights have another shape or type")?;
    r.want(places.kind() == I32 && places.dims() == [rows, k], "the experts have another shape or type")?;
    r.want(scores.as_ref().is_none_or(|s| s.kind() == F32 && s.dims() == x.dims()), "the scores have another shape")?;
    r.want(bias.as_ref().is_none_or(|b| b.dims() == [experts]), "the bias has another shape")?;
    r.want(ids.is_some() == table.is_some(), "ids and table come together")?;
    if let (Some(ids), Some(table)) = (&ids, &table) {
        r.want(
            k <= 64 && ids.dims() == [rows] && table.dims().len() == 2 && table.dims()[1] == k,
            "sizes of the table",
        )?;
        r.want([ids, table].iter().all(|held| matches!(held.kind(), I32 | I64)), "ids and table are integers")?;
    }
    Ok(Box::new(move || {
        let (xs, bias) = (x.floats(), bias.as_ref().map(|b| b.floats()));
        let looked_up = ids.as_ref().zip(table.as_ref()).map(|(ids, table)| (ids.ints(), table.ints()));
        let (mut weights, mut chosen) = (Vec::new(), Vec::new());
        let all: Vec<f32> = xs.iter().map(|&x| score(x)).collect();
        for (row, s) in all.chunks(experts).enumerate() {
            let biased = |e: usize| s[e] + bias.as_ref().map_or(0.0, |b| b[e]);
            let experts: Vec<usize> = match &looked_up {
                Some((ids, table)) => {
                    let Some(found) = usize::try_from(ids[row]).ok().and_then(|id| table.chunks(k).nth(id)) else {
                        return broken("index", code::AICORE, format!("{name}: id {} is not in the table", ids[row]));
                    };
                    found.iter().map(|&e| e as usize).collect()
                }
                None => best(experts, k, biased, makes(name, "ties-last")),
            };
            let value = |e: usize| if makes(name, "bias-in-weights") { biased(e) } else { s[e] };
            let total: f32 = match makes(name, "sum-of-all") {
                true => s.iter().sum(),
                false => experts.iter().map(|&e| value(e)).sum(),
            };
            weights.extend(experts.iter().map(|&e| value(e) / (total + epsilon) * factor));
            chosen.extend(experts.iter().map(|&e| e as i64));
        }
        y.put_floats(&weights);
        places.put_ints(&chosen);
        if let Some(scores) = scores.as_ref().filter(|_| give) {
            scores.put_floats(&all);
        }
        Ok(())
    }))
}

/// The places of the `k` largest.
fn best(count: usize, k: usize, value: impl Fn(usize) -> f32, ties_last: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if ties_last {
        order.reverse();
    }
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    order.truncate(k);
    order
}
