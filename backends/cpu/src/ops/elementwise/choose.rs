//! elementwise.where: the chosen elements move as bits.

use super::walk::{RUN, Walk, load};
use crate::num::f32_to_bf16;
use crate::ops::{Ctx, Tensor, unsupported};
use crate::simd::Kernels;
use omnihal::op::elementwise::{Cmp, Source, WhereArgs};
use omnihal::{Args, DType, Op, Result, View};

/// An operand: a tensor or one number.
#[derive(Clone, Copy)]
enum Operand<T> {
    Tensor(Tensor),
    Const(T),
}

impl<T: Copy> Operand<T> {
    /// Reads a run.
    ///
    /// # Safety
    /// The run must lie in the view, whose elements must be of type `T`.
    #[inline(always)]
    unsafe fn read(&self, place: usize, step: usize, out: &mut [T]) {
        match self {
            Operand::Const(value) => out.fill(*value),
            // SAFETY: passed on to the caller; reads need no alignment.
            Operand::Tensor(tensor) => unsafe {
                if step == 1 {
                    let from = tensor.at::<u8>(place * size_of::<T>());
                    std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().cast(), size_of_val(out));
                } else {
                    let element = |i: usize| tensor.at::<T>(place + i * step).read_unaligned();
                    out.iter_mut().enumerate().for_each(|(i, v)| *v = element(i));
                }
            },
        }
    }
}

/// Compares two runs.
#[inline(always)]
fn compare<T: PartialOrd>(cmp: Cmp, a: &[T], b: &[T], holds: &mut [bool]) {
    let each = |f: fn(&T, &T) -> bool, holds: &mut [bool]| {
        holds.iter_mut().zip(a.iter().zip(b)).for_each(|(h, (a, b))| *h = f(a, b));
    };
    match cmp {
        Cmp::Lt => each(|a, b| a < b, holds),
        Cmp::Ge => each(|a, b| a >= b, holds),
        Cmp::Gt => each(|a, b| a > b, holds),
        Cmp::Eq => each(|a, b| a == b, holds),
    }
}

/// The two sides of the comparison.
struct Sides {
    cmp: Cmp,
    a: Tensor,
    b: Option<Tensor>,
    /// What `a` is compared with if there is no `b`.
    constant: f32,
}

impl Sides {
    /// Compares a run.
    ///
    /// # Safety
    /// The runs must lie in the views.
    unsafe fn compare(&self, places: [usize; 2], steps: [usize; 2], holds: &mut [bool], simd: &Kernels) {
        if self.a.dtype == DType::I32 {
            // As f64, which holds every integer, so that a fractional constant keeps its meaning.
            // SAFETY: passed on to the caller.
            let read = |t: &Tensor, side: usize, i: usize| unsafe { t.index(places[side] + i * steps[side]) as f64 };
            for i in 0..holds.len() {
                let b = self.b.as_ref().map_or(self.constant as f64, |b| read(b, 1, i));
                compare(self.cmp, &[read(&self.a, 0, i)], &[b], &mut holds[i..i + 1]);
            }
            return;
        }
        let (mut a, mut b) = ([0.0; RUN], [self.constant; RUN]);
        // SAFETY: passed on to the caller.
        unsafe {
            load(&self.a, places[0], steps[0], &mut a[..holds.len()], simd);
            if let Some(right) = &self.b {
                load(right, places[1], steps[1], &mut b[..holds.len()], simd);
            }
        }
        compare(self.cmp, &a, &b, holds);
    }
}

pub(super) fn choose(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Where(d) = op else { return unsupported(op).map(|_| ()) };
    match d.dtype {
        DType::F32 => moved(op, args, ctx, f32::to_bits),
        DType::I32 => moved(op, args, ctx, |c| c as i32 as u32),
        DType::BF16 => moved(op, args, ctx, f32_to_bf16),
        _ => moved(op, args, ctx, |c| half::f16::from_f32(c).to_bits()),
    }
}

fn moved<T: Copy + Default + Send + Sync>(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>, bits: fn(f32) -> T) -> Result<()> {
    let Op::Where(d) = op else { return unsupported(op).map(|_| ()) };
    let views = WhereArgs::new(args)?;
    let walk = Walk::new(&d.shape, [Some(views.a), views.b, views.p, views.q, Some(views.y)]);
    let (steps, y) = (walk.steps(), Tensor::new(views.y));
    let constant = |source: Source| if let Source::Const(c) = source { c } else { 0.0 };
    let sides = Sides { cmp: d.cmp, a: Tensor::new(views.a), b: views.b.map(Tensor::new), constant: constant(d.b) };
    let operand = |view: Option<&View>, source| match view {
        Some(view) => Operand::Tensor(Tensor::new(view)),
        None => Operand::Const(bits(constant(source))),
    };
    let (p, q) = (operand(views.p, d.p), operand(views.q, d.q));
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        let (mut holds, mut first, mut second) = ([false; RUN], [T::default(); RUN], [T::default(); RUN]);
        walk.each(runs, |at, len| {
            let (holds, first, second) = (&mut holds[..len], &mut first[..len], &mut second[..len]);
            // SAFETY: the walk stays inside the views, and operands that are not there are constants; the run is read whole
            // before it is written, since `y` may be an operand.
            unsafe {
                sides.compare([at[0], at[1]], [steps[0], steps[1]], holds, ctx.simd);
                p.read(at[2], steps[2], first);
                q.read(at[3], steps[3], second);
                first.iter_mut().zip(&*second).zip(&*holds).for_each(|((p, q), h)| *p = if *h { *p } else { *q });
                for (i, chosen) in first.iter().enumerate() {
                    y.at::<T>(at[4] + i * steps[4]).write_unaligned(*chosen);
                }
            }
        });
    });
    Ok(())
}
