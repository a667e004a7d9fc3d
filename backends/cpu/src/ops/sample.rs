//! The sample family: the best of a row, and choosing a token.

pub(crate) mod best;
mod pick;
#[cfg(test)]
mod tests;

use super::{Choice, Ctx, Scratch, Tensor, unsupported};
use omnihal::op::sample::TopKArgs;
use omnihal::{Args, Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::SampleTopK(d) => Choice::new(topk, Scratch::bytes(threads, 8 * d.width)),
        Op::SamplePick(d) => Choice::new(pick::pick, pick::workspace(d, threads)),
        op => unsupported(op),
    }
}

fn topk(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::SampleTopK(d) = op else { return unsupported(op).map(|_| ()) };
    let a = TopKArgs::new(args)?;
    let [x, values, idx] = [a.x, a.values, a.idx].map(Tensor::new);
    let scratch = Scratch::new(args.workspace, 0, 8 * d.width);
    ctx.pool.run(d.rows, &|row, thread| {
        // SAFETY: a part of the scratch belongs to its thread.
        let ranks = unsafe { scratch.slice::<u64>(thread, 0, d.width) };
        for (i, rank) in ranks.iter_mut().enumerate() {
            // SAFETY: the element lies in the row.
            *rank = best::rank(unsafe { x.get(x.place(&[row, i])) }, i, d.largest);
        }
        let kept = best::keep_best(ranks, d.keep);
        if d.sorted {
            kept.sort_unstable();
        }
        for (q, &rank) in kept.iter().enumerate() {
            let place = best::place(rank);
            // SAFETY: the row of the results belongs to this task.
            unsafe {
                values.set(values.place(&[row, q]), x.get(x.place(&[row, place])));
                idx.at::<i32>(idx.place(&[row, q])).write_unaligned(place as i32);
            }
        }
    });
    Ok(())
}
