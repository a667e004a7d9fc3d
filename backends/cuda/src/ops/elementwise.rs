//! `elementwise.*`.

use super::copy::convertible;
use super::walk::{self, THREADS, Walk, aligned};
use super::{Choice, CudaPlan, Enqueue, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Dims, Strided, params};
use crate::stream::Queue;
use omnihal::op::elementwise::{BinaryArgs, CumsumArgs, Func, ReduceArgs, SoftmaxArgs, Source, UnaryArgs, WhereArgs};
use omnihal::{Args, DType, Error, Op, Result};

params! {
    /// Parameters of `unary_*`: `inner` elements along the last axis.
    UnaryMap {
        x: Strided,
        y: Strided,
        dims: Dims,
        count: u64,
        inner: i64,
        func: i32,
        alpha: f32,
        beta: f32,
        gamma: f32,
        delta: f32,
        low: f32,
        high: f32,
        reserved: i32,
    }
    /// Parameters of `binary_*`.
    BinaryMap {
        a: Strided,
        b: Strided,
        y: Strided,
        dims: Dims,
        count: u64,
        inner: i64,
        arith: i32,
        eps: f32,
        scale: f32,
        reserved: i32,
    }
    /// Parameters of `where_*`: the constants stand for operands without data.
    WhereMap {
        a: Strided,
        b: Strided,
        p: Strided,
        q: Strided,
        y: Strided,
        dims: Dims,
        count: u64,
        cmp: i32,
        bound: f32,
        first: f32,
        second: f32,
    }
    /// Parameters of `reduce_*`: x is [pre, len, post], y [pre, post].
    ReduceLines {
        x: Strided,
        y: Strided,
        lines: i64,
        post: i64,
        len: i32,
        op: i32,
        alpha: f32,
        reserved: i32,
    }
    /// Parameters of `softmax_*`: both are [pre, len, post].
    SoftmaxLines {
        x: Strided,
        y: Strided,
        lines: i64,
        post: i64,
        len: i32,
        reserved: i32,
    }
    /// Parameters of `cumsum`: both are [rows, len].
    CumsumRows {
        x: Strided,
        y: Strided,
        len: i64,
        exclusive: i32,
        whole: i32,
    }
}

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    let choose = |enqueue: Enqueue, names: &[&str]| {
        let functions: Result<Vec<_>> = names.iter().map(|name| modules.function("elementwise", name, 0)).collect();
        Ok(Choice::new(enqueue, &functions?))
    };
    match op {
        Op::Unary(d) => numbers(&[d.input, d.output]).and_then(|()| choose(unary, &["unary_one", "unary_runs"])),
        Op::Binary(d) => numbers(&[d.a, d.b, d.output]).and_then(|()| choose(binary, &["binary_one", "binary_runs"])),
        Op::Where(d) => {
            numbers(&[d.compared, d.dtype])?;
            choose(select, &[if d.dtype.bits() == 16 { "where_16" } else { "where_32" }])
        }
        Op::Reduce(d) => {
            numbers(&[d.input, d.output])?;
            lines([d.pre, d.len, d.post])
                .and_then(|team| choose(reduce, &[["reduce_thread", "reduce_warp", "reduce_block"][team]]))
        }
        Op::Softmax(d) => lines([d.pre, d.len, d.post])
            .and_then(|team| choose(softmax, &[["softmax_thread", "softmax_warp", "softmax_block"][team]])),
        Op::Cumsum(d) => {
            fits(&[d.rows])?;
            choose(cumsum, &["cumsum"])
        }
        other => unsupported(other),
    }
}

fn numbers(types: &[DType]) -> Result<()> {
    match types.iter().find(|&&dtype| !convertible(dtype)) {
        None => Ok(()),
        Some(other) => {
            Err(Error::unsupported(format!("elements of type {other} were asked; use F32, BF16, F16 or I32")))
        }
    }
}

