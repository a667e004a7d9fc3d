//! `copy.*`: bits in the widest units that addresses and gaps allow, casts in runs of eight.

use super::walk::{self, THREADS, Walk, moves, widest};
use super::{Choice, CudaPlan, Enqueue, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Dims, Ptr, Rows, Strided, params};
use crate::stream::Queue;
use omnihal::op::copy::{ConcatArgs, CopyArgs, FillArgs, GatherArgs, ScatterArgs, TakeArgs};
use omnihal::{Args, DType, Error, Op, Result, View};

params! {
    /// Parameters of `copy_move`; strides in units.
    CopyMove {
        x: Strided,
        y: Strided,
        dims: Dims,
        count: u64,
        unit: i32,
        each: i32,
    }
    /// Parameters of `copy_fill`; strides in units.
    CopyFill {
        y: Strided,
        dims: Dims,
        count: u64,
        value: f32,
        unit: i32,
        each: i32,
        reserved: i32,
    }
    /// Parameters of `copy_cast` and `copy_cast_runs`; strides in elements.
    CopyCast {
        x: Strided,
        y: Strided,
        dims: Dims,
        count: u64,
        inner: i64,
    }
    /// Parameters of `copy_gather` and `copy_scatter`: strides in units, `units` of them in a row.
    CopyRows {
        from: Ptr,
        to: Ptr,
        idx: Ptr,
        from_row: i64,
        from_step: i64,
        to_row: i64,
        to_step: i64,
        idx_step: i64,
        units: u64,
        count: u64,
        rows: i32,
        unit: i32,
        each: i32,
        reserved: i32,
    }
    /// Parameters of `copy_take`.
    CopyTake {
        x: Rows,
        idx: Rows,
        y: Rows,
        taken: u64,
        count: u64,
        width: i32,
        unit: i32,
    }
    /// Parameters of `copy_concat`; strides in units.
    CopyConcat {
        a: Strided,
        b: Strided,
        c: Strided,
        d: Strided,
        y: Strided,
        dims: Dims,
        end0: i64,
        end1: i64,
        end2: i64,
        count: u64,
        unit: i32,
        each: i32,
    }
}

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    let choose = |enqueue: Enqueue, names: &[&str]| {
        let functions: Result<Vec<_>> = names.iter().map(|name| modules.function("copy", name, 0)).collect();
        Ok(Choice::new(enqueue, &functions?))
    };
    match op {
        Op::Copy(d) if d.input == d.output => whole(d.input).and_then(|()| choose(copy, &["copy_move"])),
        Op::Copy(d) if convertible(d.input) && convertible(d.output) => choose(cast, &["copy_cast", "copy_cast_runs"]),
        Op::Copy(d) => Err(Error::unsupported(format!(
            "a cast from {} to {} was asked; casts are between F32, BF16, F16 and I32",
            d.input, d.output
        ))),
        Op::Fill(d) if convertible(d.dtype) => choose(fill, &["copy_fill"]),
        Op::Fill(d) => Err(Error::unsupported(format!("a fill of {} was asked; use F32, BF16, F16 or I32", d.dtype))),
        Op::Gather(d) => {
            whole(d.dtype)?;
            fits(&[d.rows, d.count])?;
            choose(gather, &["copy_gather"])
        }
        Op::Scatter(d) => {
            whole(d.dtype)?;
            fits(&[d.rows, d.count])?;
            choose(scatter, &["copy_scatter"])
        }
        Op::Take(d) => {
            whole(d.dtype)?;
            fits(&[d.rows, d.width, d.count])?;
            choose(take, &["copy_take"])
        }
        Op::Concat(d) => whole(d.dtype).and_then(|()| choose(concat, &["copy_concat"])),
        other => unsupported(other),
    }
}

/// Elements that move as bits must be whole bytes.
fn whole(dtype: DType) -> Result<()> {
    match dtype.bits() < 8 {
        false => Ok(()),
        true => Err(Error::unsupported(format!("packed {dtype} elements were asked to be moved; move them as U8"))),
    }
}

/// The types that casts take.
pub(super) fn convertible(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::BF16 | DType::F16 | DType::I32)
}

fn copy(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Copy(d), a) = (&plan.op, CopyArgs::new(args)?) else { return Ok(()) };
    let mut walk = Walk::new(&d.shape, [Some(a.x), Some(a.y)]);
    let unit = walk.units(d.input.bytes(1)) as i32;
    let (count, (each, blocks)) = (walk.count(), moves(walk.count()));
    let params = CopyMove { x: walk.in_units(0), y: walk.in_units(1), dims: walk.dims(), count, unit, each };
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, 0, &params)
}

fn fill(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Fill(d), a) = (&plan.op, FillArgs::new(args)?) else { return Ok(()) };
    let mut walk = Walk::new(&d.shape, [Some(a.y)]);
    let unit = walk.units(d.dtype.bytes(1)) as i32;
    let (count, (each, blocks)) = (walk.count(), moves(walk.count()));
    let params = CopyFill { y: walk.in_units(0), dims: walk.dims(), count, value: d.value, unit, each, reserved: 0 };
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, 0, &params)
}

