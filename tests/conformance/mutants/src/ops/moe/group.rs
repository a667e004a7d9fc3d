//! moe.group: pairs of row and choice by expert, then by pair.

use crate::Call;
use crate::rows::strided;
use crate::tensor::{ints, store_ints};
use omnihal::op::moe::Group;

pub fn group(call: &Call<'_>, d: &Group) {
    let idx = ints(&strided(call, 0, "moe.choice_stride_ignored"));
    let experts: Vec<Option<usize>> = idx.iter().map(|&e| local(call, d, e)).collect();
    let perm = if call.is("moe.grouped_by_counting") { counted(d, &experts) } else { sorted(call, d, &experts) };
    let mut counts = vec![0; d.local];
    experts.iter().flatten().for_each(|&e| counts[e] += 1);
    if call.is("moe.foreign_experts_counted")
        && let Some(last) = counts.last_mut()
    {
        *last += experts.iter().filter(|e| e.is_none()).count() as i32;
    }
    if call.is("moe.counts_not_cleared")
        && let Ok(mut kept) = call.kept.lock()
    {
        kept.resize(d.local, 0.0);
        counts.iter_mut().zip(kept.iter_mut()).for_each(|(c, k)| {
            *c += *k as i32;
            *k = *c as f32;
        });
    }
    if call.is("moe.offsets_for_counts") {
        let mut end = 0;
        counts.iter_mut().for_each(|c| {
            end += *c;
            *c = end;
        });
    }
    let mut inv = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(place, &pair)| inv[pair] = place as i32);
    let numbers = |f: &dyn Fn(usize) -> usize| perm.iter().map(|&p| f(p) as i32).collect::<Vec<_>>();
    store_ints(call.arg(1), &numbers(&|pair| pair));
    let src = |pair: usize| if call.is("moe.source_is_choice") { pair % d.choices } else { pair / d.choices };
    store_ints(call.arg(2), &numbers(&src));
    store_ints(call.arg(3), &if call.is("moe.inverse_is_order") { numbers(&|pair| pair) } else { inv });
    store_ints(call.arg(4), &counts);
}

/// The local number of an expert, if it is here.
fn local(call: &Call<'_>, d: &Group, expert: i32) -> Option<usize> {
    let expert = if call.is("moe.absent_expert_is_first") { expert.max(d.first as i32) } else { expert };
    let expert = usize::try_from(expert).ok()?;
    match () {
        () if call.is("moe.first_expert_ignored") => Some(expert).filter(|&e| e < d.local),
        () if call.is("moe.experts_modulo_local") => Some(expert % d.local),
        () if call.is("moe.last_expert_foreign") => expert.checked_sub(d.first).filter(|&e| e + 1 < d.local),
        () => expert.checked_sub(d.first).filter(|&e| e < d.local),
    }
}

fn sorted(call: &Call<'_>, d: &Group, experts: &[Option<usize>]) -> Vec<usize> {
    let key = |pair: usize| match experts[pair] {
        Some(e) => e + 1,
        None if call.is("moe.absent_experts_first") => 0,
        None => d.local + 1,
    };
    let mut perm: Vec<usize> = (0..experts.len()).collect();
    match () {
        () if call.is("moe.pairs_of_an_expert_backwards") => perm.sort_by_key(|&p| (key(p), usize::MAX - p)),
        () if call.is("moe.pairs_by_choice_first") => perm.sort_by_key(|&p| (key(p), p % d.choices, p)),
        () => perm.sort_by_key(|&p| (key(p), p)),
    }
    perm
}

/// By counting: the place of each expert's first pair, then one pair after the other.
fn counted(d: &Group, experts: &[Option<usize>]) -> Vec<usize> {
    let bin = |e: &Option<usize>| e.unwrap_or(d.local);
    let mut next = vec![0; d.local + 2];
    experts.iter().for_each(|e| next[bin(e) + 1] += 1);
    (0..=d.local).for_each(|e| next[e + 1] += next[e]);
    let mut perm = vec![0; experts.len()];
    for (pair, e) in experts.iter().enumerate() {
        perm[next[bin(e)]] = pair;
        next[bin(e)] += 1;
    }
    perm
}
