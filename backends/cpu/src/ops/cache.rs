//! The cache family: state rows.

pub(crate) mod step;
pub(crate) mod stored;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use super::{Choice, Ctx, Scratch, Tensor, unsupported};
use omnihal::op::cache::{CopyRowsArgs, RowsArgs, StoreArgs};
use omnihal::{Args, DType, Error, Op, Result};
use step::{Chunks, Tokens};
use stored::Stored;

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::CacheRows(_) => Choice::new(rows, 0),
        Op::CacheStore(d) => {
            activation(d.act)?;
            stored::check(d.format, d.width, d.rotary)?;
            Choice::new(store, Scratch::bytes(threads, 4 * d.width))
        }
        Op::CacheCopyRows(d) if d.dtype.bits() >= 8 => Choice::new(copy_rows, 0),
        op => unsupported(op),
    }
}

/// Refuses activation types that the fused kernels of this crate do not read.
pub(crate) fn activation(act: DType) -> Result<()> {
    if matches!(act, DType::F32 | DType::BF16) {
        return Ok(());
    }
    Err(Error::unsupported(format!("activations of type {act} were asked; use F32 or BF16")))
}

fn rows(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::CacheRows(d) = op else { return unsupported(op).map(|_| ()) };
    let a = RowsArgs::new(args)?;
    let [pt, which, j, phys] = [a.pt, a.which, a.j, a.phys].map(Tensor::new);
    // A row costs a division an entry: some thousand entries are worth a hand-over.
    ctx.pool.ranges(d.rows, (8192 / d.count).max(1), &|rows, _| {
        for i in rows {
            // SAFETY: `which` has one index a row.
            let table = unsafe { which.index(which.place(&[i])) };
            for q in 0..d.count {
                // SAFETY: `j` has `count` entries a row.
                let entry = unsafe { j.index(j.place(&[i, q])) };
                let legal = entry >= 0 && entry as usize / d.entries < d.table && (0..d.tables as i32).contains(&table);
                let row = if legal {
                    let (page, inner) = (entry as usize / d.entries, entry as usize % d.entries);
                    // SAFETY: table and page are inside `pt`, as just checked.
                    unsafe { pt.index(pt.place(&[table as usize, page])) * d.entries as i32 + inner as i32 }
                } else {
                    0
                };
                // SAFETY: each place of `phys` belongs to one task.
                unsafe { phys.at::<i32>(phys.place(&[i, q])).write_unaligned(row) };
            }
        }
    });
    Ok(())
}

fn store(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::CacheStore(d) = op else { return unsupported(op).map(|_| ()) };
    let a = StoreArgs::new(args)?;
    let (kv, ring) = (Tensor::new(a.kv), Stored::new(a.ring, d.format, d.width, d.rotary));
    let (toks, seqs) = (Tokens::new(a.toks), Chunks::new(a.seqs));
    let scratch = Scratch::new(args.workspace, 0, 4 * d.width);
    ctx.pool.ranges(d.rows.min(args.rows_hint), 32, &|rows, thread| {
        // SAFETY: a part of the scratch belongs to its thread.
        let row = unsafe { scratch.slice::<f32>(thread, 0, d.width) };
        for t in rows {
            // SAFETY: `t` is a row of the step, and its sequence is in `seqs`; the slot and the place are inside the ring, and
            // rows that a later row of the step would overwrite are left out, so that no two tasks write the same place.
            unsafe {
                let Some(token) = toks.get(t) else { continue };
                if token.pos + d.ring < seqs.get(token.seq).end() {
                    continue;
                }
                kv.load(kv.place(&[t]), row, ctx.simd);
                ring.store(token.slot, token.pos % d.ring, row, ctx.simd);
            }
        }
    });
    Ok(())
}

/// Bytes that one task copies.
const COPY_GRAIN: usize = 1 << 18;

fn copy_rows(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::CacheCopyRows(d) = op else { return unsupported(op).map(|_| ()) };
    let a = CopyRowsArgs::new(args)?;
    let [t, from, to] = [a.t, a.from, a.to].map(Tensor::new);
    let bytes = d.dtype.bytes(d.width);
    let pitch = d.dtype.bytes(a.t.strides[0]);
    let parts = bytes.div_ceil(COPY_GRAIN);
    let legal = |row: i32| (0..d.rows as i64).contains(&(row as i64));
    ctx.pool.run(d.count * parts, &|task, _| {
        let (i, start) = (task / parts, task % parts * COPY_GRAIN);
        // SAFETY: both index tensors have `count` elements.
        let (from, to) = unsafe { (from.index(from.place(&[i])), to.index(to.place(&[i]))) };
        if legal(from) && legal(to) {
            let len = COPY_GRAIN.min(bytes - start);
            // SAFETY: both rows are inside the tensor; rows read and rows written are disjoint sets by the operator's contract.
            unsafe {
                let source = t.at::<u8>(from as usize * pitch + start);
                std::ptr::copy(source, t.at::<u8>(to as usize * pitch + start), len);
            }
        }
    });
    Ok(())
}
