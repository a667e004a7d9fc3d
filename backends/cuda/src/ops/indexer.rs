//! `indexer.*`.

use super::topk::{self, MERGE_THREADS, MOST_KEPT};
use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, params};
use crate::stream::Queue;
use omnihal::op::RowQuant;
use omnihal::op::indexer::{Query, QueryArgs, Select, SelectArgs};
use omnihal::{Accumulation, Args, DType, Error, Op, Result, RowFormat, View};

params! {
    /// Parameters of `query`.
    IndexerQuery {
        q: Rows,
        rope: Rows,
        toks: Rows,
        vectors: i64,
        heads: i32,
        width: i32,
        rotary: i32,
        positions: i32,
        hadamard: i32,
        quant: i32,
    }
    /// Parameters of the `select_*` kernels. `parts` holds `left` ranks for each row and segment.
    IndexerSelect {
        q: Rows,
        w: Rows,
        pool: Rows,
        pt: Rows,
        toks: Rows,
        idx: Rows,
        scores: Rows,
        parts: Ptr,
        factor: f32,
        heads: i32,
        width: i32,
        keep: i32,
        room: i32,
        ratio: i32,
        capacity: i32,
        pages: i32,
        entries: i32,
        shift: i32,
        table: i32,
        segments: i32,
        left: i32,
        q_aligned: i32,
        pool_aligned: i32,
        reserved: i32,
    }
}

/// Threads of a block of `query`: eight heads.
const QUERY_THREADS: u32 = 256;

/// Threads of the tensor-core kernels: eight warps with 16 keys each.
const MMA_THREADS: u32 = 256;

/// Heads and channels that fit the registers of the tensor-core kernels.
const MMA_HEADS: usize = 64;
const MMA_WIDTH: usize = 128;

/// Threads of `select_f32`: a lane a key.
const F32_THREADS: u32 = 128;

/// Entries that are scored in one go, as `SELECT_STEP` in `indexer_select.cuh`.
const STEP: usize = 128;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::IndexerQuery(d) => plan_query(d, modules),
        Op::IndexerSelect(d) => plan_select(d, modules),
        other => unsupported(other),
    }
}

fn activation(act: DType) -> Result<()> {
    match act {
        DType::F32 | DType::BF16 => Ok(()),
        other => Err(Error::unsupported(format!("activations in {other} were asked; use F32 or BF16"))),
    }
}

/// The kernel for heads of a width, and its shared memory.
fn query_kernel(width: usize) -> (&'static str, u32) {
    match width {
        64 => ("query_64", 0),
        128 => ("query_128", 0),
        other => ("query", (QUERY_THREADS as usize / 32 * other * 4) as u32),
    }
}

fn plan_query(d: &Query, modules: &Modules) -> Result<Choice> {
    activation(d.act)?;
    fits(&[d.rows * d.heads, d.width, d.positions])?;
    let (name, shared) = query_kernel(d.width);
    Ok(Choice::new(query, &[modules.function("indexer", name, shared)?]))
}

fn query(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::IndexerQuery(d), a) = (&plan.op, QueryArgs::new(args)?) else { return Ok(()) };
    let vectors = d.rows.min(args.rows_hint) * d.heads;
    let params = IndexerQuery {
        q: Rows::new(a.q),
        rope: Rows::new(a.rope),
        toks: Rows::new(a.toks),
        vectors: vectors as i64,
        heads: int(d.heads),
        width: int(d.width),
        rotary: int(d.rotary),
        positions: int(d.positions),
        hadamard: d.hadamard.into(),
        quant: (d.quant == RowQuant::F4All).into(),
    };
    let blocks = vectors.div_ceil(QUERY_THREADS as usize / 32) as u32;
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], QUERY_THREADS, query_kernel(d.width).1, &params)
}

/// How a row's entries are cut: `tuning` of the plan.
struct Cut {
    segments: usize,
    /// Ranks that a segment leaves for the merge.
    left: usize,
    threads: u32,
    shared: u32,
}

impl Cut {
    fn tuning(&self) -> [u32; 8] {
        [self.segments as u32, self.left as u32, self.threads, self.shared, 0, 0, 0, 0]
    }

    fn of(plan: &CudaPlan) -> Cut {
        let [segments, left, threads, shared, ..] = *plan.tuning();
        Cut { segments: segments as usize, left: left as usize, threads, shared }
    }
}