fn cast(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Copy(d), a) = (&plan.op, CopyArgs::new(args)?) else { return Ok(()) };
    let mut walk = Walk::new(&d.shape, [Some(a.x), Some(a.y)]);
    // An integer that becomes a short float takes the way that rounds once.
    let once = d.input == DType::I32 && d.output != DType::F32;
    let runs = !once && walk.runs(false);
    let params = CopyCast {
        x: walk.elements(0),
        y: walk.elements(1),
        dims: walk.dims(),
        count: walk.count(),
        inner: walk.inner() as i64,
    };
    queue.launch(plan.kernel(usize::from(runs))?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

/// Rows of `from` and `to` in units; which of both the indices address is the kernel's matter.
fn indexed(from: &View, to: &View, idx: &View, [rows, width, count]: [usize; 3]) -> CopyRows {
    let size = from.dtype.bytes(1);
    let mut unit = size;
    if width == 1 || (from.strides[1] == 1 && to.strides[1] == 1) {
        let gap = |view: &View| if view.shape[0] == 1 { 0 } else { (view.strides[0] * size) as u64 };
        unit = widest([from.addr(), to.addr(), gap(from), gap(to), (width * size) as u64].into_iter()).max(size);
    }
    let (by, units) = (unit / size, width * size / unit);
    let step = |view: &View| if units == 1 { 0 } else { view.strides[1] as i64 };
    let row = |view: &View| if view.shape[0] == 1 { 0 } else { (view.strides[0] / by) as i64 };
    let total = (units * count) as u64;
    CopyRows {
        from: from.into(),
        to: to.into(),
        idx: idx.into(),
        from_row: row(from),
        from_step: step(from),
        to_row: row(to),
        to_step: step(to),
        idx_step: idx.strides[0] as i64,
        units: units as u64,
        count: total,
        rows: int(rows),
        unit: unit as i32,
        each: moves(total).0,
        reserved: 0,
    }
}

fn gather(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Gather(d), a) = (&plan.op, GatherArgs::new(args)?) else { return Ok(()) };
    let params = indexed(a.src, a.y, a.idx, [d.rows, d.width, d.count]);
    queue.launch(plan.kernel(0)?, [moves(params.count).1, 1, 1], THREADS, 0, &params)
}

fn scatter(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Scatter(d), a) = (&plan.op, ScatterArgs::new(args)?) else { return Ok(()) };
    let params = indexed(a.src, a.dst, a.idx, [d.rows, d.width, d.count]);
    queue.launch(plan.kernel(0)?, [moves(params.count).1, 1, 1], THREADS, 0, &params)
}

fn take(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Take(d), a) = (&plan.op, TakeArgs::new(args)?) else { return Ok(()) };
    let params = CopyTake {
        x: Rows::new(a.x),
        idx: Rows::new(a.idx),
        y: Rows::new(a.y),
        taken: d.count as u64,
        count: (d.rows * d.count) as u64,
        width: int(d.width),
        unit: d.dtype.bytes(1) as i32,
    };
    queue.launch(plan.kernel(0)?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}

fn concat(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::Concat(d), a) = (&plan.op, ConcatArgs::new(args)?) else { return Ok(()) };
    let views = [Some(a.a), Some(a.b), a.c, a.d];
    let size = d.dtype.bytes(1);
    // If middle and last axis are one in all tensors, a part of a row is one run of bytes.
    let row = |view: &View| view.strides[2] == 1 || d.post == 1;
    let joined = |view: &View| row(view) && (view.shape[1] == 1 || view.strides[1] == d.post);
    let all = || views.iter().flatten().copied().chain([a.y]);
    let mut unit = size;
    let together = all().all(joined);
    if together {
        let gap = |view: &View| if d.pre == 1 { 0 } else { (view.strides[0] * size) as u64 };
        let bytes = d.lens.iter().map(|len| (len * d.post * size) as u64);
        unit = widest(all().flat_map(|view| [view.addr(), gap(view)]).chain(bytes)).max(size);
    }
    let by = unit / size;
    let (post, lens) = if together { (1, d.lens.map(|len| len * d.post / by)) } else { (d.post, d.lens) };
    let part = |view: &View| {
        let mut t = Strided::new(view);
        if together {
            (t.s3, t.s4, t.s5) = (t.s3 / by as i64, 1, 0);
        }
        t
    };
    let dims = Dims::new(&[d.pre, lens.iter().sum(), post]);
    let count = (dims.d3 * dims.d4 * dims.d5) as u64;
    let (each, blocks) = moves(count);
    let params = CopyConcat {
        a: part(a.a),
        b: part(a.b),
        c: a.c.map_or_else(|| Strided::of(None), part),
        d: a.d.map_or_else(|| Strided::of(None), part),
        y: part(a.y),
        dims,
        end0: lens[0] as i64,
        end1: (lens[0] + lens[1]) as i64,
        end2: (lens[0] + lens[1] + lens[2]) as i64,
        count,
        unit: unit as i32,
        each,
    };
    queue.launch(plan.kernel(0)?, [blocks, 1, 1], THREADS, 0, &params)
}
