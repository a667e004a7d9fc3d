//! `attention.*`.

use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, params};
use crate::stream::Queue;
use omnihal::op::RowQuant;
use omnihal::op::attention::{Entries, Latent, LatentArgs, Query, QueryArgs, Sparse, SparseArgs};
use omnihal::{Accumulation, Args, DType, Error, Op, Result, RowFormat};

params! {
    /// Parameters of `attention_latent`.
    AttentionLatent {
        lat: Rows,
        q_norm: Rows,
        kv_norm: Rows,
        rope: Rows,
        toks: Rows,
        qr: Rows,
        kv: Rows,
        q_lora: i32,
        head: i32,
        rotary: i32,
        positions: i32,
        /// 1: round to E4M3 in groups of 64.
        quant: i32,
        eps: f32,
    }
    /// Parameters of `attention_query_*`.
    AttentionQuery {
        q: Rows,
        rope: Rows,
        toks: Rows,
        rows: i32,
        heads: i32,
        head: i32,
        /// Floats of a warp's part of the shared memory.
        width: i32,
        rotary: i32,
        positions: i32,
        eps: f32,
        reserved: i32,
    }
    /// Parameters of `attention_sparse_*`.
    AttentionSparse {
        q: Rows,
        kv: Rows,
        ring: Rows,
        pool: Rows,
        pt: Rows,
        idx: Rows,
        rope: Rows,
        toks: Rows,
        seqs: Rows,
        o: Rows,
        sink: Ptr,
        /// Maximum and sum of each row, head and run; then their sums of values.
        partial: Ptr,
        rows: i32,
        heads: i32,
        head: i32,
        rotary: i32,
        positions: i32,
        window: i32,
        /// 0 none, 1 listed, 2 all.
        entries: i32,
        listed: i32,
        ratio: i32,
        page_entries: i32,
        page_table: i32,
        page_count: i32,
        ring_rows: i32,
        /// A type, or 100 for F8R.
        format: i32,
        inverse: i32,
        scale: f32,
        /// Heads of a block, and blocks of a row.
        group: i32,
        groups: i32,
        /// Runs that a row can have if each is a block of its own, else 0.
        runs: i32,
        /// Tiles of keys in shared memory.
        stages: i32,
        /// Bytes of a packed row.
        pack_bytes: i32,
        reserved: i32,
    }
}

/// How kernels know rows of F8R.
pub(crate) const ROW_F8R: i32 = 100;

/// Threads of most blocks here.
const THREADS: u32 = 256;

/// Heads of a block of `attention_query_*`, one a warp.
const QUERY_WARPS: usize = 8;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::AttentionLatent(d) => {
            fits(&[d.rows, d.q_lora + d.head, d.positions])?;
            activation(d.act)?;
            gain(d.weight)?;
            Ok(Choice::new(latent, &[modules.function("attention", "attention_latent", latent_shared(d))?]))
        }
        Op::AttentionQuery(d) => {
            fits(&[d.rows * d.heads, d.head, d.positions])?;
            activation(d.act)?;
            let name = if d.act == DType::BF16 { "attention_query_bf16" } else { "attention_query_f32" };
            Ok(Choice::new(query, &[modules.function("attention", name, query_shared(d))?]))
        }
        Op::AttentionSparse(d) => sparse_plan(d, modules),
        other => unsupported(other),
    }
}

/// Refuses activation types that no kernel of the fused operators has.
pub(crate) fn activation(act: DType) -> Result<()> {
    if matches!(act, DType::F32 | DType::BF16) {
        return Ok(());
    }
    Err(Error::unsupported(format!("activations of type {act} were asked; use F32 or BF16")))
}

/// Refuses types of norm weights that the fused kernels do not read.
pub(crate) fn gain(weight: DType) -> Result<()> {
    if matches!(weight, DType::F32 | DType::BF16) {
        return Ok(());
    }
    Err(Error::unsupported(format!("a norm weight of type {weight} was asked; use F32 or BF16")))
}

fn latent_shared(d: &Latent) -> u32 {
    4 * d.q_lora.max(d.head) as u32
}

