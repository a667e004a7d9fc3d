//! elementwise.where: the chosen elements move as bits.

use super::walk::{RUN, Walk};
use crate::num::f32_to_bf16;
use crate::ops::{Ctx, Tensor, unsupported};
use omnihal::op::elementwise::{Cmp, Source, WhereArgs};
use omnihal::{Args, DType, Op, Result};

/// An operand: a tensor or one number.
#[derive(Clone, Copy)]
enum Operand<T> {
    Tensor(Tensor),
    Const(T),
}

impl<T: Copy> Operand<T> {
    /// Element `i` of a run.
    ///
    /// # Safety
    /// The element must lie in the view, and be of type `T`.
    #[inline(always)]
    unsafe fn get(&self, place: usize) -> T {
        match self {
            // SAFETY: passed on to the caller.
            Operand::Tensor(tensor) => unsafe { tensor.at::<T>(place).read_unaligned() },
            Operand::Const(value) => *value,
        }
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
    let steps = walk.steps();
    let (a, y, compared) = (Tensor::new(views.a), Tensor::new(views.y), views.b.map(Tensor::new));
    let constant = |source: Source| if let Source::Const(c) = source { c } else { 0.0 };
    let operand = |view: Option<&omnihal::View>, source| match view {
        Some(view) => Operand::Tensor(Tensor::new(view)),
        None => Operand::Const(bits(constant(source))),
    };
    let (p, q) = (operand(views.p, d.p), operand(views.q, d.q));
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        let (mut holds, mut chosen) = ([false; RUN], [T::default(); RUN]);
        walk.each(runs, |places, len| {
            // Integers are compared as f64, which holds them all, so that a fractional constant keeps its meaning.
            // SAFETY: the walk stays inside the views, and operands that are not there are constants.
            let number = |tensor: &Tensor, place: usize| unsafe {
                if d.compared == DType::I32 { tensor.index(place) as f64 } else { tensor.get(place) as f64 }
            };
            for (i, holds) in holds[..len].iter_mut().enumerate() {
                let a = number(&a, places[0] + i * steps[0]);
                let b = match &compared {
                    Some(b) => number(b, places[1] + i * steps[1]),
                    None => constant(d.b) as f64,
                };
                *holds = match d.cmp {
                    Cmp::Lt => a < b,
                    Cmp::Ge => a >= b,
                    Cmp::Gt => a > b,
                    Cmp::Eq => a == b,
                };
            }
            // SAFETY: as above; the run is read whole before it is written, since `y` may be an operand.
            unsafe {
                for (i, chosen) in chosen[..len].iter_mut().enumerate() {
                    let (p, q) = (p.get(places[2] + i * steps[2]), q.get(places[3] + i * steps[3]));
                    *chosen = if holds[i] { p } else { q };
                }
                for (i, chosen) in chosen[..len].iter().enumerate() {
                    y.at::<T>(places[4] + i * steps[4]).write_unaligned(*chosen);
                }
            }
        });
    });
    Ok(())
}
