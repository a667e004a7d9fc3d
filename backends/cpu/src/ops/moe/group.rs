//! `moe.group`: a counting sort of (row, choice) pairs by expert.

use crate::ops::{Choice, Ctx, Scratch, Tensor};
use omnihal::op::moe::{Group, GroupArgs};
use omnihal::{Args, Op, Result};

pub(super) fn plan(d: &Group) -> Result<Choice> {
    Choice::new(run, Scratch::bytes(1, 4 * (d.local + 1)))
}

fn run(op: &Op, args: &Args<'_>, _ctx: &Ctx<'_>) -> Result<()> {
    let (Op::MoeGroup(d), views) = (op, GroupArgs::new(args)?) else { return Ok(()) };
    let [idx, perm, src, inv, counts] = [views.idx, views.perm, views.src, views.inv, views.counts].map(Tensor::new);
    // Rows past the hint count as absent, so that every place is still written.
    let live = d.rows.min(args.rows_hint);
    let expert = |pair: usize| {
        // SAFETY: the pair lies in `idx`.
        let expert = unsafe { idx.index(idx.place(&[pair / d.choices, pair % d.choices])) };
        local(expert, d.first, d.local).filter(|_| pair / d.choices < live)
    };
    let scratch = Scratch::new(args.workspace, 0, 4 * (d.local + 1));
    // SAFETY: the plan sized the workspace.
    let next = unsafe { scratch.slice::<i32>(0, 0, d.local + 1) };
    starts(next, d.rows * d.choices, expert);
    for (e, pair) in next.windows(2).enumerate() {
        // SAFETY: the expert lies in `counts`.
        unsafe { counts.at::<i32>(counts.place(&[e])).write(pair[1] - pair[0]) };
    }
    for pair in 0..d.rows * d.choices {
        let place = &mut next[expert(pair).unwrap_or(d.local)];
        // SAFETY: each pair and each place lies in these and comes once.
        unsafe {
            perm.at::<i32>(perm.place(&[*place as usize])).write(pair as i32);
            src.at::<i32>(src.place(&[*place as usize])).write((pair / d.choices) as i32);
            inv.at::<i32>(inv.place(&[pair])).write(*place);
        }
        *place += 1;
    }
    Ok(())
}

/// Number of an expert among those of this device.
pub(super) fn local(expert: i32, first: usize, count: usize) -> Option<usize> {
    usize::try_from(expert as i64 - first as i64).ok().filter(|e| *e < count)
}

/// First sorted place of each expert, and of the pairs that belong to none.
pub(super) fn starts(next: &mut [i32], pairs: usize, expert: impl Fn(usize) -> Option<usize>) {
    next.fill(0);
    for e in (0..pairs).filter_map(&expert) {
        next[e + 1] += 1;
    }
    for e in 1..next.len() {
        next[e] += next[e - 1];
    }
}
