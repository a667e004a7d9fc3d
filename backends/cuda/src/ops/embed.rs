//! `embed.*`.

use super::walk::{self, RUN, THREADS, aligned};
use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, params};
use crate::stream::Queue;
use omnihal::op::embed::{IdsArgs, LookupArgs};
use omnihal::{Args, DType, Error, Op, Result};

params! {
    /// Parameters of `embed_16`, `embed_4`, `embed_2` (strides in units) and `embed_cast` (strides in elements).
    EmbedLookup {
        table: Rows,
        x: Rows,
        ids: Ptr,
        units: u64,
        count: u64,
        width: i64,
        vocab: i32,
        copies: i32,
        whole: i32,
        reserved: i32,
    }
    /// Parameters of `embed_ids`.
    EmbedIds {
        toks: Ptr,
        last: Ptr,
        ids: Ptr,
        toks_row: i64,
        last_row: i64,
        rows: i32,
        slots: i32,
        drafts: i32,
        reserved: i32,
    }
}

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::EmbedLookup(d) => {
            fits(&[d.rows, d.vocab, d.width, d.copies])?;
            if let Some(other) = [d.table, d.act].iter().find(|t| !matches!(t, DType::F32 | DType::BF16)) {
                return Err(Error::unsupported(format!("embeddings of type {other} were asked; use F32 or BF16")));
            }
            if d.table != d.act {
                return Ok(Choice::new(cast, &[modules.function("embed", "embed_cast", 0)?]));
            }
            let one = if d.act == DType::BF16 { "embed_2" } else { "embed_4" };
            Ok(Choice::new(lookup, &[modules.function("embed", one, 0)?, modules.function("embed", "embed_16", 0)?]))
        }
        Op::EmbedIds(d) => {
            fits(&[d.rows, d.slots, d.drafts])?;
            Ok(Choice::new(ids, &[modules.function("embed", "embed_ids", 0)?]))
        }
        other => unsupported(other),
    }
}

fn lookup(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::EmbedLookup(d), views) = (&plan.op, LookupArgs::new(args)?) else { return Ok(()) };
    let per_unit = 16 / d.act.bytes(1);
    let whole = aligned(views.table) && aligned(views.x) && d.width.is_multiple_of(per_unit);
    let by = if whole { per_unit } else { 1 };
    let in_units = |rows: Rows| Rows { outer: rows.outer / by as i64, inner: rows.inner / by as i64, ..rows };
    let params = EmbedLookup {
        table: in_units(Rows::new(views.table)),
        x: in_units(Rows::new(views.x)),
        ids: views.ids.into(),
        units: (d.width / by) as u64,
        count: (d.rows.min(args.rows_hint) * (d.width / by)) as u64,
        width: d.width as i64,
        vocab: int(d.vocab),
        copies: int(d.copies),
        whole: i32::from(whole),
        reserved: 0,
    };
    queue.launch(plan.kernel(usize::from(whole))?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

fn cast(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::EmbedLookup(d), views) = (&plan.op, LookupArgs::new(args)?) else { return Ok(()) };
    let runs = d.width.div_ceil(RUN);
    let params = EmbedLookup {
        table: Rows::new(views.table),
        x: Rows::new(views.x),
        ids: views.ids.into(),
        units: runs as u64,
        count: (d.rows.min(args.rows_hint) * runs) as u64,
        width: d.width as i64,
        vocab: int(d.vocab),
        copies: int(d.copies),
        whole: i32::from(aligned(views.table) && aligned(views.x)),
        reserved: 0,
    };
    queue.launch(plan.kernel(0)?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

fn ids(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::EmbedIds(d), views) = (&plan.op, IdsArgs::new(args)?) else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint);
    let params = EmbedIds {
        toks: views.toks.into(),
        last: views.last.into(),
        ids: views.ids.into(),
        toks_row: views.toks.strides[0] as i64,
        last_row: views.last.strides[0] as i64,
        rows: int(rows),
        slots: int(d.slots),
        drafts: int(d.drafts),
        reserved: 0,
    };
    queue.launch(plan.kernel(0)?, [walk::blocks(rows as u64), 1, 1], THREADS, 0, &params)
}
