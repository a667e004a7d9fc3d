//! attention.latent and attention.query: norms and rotations of the projections of a row.

use super::row;
use crate::ops::cache::step::Tokens;
use crate::ops::{Ctx, Scratch, Tensor, unsupported};
use omnihal::op::attention::{Latent, LatentArgs, QueryArgs};
use omnihal::{Args, Op, Result};

/// A row, both gains and the angles.
fn floats(d: &Latent) -> usize {
    2 * (d.q_lora + d.head) + d.rotary
}

pub(super) fn workspace(d: &Latent, threads: usize) -> usize {
    Scratch::bytes(threads, 4 * floats(d))
}

pub(super) fn latent(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::AttentionLatent(d) = op else { return unsupported(op).map(|_| ()) };
    let a = LatentArgs::new(args)?;
    let [lat, q_norm, kv_norm, rope, qr, kv] = [a.lat, a.q_norm, a.kv_norm, a.rope, a.qr, a.kv].map(Tensor::new);
    let toks = Tokens::new(a.toks);
    let scratch = Scratch::new(args.workspace, 0, 4 * floats(d));
    let width = d.q_lora + d.head;
    // Gains are widened once a range.
    ctx.pool.ranges(d.rows.min(args.rows_hint), 8, &|rows, thread| {
        // SAFETY: a part of the scratch belongs to its thread.
        let all = unsafe { scratch.slice::<f32>(thread, 0, floats(d)) };
        let (row, rest) = all.split_at_mut(width);
        let (gains, cs) = rest.split_at_mut(width);
        // SAFETY: the gains are as long as the operator says.
        unsafe {
            q_norm.load(0, &mut gains[..d.q_lora], ctx.simd);
            kv_norm.load(0, &mut gains[d.q_lora..], ctx.simd);
        }
        for t in rows {
            // SAFETY: `t` is a row of every tensor with rows, and of one task; the position is kept inside the table.
            unsafe {
                let Some(token) = toks.get(t) else { continue };
                lat.load(lat.place(&[t]), row, ctx.simd);
                rope.load(rope.place(&[token.pos.min(d.positions - 1)]), cs, ctx.simd);
            }
            let (query, key) = row.split_at_mut(d.q_lora);
            row::normalise(query, Some(&gains[..d.q_lora]), d.eps);
            row::normalise(key, Some(&gains[d.q_lora..]), d.eps);
            row::round(d.act, key);
            row::rotate(key, cs, false);
            row::round(d.act, key);
            row::quantise(d.quant, d.rotary, key);
            // SAFETY: as above.
            unsafe {
                qr.store(qr.place(&[t]), query, ctx.simd);
                kv.store(kv.place(&[t]), key, ctx.simd);
            }
        }
    });
    Ok(())
}

/// Heads of one task: some microseconds of work.
const HEAD_GRAIN: usize = 16;

pub(super) fn query(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::AttentionQuery(d) = op else { return unsupported(op).map(|_| ()) };
    let a = QueryArgs::new(args)?;
    let (q, rope, toks) = (Tensor::new(a.q), Tensor::new(a.rope), Tokens::new(a.toks));
    let scratch = Scratch::new(args.workspace, 0, 4 * (d.head + d.rotary));
    ctx.pool.ranges(d.rows.min(args.rows_hint) * d.heads, HEAD_GRAIN, &|vectors, thread| {
        // SAFETY: a part of the scratch belongs to its thread.
        let (head, cs) = unsafe { scratch.slice::<f32>(thread, 0, d.head + d.rotary) }.split_at_mut(d.head);
        for i in vectors {
            let (t, h) = (i / d.heads, i % d.heads);
            let place = q.place(&[t, h]);
            // SAFETY: row and head lie in `q` and belong to one task; the position is kept inside the table.
            unsafe {
                let Some(token) = toks.get(t) else { continue };
                q.load(place, head, ctx.simd);
                rope.load(rope.place(&[token.pos.min(d.positions - 1)]), cs, ctx.simd);
                row::normalise(head, None, d.eps);
                row::rotate(head, cs, false);
                q.store(place, head, ctx.simd);
            }
        }
    });
    Ok(())
}