fn unary(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Unary(d), a) = (&plan.op, UnaryArgs::new(args)?) else { return Ok(()) };
    let mut walk = Walk::new(&d.shape, [Some(a.x), Some(a.y)]);
    let runs = walk.runs(false);
    let (low, high) = if let Func::Clamp(low, high) = d.func { (low, high) } else { (0.0, 0.0) };
    let params = UnaryMap {
        x: walk.elements(0),
        y: walk.elements(1),
        dims: walk.dims(),
        count: walk.count(),
        inner: walk.inner() as i64,
        func: number(d.func),
        alpha: d.alpha,
        beta: d.beta,
        gamma: d.gamma,
        delta: d.delta,
        low,
        high,
        reserved: 0,
    };
    queue.launch(plan.kernel(usize::from(runs))?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

/// The place of a function in the kernels' list.
fn number(func: Func) -> i32 {
    match func {
        Func::Identity => 0,
        Func::Exp => 1,
        Func::Relu => 2,
        Func::Sigmoid => 3,
        Func::Silu => 4,
        Func::Sqrt => 5,
        Func::Rsqrt => 6,
        Func::Abs => 7,
        Func::Floor => 8,
        Func::Clamp(..) => 9,
        Func::SqrtSoftplus => 10,
        Func::Log => 11,
    }
}

fn binary(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Binary(d), views) = (&plan.op, BinaryArgs::new(args)?) else { return Ok(()) };
    let mut walk = Walk::new(&d.shape, [Some(views.a), Some(views.b), Some(views.y)]);
    let runs = walk.runs(true);
    let params = BinaryMap {
        a: walk.elements(0),
        b: walk.elements(1),
        y: walk.elements(2),
        dims: walk.dims(),
        count: walk.count(),
        inner: walk.inner() as i64,
        arith: d.arith as i32,
        eps: d.eps,
        scale: d.scale,
        reserved: 0,
    };
    queue.launch(plan.kernel(usize::from(runs))?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

fn select(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Where(d), views) = (&plan.op, WhereArgs::new(args)?) else { return Ok(()) };
    let walk = Walk::new(&d.shape, [Some(views.a), views.b, views.p, views.q, Some(views.y)]);
    let constant = |source: Source| if let Source::Const(c) = source { c } else { 0.0 };
    let params = WhereMap {
        a: walk.elements(0),
        b: walk.elements(1),
        p: walk.elements(2),
        q: walk.elements(3),
        y: walk.elements(4),
        dims: walk.dims(),
        count: walk.count(),
        cmp: d.cmp as i32,
        bound: constant(d.b),
        first: constant(d.p),
        second: constant(d.q),
    };
    queue.launch(plan.kernel(0)?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

/// Lines up to this length are a warp's work; longer ones a block's.
const WARP_LINE: usize = 128;

/// Neighbouring lines from which on a thread for each reads whole sectors.
const THREAD_LINES: usize = 32;

/// Who takes a line: 0 a thread, 1 a warp, 2 a block. Lines that lie side by side are read side by side.
fn team(len: usize, post: usize) -> usize {
    match (post >= THREAD_LINES || len <= 4, len > WARP_LINE) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

fn lines([pre, len, post]: [usize; 3]) -> Result<usize> {
    fits(&[pre * post, len])?;
    Ok(team(len, post))
}

fn line_blocks(count: usize, team: usize) -> u32 {
    let each = [THREADS as usize, THREADS as usize / 32, 1][team];
    count.div_ceil(each) as u32
}

fn reduce(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Reduce(d), a) = (&plan.op, ReduceArgs::new(args)?) else { return Ok(()) };
    let params = ReduceLines {
        x: Strided::new(a.x),
        y: Strided::new(a.y),
        lines: (d.pre * d.post) as i64,
        post: d.post as i64,
        len: int(d.len),
        op: d.op as i32,
        alpha: d.alpha,
        reserved: 0,
    };
    let blocks = line_blocks(d.pre * d.post, team(d.len, d.post));
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, 0, &params)
}

fn softmax(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Softmax(d), a) = (&plan.op, SoftmaxArgs::new(args)?) else { return Ok(()) };
    let params = SoftmaxLines {
        x: Strided::new(a.x),
        y: Strided::new(a.y),
        lines: (d.pre * d.post) as i64,
        post: d.post as i64,
        len: int(d.len),
        reserved: 0,
    };
    let blocks = line_blocks(d.pre * d.post, team(d.len, d.post));
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, 0, &params)
}

/// Threads for a row of `cumsum`, which sum four elements each: a few tiles a block, so that threads of short rows do not wait for nothing.
fn cumsum_threads(len: usize) -> u32 {
    match len {
        0..=1024 => 64,
        1025..=8192 => 256,
        _ => 1024,
    }
}

fn cumsum(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Cumsum(d), a) = (&plan.op, CumsumArgs::new(args)?) else { return Ok(()) };
    let params = CumsumRows {
        x: Strided::new(a.x),
        y: Strided::new(a.y),
        len: d.len as i64,
        exclusive: i32::from(d.exclusive),
        whole: i32::from(aligned(a.x) && aligned(a.y)),
    };
    let threads = cumsum_threads(d.len);
    queue.launch(plan.kernel(0)?, [d.rows as u32, 1, 1], threads, 0, &params)
}
