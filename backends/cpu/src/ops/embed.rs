//! Token ids and their embeddings.

use super::{Choice, Ctx, Scratch, Tensor, each_row, unsupported};
use omnihal::op::embed::{IdsArgs, Lookup, LookupArgs};
use omnihal::{Args, Op, Result};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::EmbedLookup(d) => Choice::new(lookup, Scratch::bytes(threads, part(d))),
        Op::EmbedIds(_) => Choice::new(ids, 0),
        other => unsupported(other),
    }
}

/// Bytes that a thread needs: a row.
fn part(d: &Lookup) -> usize {
    4 * d.width
}

fn lookup(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let (Op::EmbedLookup(d), views) = (op, LookupArgs::new(args)?) else { return Ok(()) };
    let (table, ids, x) = (Tensor::new(views.table), Tensor::new(views.ids), Tensor::new(views.x));
    let scratch = Scratch::new(args.workspace, 0, part(d));
    each_row(ctx, d.rows.min(args.rows_hint), d.width * d.copies, &|row, thread| {
        // SAFETY: the row lies in `ids` and `x`, the id was checked; each task has its own row, each thread its own scratch.
        unsafe {
            let values = scratch.slice::<f32>(thread, 0, d.width);
            match usize::try_from(ids.index(ids.place(&[row]))) {
                Ok(id) if id < d.vocab => table.load(table.place(&[id]), values, ctx.simd),
                _ => values.fill(0.0),
            }
            for copy in 0..d.copies {
                x.store(x.place(&[row, copy]), values, ctx.simd);
            }
        }
    });
    Ok(())
}

fn ids(op: &Op, args: &Args<'_>, _ctx: &Ctx<'_>) -> Result<()> {
    let (Op::EmbedIds(d), views) = (op, IdsArgs::new(args)?) else { return Ok(()) };
    let (toks, last, ids) = (Tensor::new(views.toks), Tensor::new(views.last), Tensor::new(views.ids));
    for row in 0..d.rows.min(args.rows_hint) {
        // SAFETY: the row lies in `toks` and `ids`; slot and place in `last` are checked.
        unsafe {
            let [slot, id] = [1, 3].map(|column| toks.index(toks.place(&[row, column])));
            let back = usize::try_from(-1 - id as i64).ok().filter(|b| *b <= d.drafts);
            let id = match (usize::try_from(slot).ok().filter(|s| *s < d.slots), back) {
                (None, _) => 0,
                (Some(_), None) => id.max(0),
                (Some(slot), Some(back)) => last.index(last.place(&[slot, back])),
            };
            ids.at::<i32>(ids.place(&[row])).write(id);
        }
    }
    Ok(())
}
