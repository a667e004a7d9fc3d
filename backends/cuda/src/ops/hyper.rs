//! `hyper.*`: mixing of the residual streams.

use super::{Choice, CudaPlan, Enqueue, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, params};
use crate::stream::Queue;
use omnihal::op::hyper::{HeadArgs, PostArgs, PreArgs, SinkhornArgs};
use omnihal::{Args, DType, Determinism, Error, Op, Result, View};

params! {
    /// Parameters of `hyper_mix_*`: `hyper.pre`, or `hyper.head` if there is an `out`.
    HyperMix {
        x: Rows,
        projection: Rows,
        norm: Rows,
        a: Rows,
        post: Rows,
        comb: Rows,
        scale: Ptr,
        base: Ptr,
        /// Rows wanted, or null for all.
        out: Ptr,
        /// Rows of `x`.
        rows: i32,
        /// Rows of `a`.
        count: i32,
        streams: i32,
        width: i32,
        iters: i32,
        eps: f32,
        hc_eps: f32,
        reserved: i32,
    }
    /// Parameters of `hyper_sinkhorn`.
    HyperSinkhorn {
        logits: Rows,
        comb: Rows,
        rows: i32,
        streams: i32,
        iters: i32,
        eps: f32,
    }
    /// Parameters of `hyper_post_*`.
    HyperPost {
        x: Rows,
        out: Rows,
        post: Rows,
        comb: Rows,
        y: Rows,
        streams: i32,
        width: i32,
    }
}

/// Residual streams that kernels take (`MAX_STREAMS` of `sinkhorn.cuh`).
const MAX_STREAMS: usize = 8;

/// Streams of the released models, which the fast kernels are written for (deepseek-v4.md 1.1).
const STREAMS: usize = 4;

/// Compute capability of the first devices with clusters.
const CLUSTERS: u32 = 90;

/// Blocks of a cluster (`CLUSTER` of `cluster.cuh`).
const CLUSTER: u32 = 8;

/// Up to as many rows a cluster makes one, so that all multiprocessors have work; beyond, it makes [`MANY_ROWS`] and reads the projection once for them.
const FEW_ROWS: usize = 16;
const MANY_ROWS: u32 = 4;

/// Threads of the blocks of `hyper_mix_any`.
const ANY_THREADS: u32 = 256;

/// Threads of the other blocks.
const THREADS: u32 = 128;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::HyperPre(d) => {
            check(d.streams, &[CLUSTER as usize * d.rows, d.streams * d.width, d.iters])?;
            let fast = match d.act {
                DType::BF16 => Some(["hyper_pre_bf16_1", "hyper_pre_bf16_4"]),
                DType::F32 => Some(["hyper_pre_f32_1", "hyper_pre_f32_4"]),
                _ => None,
            };
            mixing(pre, fast, modules)
        }
        Op::HyperHead(d) => {
            check(d.streams, &[d.rows, CLUSTER as usize * d.wanted, d.streams * d.width])?;
            let fast = match d.act {
                DType::BF16 => Some(["hyper_head_bf16"; 2]),
                DType::F32 => Some(["hyper_head_f32"; 2]),
                _ => None,
            };
            mixing(head, fast, modules)
        }
        Op::HyperSinkhorn(d) => {
            check(d.streams, &[d.rows, d.iters])?;
            Ok(Choice::new(sinkhorn, &[modules.function("hyper", "hyper_sinkhorn", 0)?]))
        }
        Op::HyperPost(d) => {
            check(d.streams, &[d.rows * d.width.div_ceil(THREADS as usize), d.streams * d.width])?;
            let fast = match d.act {
                DType::BF16 => "hyper_post_bf16",
                DType::F32 => "hyper_post_f32",
                _ => "hyper_post_any",
            };
            let [any, fast] = [modules.function("hyper", "hyper_post_any", 0)?, modules.function("hyper", fast, 0)?];
            Ok(Choice::new(post, &[any, fast]))
        }
        other => unsupported(other),
    }
}

/// The kernel for any layout, then those of one and of [`MANY_ROWS`] rows a cluster, where the device has clusters.
fn mixing(enqueue: Enqueue, fast: Option<[&str; 2]>, modules: &Modules) -> Result<Choice> {
    let any = modules.function("hyper", "hyper_mix_any", 0)?;
    let mut choice = Choice::new(enqueue, &[any]);
    if let Some([one, many]) = fast.filter(|_| modules.capability >= CLUSTERS) {
        choice = Choice::new(enqueue, &[any, modules.function("hyper", one, 0)?, modules.function("hyper", many, 0)?]);
        // The two ways add up in another order, and the layout picks one.
        choice.determinism = Determinism::Repeatable;
    }
    Ok(choice)
}

