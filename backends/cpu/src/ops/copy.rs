//! The copy family: moving elements.

#[cfg(test)]
mod tests;

use super::elementwise::walk::{self, RUN, Walk};
use super::{Choice, Ctx, Tensor, unsupported};
use crate::num::f32_to_bf16;
use omnihal::op::copy::{ConcatArgs, CopyArgs, FillArgs, GatherArgs, ScatterArgs, TakeArgs};
use omnihal::{Args, DType, Error, Op, Result, View};

pub(crate) fn plan(op: &Op, _threads: usize) -> Result<Choice> {
    match op {
        Op::Copy(d) if d.input == d.output => whole(d.input, copy),
        Op::Copy(d) if walk::convertible(d.input) && walk::convertible(d.output) => Choice::new(cast, 0),
        Op::Copy(d) => Err(Error::unsupported(format!(
            "a cast from {} to {} was asked; casts are between F32, BF16, F16 and I32",
            d.input, d.output
        ))),
        Op::Fill(d) if walk::convertible(d.dtype) => Choice::new(fill, 0),
        Op::Fill(d) => Err(Error::unsupported(format!("a fill of {} was asked; use F32, BF16, F16 or I32", d.dtype))),
        Op::Gather(d) => whole(d.dtype, gather),
        Op::Scatter(d) => whole(d.dtype, scatter),
        Op::Take(d) => whole(d.dtype, take),
        Op::Concat(d) => whole(d.dtype, concat),
        op => unsupported(op),
    }
}

/// Elements that move as bits must be whole bytes.
fn whole(dtype: DType, kernel: super::Kernel) -> Result<Choice> {
    if dtype.bits() < 8 {
        return Err(Error::unsupported(format!("packed {dtype} elements were asked to be moved; move them as U8")));
    }
    Choice::new(kernel, 0)
}

/// Elements of a task at least.
const TASK: usize = 1 << 15;

/// Columns of a scatter's task at least: whole cache lines.
const MIN_COLUMNS: usize = 64;

/// Moves `len` elements of `size` bytes.
///
/// # Safety
/// Both runs must lie in their views and not overlap, unless they are the same; no other task may touch the written one.
#[inline]
unsafe fn shift(x: &Tensor, from: [usize; 2], y: &Tensor, to: [usize; 2], len: usize, size: usize) {
    #[inline(always)]
    unsafe fn each<T>(x: &Tensor, [from, step]: [usize; 2], y: &Tensor, [to, stride]: [usize; 2], len: usize) {
        for i in 0..len {
            // SAFETY: passed on to the caller.
            unsafe { y.at::<T>(to + i * stride).write_unaligned(x.at::<T>(from + i * step).read_unaligned()) };
        }
    }
    // SAFETY: passed on to the caller.
    unsafe {
        match (from[1], to[1], size) {
            (1, 1, _) => std::ptr::copy(x.at::<u8>(from[0] * size), y.at::<u8>(to[0] * size), len * size),
            (_, _, 1) => each::<u8>(x, from, y, to, len),
            (_, _, 2) => each::<u16>(x, from, y, to, len),
            (_, _, 4) => each::<u32>(x, from, y, to, len),
            _ => each::<u64>(x, from, y, to, len),
        }
    }
}

fn copy(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Copy(d) = op else { return unsupported(op).map(|_| ()) };
    let a = CopyArgs::new(args)?;
    moved(a.x, a.y, d.input, ctx);
    Ok(())
}

/// Copies a view to one of equal shape and type.
fn moved(x: &View, y: &View, dtype: DType, ctx: &Ctx<'_>) {
    let size = dtype.bytes(1);
    let walk = Walk::new(&y.shape, [Some(x), Some(y)]);
    let ([x, y], steps) = ([x, y].map(Tensor::new), walk.steps());
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        // SAFETY: the walk stays inside the views, and each run of `y` belongs to one task.
        walk.each(runs, |at, len| unsafe { shift(&x, [at[0], steps[0]], &y, [at[1], steps[1]], len, size) });
    });
}

fn cast(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Copy(d) = op else { return unsupported(op).map(|_| ()) };
    let a = CopyArgs::new(args)?;
    let walk = Walk::new(&d.shape, [Some(a.x), Some(a.y)]);
    let ([x, y], steps) = ([a.x, a.y].map(Tensor::new), walk.steps());
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        let mut buffer = [0.0; RUN];
        // SAFETY: the walk stays inside the views, and each element of `y` belongs to one task.
        walk.each(runs, |at, len| unsafe {
            walk::load(&x, at[0], steps[0], &mut buffer[..len], ctx.simd);
            walk::store(&y, at[1], steps[1], &buffer[..len], ctx.simd);
        });
    });
    Ok(())
}