fn latent(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::AttentionLatent(d), a) = (&plan.op, LatentArgs::new(args)?) else { return Ok(()) };
    let params = AttentionLatent {
        lat: Rows::new(a.lat),
        q_norm: Rows::new(a.q_norm),
        kv_norm: Rows::new(a.kv_norm),
        rope: Rows::new(a.rope),
        toks: Rows::new(a.toks),
        qr: Rows::new(a.qr),
        kv: Rows::new(a.kv),
        q_lora: int(d.q_lora),
        head: int(d.head),
        rotary: int(d.rotary),
        positions: int(d.positions),
        quant: i32::from(d.quant == RowQuant::F8Nope),
        eps: d.eps,
    };
    let rows = d.rows.min(args.rows_hint) as u32;
    queue.launch(plan.kernel(0)?, [rows, 2, 1], THREADS, latent_shared(d), &params)
}

/// Floats of a warp: lanes take eight at a time.
fn query_width(d: &Query) -> usize {
    d.head.next_multiple_of(8)
}

fn query_shared(d: &Query) -> u32 {
    (4 * QUERY_WARPS * query_width(d)) as u32
}

fn query(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::AttentionQuery(d), a) = (&plan.op, QueryArgs::new(args)?) else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint);
    let params = AttentionQuery {
        q: Rows::new(a.q),
        rope: Rows::new(a.rope),
        toks: Rows::new(a.toks),
        rows: int(rows),
        heads: int(d.heads),
        head: int(d.head),
        width: int(query_width(d)),
        rotary: int(d.rotary),
        positions: int(d.positions),
        eps: d.eps,
        reserved: 0,
    };
    let blocks = (rows * d.heads).div_ceil(QUERY_WARPS) as u32;
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, query_shared(d), &params)
}

fn sparse_plan(d: &Sparse, modules: &Modules) -> Result<Choice> {
    fits(&[d.rows * d.heads, d.head, d.positions, d.window, d.pages.capacity(), d.pages.pages, d.ring, d.slots])?;
    activation(d.act)?;
    let readable = match d.format {
        RowFormat::Plain(dtype) => matches!(dtype, DType::F32 | DType::BF16),
        RowFormat::F8R => (d.head - d.rotary) % 64 == 0,
        RowFormat::F4 => false,
    };
    if !readable {
        return Err(Error::unsupported(format!(
            "keys of {} channels, {} rotated, stored as {} were asked; use F32, BF16, or F8R where groups of 64 divide the rest",
            d.head, d.rotary, d.format
        )));
    }
    if let Some(shape) = tiling(d, modules) {
        return by_tiles(d, shape, modules);
    }
    Ok(Choice::new(simple, &[modules.function("attention", "attention_sparse_simple", 8 * d.head as u32)?]))
}

/// What all kernels of `attention.sparse` are told.
fn sparse_params(d: &Sparse, args: &Args<'_>) -> Result<AttentionSparse> {
    let a = SparseArgs::new(args)?;
    Ok(AttentionSparse {
        q: Rows::new(a.q),
        kv: Rows::new(a.kv),
        ring: Rows::new(a.ring),
        pool: Rows::of(a.pool),
        pt: Rows::of(a.pt),
        idx: Rows::of(a.idx),
        rope: Rows::new(a.rope),
        toks: Rows::new(a.toks),
        seqs: Rows::new(a.seqs),
        o: Rows::new(a.o),
        sink: Ptr::from(a.sink),
        partial: Ptr(0),
        rows: int(d.rows.min(args.rows_hint)),
        heads: int(d.heads),
        head: int(d.head),
        rotary: int(d.rotary),
        positions: int(d.positions),
        window: int(d.window),
        entries: match d.entries {
            Entries::None => 0,
            Entries::Listed(_) => 1,
            Entries::All => 2,
        },
        listed: match d.entries {
            Entries::Listed(listed) => int(listed),
            _ => 0,
        },
        ratio: int(d.ratio),
        page_entries: int(d.pages.entries),
        page_table: int(d.pages.table),
        page_count: int(d.pages.pages),
        ring_rows: int(d.ring),
        format: match d.format {
            RowFormat::Plain(dtype) => dtype as i32,
            _ => ROW_F8R,
        },
        inverse: i32::from(d.inverse),
        scale: d.scale,
        group: 1,
        groups: int(d.heads),
        runs: 0,
        stages: 0,
        pack_bytes: int(d.format.bytes(d.head, d.rotary)),
        reserved: 0,
    })
}

fn simple(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let Op::AttentionSparse(d) = &plan.op else { return Ok(()) };
    let params = sparse_params(d, args)?;
    let blocks = (d.rows.min(args.rows_hint) * d.heads) as u32;
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, 8 * d.head as u32, &params)
}