fn check(streams: usize, counts: &[usize]) -> Result<()> {
    match streams <= MAX_STREAMS {
        true => fits(counts),
        false => Err(Error::unsupported(format!("{streams} streams were asked, kernels mix up to {MAX_STREAMS}"))),
    }
}

fn pre(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::HyperPre(d), views) = (&plan.op, PreArgs::new(args)?) else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint);
    let params = HyperMix {
        x: Rows::new(views.x),
        projection: Rows::new(views.projection),
        norm: Rows::of(views.norm),
        a: Rows::new(views.a),
        post: Rows::new(views.post),
        comb: Rows::new(views.comb),
        scale: views.scale.into(),
        base: views.base.into(),
        out: Ptr(0),
        rows: int(d.rows),
        count: int(rows),
        streams: int(d.streams),
        width: int(d.width),
        iters: int(d.iters),
        eps: d.eps,
        hc_eps: d.hc_eps,
        reserved: 0,
    };
    mix(plan, &params, queue, d.act)
}

fn head(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::HyperHead(d), views) = (&plan.op, HeadArgs::new(args)?) else { return Ok(()) };
    let params = HyperMix {
        x: Rows::new(views.x),
        projection: Rows::new(views.projection),
        norm: Rows::of(views.norm),
        a: Rows::new(views.y),
        post: Rows::absent(),
        comb: Rows::absent(),
        scale: views.scale.into(),
        base: views.base.into(),
        out: views.out.into(),
        rows: int(d.rows),
        count: int(d.wanted),
        streams: int(d.streams),
        width: int(d.width),
        iters: 0,
        eps: d.eps,
        hc_eps: d.hc_eps,
        reserved: 0,
    };
    mix(plan, &params, queue, d.act)
}

fn mix(plan: &CudaPlan, params: &HyperMix, queue: &Queue<'_>, act: DType) -> Result<()> {
    let count = params.count as u32;
    let pre = params.comb.data.0 != 0;
    if let Ok(one) = plan.kernel(1)
        && fast(params, act)
    {
        let (kernel, rows) = match pre && params.count as usize > FEW_ROWS {
            true => (plan.kernel(2)?, MANY_ROWS),
            false => (one, 1),
        };
        return queue.launch(kernel, [count.div_ceil(rows) * CLUSTER, 1, 1], THREADS, 0, params);
    }
    queue.launch(plan.kernel(0)?, [count, 1, 1], ANY_THREADS, 0, params)
}

/// The layout suits the kernels of clusters: four streams, and four elements at a time.
fn fast(p: &HyperMix, act: DType) -> bool {
    let bytes = 4 * act.bits() as u64 / 8;
    p.streams as usize == STREAMS
        && p.width % 4 == 0
        && [p.x.outer, p.x.inner, p.a.outer, p.projection.outer].iter().all(|stride| stride % 4 == 0)
        && (p.x.data.0 | p.a.data.0).is_multiple_of(bytes)
        && p.projection.data.0.is_multiple_of(16)
}

fn sinkhorn(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::HyperSinkhorn(d), views) = (&plan.op, SinkhornArgs::new(args)?) else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint);
    let params = HyperSinkhorn {
        logits: Rows::new(views.logits),
        comb: Rows::new(views.comb),
        rows: int(rows),
        streams: int(d.streams),
        iters: int(d.iters),
        eps: d.eps,
    };
    // A warp a row.
    queue.launch(plan.kernel(0)?, [rows.div_ceil(THREADS as usize / 32) as u32, 1, 1], THREADS, 0, &params)
}

fn post(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::HyperPost(d), views) = (&plan.op, PostArgs::new(args)?) else { return Ok(()) };
    let params = HyperPost {
        x: Rows::new(views.x),
        out: Rows::new(views.out),
        post: Rows::new(views.post),
        comb: Rows::new(views.comb),
        y: Rows::new(views.y),
        streams: int(d.streams),
        width: int(d.width),
    };
    let lanes = 16 * 8 / d.act.bits();
    let fast =
        d.streams == STREAMS && d.width % lanes == 0 && [views.x, views.out, views.y].iter().all(|v| aligned(v, 16));
    let columns = THREADS as usize * if fast { lanes } else { 1 };
    let blocks = d.rows.min(args.rows_hint) * d.width.div_ceil(columns);
    queue.launch(plan.kernel(fast.into())?, [blocks as u32, 1, 1], THREADS, 0, &params)
}

/// Address and all strides but the last are multiples of `bytes`.
fn aligned(view: &View, bytes: usize) -> bool {
    let lanes = bytes * 8 / view.dtype.bits();
    let rank = view.shape.rank();
    view.addr() % bytes as u64 == 0 && view.strides[..rank.max(1) - 1].iter().all(|stride| stride % lanes == 0)
}