fn plan_select(d: &Select, modules: &Modules) -> Result<Choice> {
    activation(d.act)?;
    let capacity = d.pages.capacity();
    fits(&[d.rows * d.heads, d.width, capacity, d.pages.pages * d.pages.entries])?;
    if d.keep > MOST_KEPT {
        return Err(Error::unsupported(format!(
            "{} kept entries were asked, the kernels keep up to {MOST_KEPT}",
            d.keep
        )));
    }
    let keys = match d.format {
        RowFormat::Plain(DType::F32 | DType::BF16) => true,
        RowFormat::F4 => d.width % 32 == 0,
        _ => false,
    };
    if !keys {
        return Err(Error::unsupported(format!(
            "indexer keys of {} channels stored as {} were asked; use F32, BF16, or F4 in whole groups of 32",
            d.width, d.format
        )));
    }
    let fragments = d.act == DType::BF16 && d.heads <= MMA_HEADS && d.width <= MMA_WIDTH && d.width % 32 == 0;
    let room = topk::bytes(topk::room(d.keep, STEP));
    let (name, threads, shared) = match d.format {
        RowFormat::F4 if fragments => ("select_f4", MMA_THREADS, room),
        RowFormat::Plain(DType::BF16) if fragments => ("select_bf16", MMA_THREADS, room),
        _ => ("select_f32", F32_THREADS, room + f32_bytes(d)),
    };
    let parts = topk::parts(d.rows, modules.multiprocessors, capacity.div_ceil(STEP));
    let length = capacity.div_ceil(parts).next_multiple_of(STEP);
    let cut = Cut { segments: parts, left: d.keep.min(length), threads, shared };
    let mut choice = Choice::new(
        select,
        &[modules.function("indexer", name, shared)?, modules.function("indexer", "select_merge", merge_bytes(d))?],
    );
    if parts > 1 {
        choice.workspace = d.rows * parts * cut.left * 8;
    }
    if name != "select_f32" {
        // bf16 tensor cores of sm_80 and later align addends to at least the 23 fraction bits of f32 and truncate; a dot product is not longer than 128.
        choice.accumulation = Accumulation::TensorCoreTrunc { bits: 23, promote: 128 };
    }
    choice.tuning = cut.tuning();
    Ok(choice)
}

/// Shared memory of `select_merge`.
fn merge_bytes(d: &Select) -> u32 {
    topk::bytes(topk::merge_room(d.keep))
}

/// Shared memory of `select_f32` beside the ranks: queries, weights, and a key for each thread.
fn f32_bytes(d: &Select) -> u32 {
    let (heads, stride) = (d.heads.next_multiple_of(8), d.width.next_multiple_of(4) + 4);
    u32::try_from(4 * (heads * (stride + 1) + F32_THREADS as usize * stride)).unwrap_or(u32::MAX / 2)
}

/// The power of two that a count is, or -1: a division costs as much as the product of a key with a head.
fn shift(count: usize) -> i32 {
    if count.is_power_of_two() { count.trailing_zeros() as i32 } else { -1 }
}

/// True if every vector of the view starts at a multiple of `bytes`.
fn aligned(view: &View, bytes: usize) -> bool {
    let outer = &view.strides[..view.shape.rank() - 1];
    view.addr() % bytes as u64 == 0 && outer.iter().all(|&stride| view.dtype.bytes(stride) % bytes == 0)
}

fn select(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::IndexerSelect(d), a) = (&plan.op, SelectArgs::new(args)?) else { return Ok(()) };
    let cut = Cut::of(plan);
    let params = IndexerSelect {
        q: Rows::new(a.q),
        w: Rows::new(a.w),
        pool: Rows::new(a.pool),
        pt: Rows::new(a.pt),
        toks: Rows::new(a.toks),
        idx: Rows::new(a.idx),
        scores: Rows::of(a.scores),
        parts: Ptr(args.workspace.addr),
        factor: 1.0 / ((d.width * d.heads) as f32).sqrt(),
        heads: int(d.heads),
        width: int(d.width),
        keep: int(d.keep),
        room: int(topk::room(d.keep, STEP)),
        ratio: int(d.ratio),
        capacity: int(d.pages.capacity()),
        pages: int(d.pages.pages),
        entries: int(d.pages.entries),
        shift: shift(d.pages.entries),
        table: int(d.pages.table),
        segments: int(cut.segments),
        left: int(cut.left),
        q_aligned: aligned(a.q, 16).into(),
        pool_aligned: aligned(a.pool, if d.format == RowFormat::F4 { 4 } else { 16 }).into(),
        reserved: 0,
    };
    let rows = d.rows.min(args.rows_hint) as u32;
    queue.launch(plan.kernel(0)?, [rows, cut.segments as u32, 1], cut.threads, cut.shared, &params)?;
    if cut.segments == 1 {
        return Ok(());
    }
    let params = IndexerSelect { room: int(topk::merge_room(d.keep)), ..params };
    queue.launch(plan.kernel(1)?, [rows, 1, 1], MERGE_THREADS, merge_bytes(d), &params)
}
