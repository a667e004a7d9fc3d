//! `cache.*`.

use super::walk::{self, THREADS, aligned, widest};
use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, params};
use crate::stream::Queue;
use omnihal::op::cache::{CopyRowsArgs, RowsArgs, Store, StoreArgs};
use omnihal::{Args, DType, Error, Op, Result, RowFormat};

params! {
    /// Parameters of `cache_rows`.
    CacheRows {
        pt: Ptr,
        which: Ptr,
        j: Rows,
        phys: Rows,
        pt_row: i64,
        columns: u64,
        count: u64,
        tables: i32,
        table: i32,
        entries: i32,
        reserved: i32,
    }
    /// Parameters of `store_plain` and `store_packed`.
    CacheStore {
        kv: Rows,
        to: Ptr,
        toks: Ptr,
        seq_rows: Ptr,
        slot_bytes: i64,
        row_bytes: i64,
        toks_row: i64,
        seqs_row: i64,
        seqs: i32,
        slots: i32,
        ring: i32,
        width: i32,
        turned: i32,
        group: i32,
        kind: i32,
        stored: i32,
        whole: i32,
        row_whole: i32,
    }
    /// Parameters of `copy_rows`: a row is copied in `parts`.
    CacheCopy {
        data: Ptr,
        from: Ptr,
        to: Ptr,
        row_bytes: i64,
        units: i64,
        parts: u32,
        rows: i32,
        unit: i32,
        reserved: i32,
    }
}

/// Threads of a block that stores a row: a run of eight channels for each.
const STORE_THREADS: u32 = 128;

/// Units that a block of `copy_rows` moves.
const PART: usize = 1024;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::CacheRows(d) => {
            fits(&[d.rows, d.count, d.tables, d.table, d.entries])?;
            Ok(Choice::new(rows, &[modules.function("cache", "cache_rows", 0)?]))
        }
        Op::CacheStore(d) => {
            storable(d)?;
            fits(&[d.rows, d.seqs, d.slots, d.ring, d.width])?;
            let name = if matches!(d.format, RowFormat::Plain(_)) { "store_plain" } else { "store_packed" };
            Ok(Choice::new(store, &[modules.function("cache", name, 0)?]))
        }
        Op::CacheCopyRows(d) if d.dtype.bits() >= 8 => {
            fits(&[d.rows, d.count.saturating_mul(d.dtype.bytes(d.width).div_ceil(PART))])?;
            Ok(Choice::new(copy_rows, &[modules.function("cache", "copy_rows", 0)?]))
        }
        other => unsupported(other),
    }
}

/// Channels that share a scale, and the number of the code grid in the kernels.
fn groups(format: RowFormat) -> (usize, i32) {
    match format {
        RowFormat::F4 => (32, 1),
        _ => (64, 0),
    }
}

/// Refuses activations and rows that the kernels do not store.
fn storable(d: &Store) -> Result<()> {
    if !matches!(d.act, DType::F32 | DType::BF16) {
        return Err(Error::unsupported(format!("activations of type {} were asked; use F32 or BF16", d.act)));
    }
    let group = groups(d.format).0;
    let whole = match d.format {
        RowFormat::Plain(dtype) => matches!(dtype, DType::F32 | DType::BF16),
        RowFormat::F8R => d.rotary <= d.width && (d.width - d.rotary).is_multiple_of(group),
        RowFormat::F4 => d.width.is_multiple_of(group),
    };
    match whole {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "rows of {} channels, {} rotated, cannot be stored as {}; use F32 or BF16",
            d.width, d.rotary, d.format
        ))),
    }
}

fn rows(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::CacheRows(d), views) = (&plan.op, RowsArgs::new(args)?) else { return Ok(()) };
    let params = CacheRows {
        pt: views.pt.into(),
        which: views.which.into(),
        j: Rows::new(views.j),
        phys: Rows::new(views.phys),
        pt_row: views.pt.strides[0] as i64,
        columns: d.count as u64,
        count: (d.rows * d.count) as u64,
        tables: int(d.tables),
        table: int(d.table),
        entries: int(d.entries),
        reserved: 0,
    };
    queue.launch(plan.kernel(0)?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

fn store(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::CacheStore(d), views) = (&plan.op, StoreArgs::new(args)?) else { return Ok(()) };
    let (group, kind) = groups(d.format);
    let ring = views.ring;
    let (slot_bytes, row_bytes) = (ring.dtype.bytes(ring.strides[0]), ring.dtype.bytes(ring.strides[1]));
    // A run of codes is one store of 8 or 4 bytes.
    let row_whole = match d.format {
        RowFormat::Plain(_) => aligned(ring),
        _ => (ring.addr() | slot_bytes as u64 | row_bytes as u64).is_multiple_of(if kind == 0 { 8 } else { 4 }),
    };
    let params = CacheStore {
        kv: Rows::new(views.kv),
        to: ring.into(),
        toks: views.toks.into(),
        seq_rows: views.seqs.into(),
        slot_bytes: slot_bytes as i64,
        row_bytes: row_bytes as i64,
        toks_row: views.toks.strides[0] as i64,
        seqs_row: views.seqs.strides[0] as i64,
        seqs: int(d.seqs),
        slots: int(d.slots),
        ring: int(d.ring),
        width: int(d.width),
        turned: int(if d.format == RowFormat::F8R { d.rotary } else { 0 }),
        group: int(group),
        kind,
        stored: ring.dtype as i32,
        whole: i32::from(aligned(views.kv)),
        row_whole: i32::from(row_whole),
    };
    let rows = d.rows.min(args.rows_hint) as u32;
    queue.launch(plan.kernel(0)?, [rows, 1, 1], STORE_THREADS, 0, &params)
}

fn copy_rows(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::CacheCopyRows(d), views) = (&plan.op, CopyRowsArgs::new(args)?) else { return Ok(()) };
    let (bytes, gap) = (d.dtype.bytes(d.width), d.dtype.bytes(views.t.strides[0]));
    let unit = widest([views.t.addr(), bytes as u64, gap as u64].into_iter());
    let units = bytes / unit;
    let parts = units.div_ceil(PART);
    let params = CacheCopy {
        data: views.t.into(),
        from: views.from.into(),
        to: views.to.into(),
        row_bytes: gap as i64,
        units: units as i64,
        parts: parts as u32,
        rows: int(d.rows),
        unit: unit as i32,
        reserved: 0,
    };
    queue.launch(plan.kernel(0)?, [(parts * d.count) as u32, 1, 1], THREADS, 0, &params)
}