/// Keys of a tile, tiles of a run, heads of a block at most, and channels: as in `kernels/attention_stage.cuh`, `attention_tile.cuh`.
const TILE: usize = 64;
const RUN: usize = 2;
const HEADS: usize = 32;
const CHANNELS: usize = 512;

/// Heads of a block where runs are blocks: one tile of a product.
const FEW_HEADS: usize = 16;

/// Bytes of shared memory beside the tiles; of a tile; of its packed rows, and of one of them.
const FIXED: u32 = 59904;
const TILE_BYTES: u32 = 66560;
const PACKED_BYTES: u32 = 37888;
const PACKED_ROW: usize = 592;

/// Largest scratch memory for which runs are blocks of their own.
const MOST_SCRATCH: usize = 256 << 20;

/// How the tiles of a descriptor are run.
#[derive(Clone, Copy)]
struct Tiling {
    shared: u32,
    stages: u32,
    /// Runs that are blocks of their own, or 0.
    runs: usize,
}

/// The tiling of a descriptor, if tensor cores can take it on this device.
fn tiling(d: &Sparse, modules: &Modules) -> Option<Tiling> {
    let packed = d.format == RowFormat::F8R;
    let stored = d.format == RowFormat::Plain(DType::BF16) || packed && d.format.bytes(d.head, d.rotary) <= PACKED_ROW;
    if d.act != DType::BF16 || !stored || d.head > CHANNELS || d.head % 2 != 0 {
        return None;
    }
    // Two tiles, so that one is on its way while the other is used; packed rows wait beside one tile.
    let (stages, shared) = match packed {
        true => (1, FIXED + TILE_BYTES + PACKED_BYTES),
        false if FIXED + 2 * TILE_BYTES <= modules.shared => (2, FIXED + 2 * TILE_BYTES),
        false => (1, FIXED + TILE_BYTES),
    };
    let entries = match d.entries {
        Entries::None => 0,
        Entries::Listed(listed) => listed,
        Entries::All => d.pages.capacity(),
    };
    let runs = (d.window.div_ceil(TILE) + entries.div_ceil(TILE)).div_ceil(RUN);
    // Few rows leave multiprocessors idle: then the runs of a row are taken side by side. The bits are the same.
    let split = runs > 1
        && d.rows * d.heads.div_ceil(FEW_HEADS) < modules.multiprocessors as usize
        && scratch(d, runs) <= MOST_SCRATCH;
    (shared <= modules.shared).then_some(Tiling { shared, stages, runs: if split { runs } else { 0 } })
}

/// Bytes for the parts of all runs.
fn scratch(d: &Sparse, runs: usize) -> usize {
    4 * d.rows * d.heads * runs * (2 + d.head)
}

fn by_tiles(d: &Sparse, tiling: Tiling, modules: &Modules) -> Result<Choice> {
    let kernels = [
        modules.function("attention", "attention_sparse_tile", tiling.shared)?,
        modules.function("attention", "attention_sparse_fold", 0)?,
    ];
    let mut choice = Choice::new(tiles, &kernels);
    choice.workspace = scratch(d, tiling.runs);
    choice.accumulation = MMA_BF16;
    choice.tuning[..3].copy_from_slice(&[tiling.shared, tiling.stages, tiling.runs as u32]);
    Ok(choice)
}

/// A product of 16 channels is one instruction, which cuts what lies below the 24 bits of its largest addend and returns f32.
const MMA_BF16: Accumulation = Accumulation::TensorCoreTrunc { bits: 23, promote: 16 };

fn tiles(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let Op::AttentionSparse(d) = &plan.op else { return Ok(()) };
    let &[shared, stages, runs, ..] = plan.tuning();
    let group = if runs == 0 { HEADS } else { FEW_HEADS };
    let groups = d.heads.div_ceil(group);
    let mut params = sparse_params(d, args)?;
    params.group = int(group);
    params.groups = int(groups);
    params.runs = runs as i32;
    params.stages = stages as i32;
    let rows = d.rows.min(args.rows_hint);
    if runs == 0 {
        return queue.launch(plan.kernel(0)?, [(rows * groups) as u32, 1, 1], THREADS, shared, &params);
    }
    params.partial = Ptr(args.workspace.addr);
    queue.launch(plan.kernel(0)?, [(rows * groups) as u32, runs, 1], THREADS, shared, &params)?;
    queue.launch(plan.kernel(1)?, [(rows * d.heads) as u32, 1, 1], FOLD_THREADS, 0, &params)
}

/// Threads of `attention_sparse_fold`.
const FOLD_THREADS: u32 = 128;