fn fill(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Fill(d) = op else { return unsupported(op).map(|_| ()) };
    let a = FillArgs::new(args)?;
    let walk = Walk::new(&d.shape, [Some(a.y)]);
    let (y, [step]) = (Tensor::new(a.y), walk.steps());
    let word = match d.dtype {
        DType::I32 => d.value as i32 as u32,
        DType::BF16 => f32_to_bf16(d.value) as u32,
        DType::F16 => half::f16::from_f32(d.value).to_bits() as u32,
        _ => d.value.to_bits(),
    };
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        walk.each(runs, |[at], len| {
            for place in (0..len).map(|i| at + i * step) {
                // SAFETY: the walk stays inside the view, and each element belongs to one task.
                unsafe {
                    match d.dtype.bytes(1) {
                        2 => y.at::<u16>(place).write_unaligned(word as u16),
                        _ => y.at::<u32>(place).write_unaligned(word),
                    }
                }
            }
        });
    });
    Ok(())
}

/// Row or place number `i` of an index tensor, if it is below `limit`.
///
/// # Safety
/// The place must lie in the view.
unsafe fn index(idx: &Tensor, place: usize, limit: usize) -> Option<usize> {
    // SAFETY: passed on to the caller.
    usize::try_from(unsafe { idx.index(place) }).ok().filter(|&i| i < limit)
}

fn gather(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Gather(d) = op else { return unsupported(op).map(|_| ()) };
    let a = GatherArgs::new(args)?;
    let [src, idx, y] = [a.src, a.idx, a.y].map(Tensor::new);
    let size = d.dtype.bytes(1);
    ctx.pool.ranges(d.count, (TASK / d.width).max(1), &|range, _| {
        for i in range {
            let to = [y.place(&[i]), y.strides[1]];
            // SAFETY: the row of `y` belongs to this task; rows of `src` are checked.
            unsafe {
                match index(&idx, idx.place(&[i]), d.rows) {
                    Some(row) => shift(&src, [src.place(&[row]), src.strides[1]], &y, to, d.width, size),
                    None => zero(&y, to, d.width, size),
                }
            }
        }
    });
    Ok(())
}

/// Zeroes a run of elements of `size` bytes.
///
/// # Safety
/// The run must lie in the view, and no other task may touch it.
unsafe fn zero(y: &Tensor, [to, step]: [usize; 2], len: usize, size: usize) {
    // SAFETY: passed on to the caller.
    (0..len).for_each(|i| unsafe { y.at::<u8>((to + i * step) * size).write_bytes(0, size) });
}

fn scatter(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Scatter(d) = op else { return unsupported(op).map(|_| ()) };
    let a = ScatterArgs::new(args)?;
    let [dst, idx, src] = [a.dst, a.idx, a.src].map(Tensor::new);
    let size = d.dtype.bytes(1);
    // Tasks take columns, not rows: a row that occurs twice is then written by one thread at a time.
    ctx.pool.ranges(d.width, (TASK / d.count).max(MIN_COLUMNS), &|columns, _| {
        for i in 0..d.count {
            // SAFETY: rows of `dst` are checked, and these columns belong to this task.
            unsafe {
                let Some(row) = index(&idx, idx.place(&[i]), d.rows) else { continue };
                let from = [src.place(&[i, columns.start]), src.strides[1]];
                let to = [dst.place(&[row, columns.start]), dst.strides[1]];
                shift(&src, from, &dst, to, columns.len(), size);
            }
        }
    });
    Ok(())
}

fn take(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Take(d) = op else { return unsupported(op).map(|_| ()) };
    let a = TakeArgs::new(args)?;
    let [x, idx, y] = [a.x, a.idx, a.y].map(Tensor::new);
    let size = d.dtype.bytes(1);
    ctx.pool.ranges(d.rows, (TASK / d.count).max(1), &|rows, _| {
        for (i, q) in rows.flat_map(|i| (0..d.count).map(move |q| (i, q))) {
            let to = [y.place(&[i, q]), 1];
            // SAFETY: the element of `y` belongs to this task; places in the row of `x` are checked.
            unsafe {
                match index(&idx, idx.place(&[i, q]), d.width) {
                    Some(c) => shift(&x, [x.place(&[i, c]), 1], &y, to, 1, size),
                    None => zero(&y, to, 1, size),
                }
            }
        }
    });
    Ok(())
}

fn concat(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Concat(d) = op else { return unsupported(op).map(|_| ()) };
    let a = ConcatArgs::new(args)?;
    let mut from = 0;
    for (view, len) in [Some(a.a), Some(a.b), a.c, a.d].into_iter().zip(d.lens) {
        let Some(view) = view.filter(|_| len > 0) else { continue };
        moved(view, &a.y.slice(1, from, len)?, d.dtype, ctx);
        from += len;
    }
    Ok(())
}
