//! The elementwise family: maps, choices, reductions and scans, f32 inside.

mod choose;
mod lines;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use super::{Choice, Ctx, Tensor, unsupported};
use crate::simd::Kernels;
use omnihal::op::elementwise::{Arith, Binary, BinaryArgs, Func, UnaryArgs};
use omnihal::{Args, DType, Error, Op, Result};
use walk::{RUN, Walk, load, store};

pub(crate) fn plan(op: &Op, _threads: usize) -> Result<Choice> {
    match op {
        Op::Unary(d) => {
            convertible(&[d.input, d.output])?;
            Choice::new(unary, 0)
        }
        Op::Binary(d) => {
            convertible(&[d.a, d.b, d.output])?;
            Choice::new(binary, 0)
        }
        Op::Where(d) => {
            convertible(&[d.compared])?;
            if !matches!(d.dtype.bits(), 16 | 32) || d.dtype == DType::U32 {
                return Err(Error::unsupported(format!(
                    "a choice between {} was asked; use F32, BF16 or I32",
                    d.dtype
                )));
            }
            Choice::new(choose::choose, 0)
        }
        Op::Reduce(d) => {
            convertible(&[d.input, d.output])?;
            Choice::new(lines::reduce, 0)
        }
        Op::Softmax(_) => Choice::new(lines::softmax, 0),
        Op::Cumsum(_) => Choice::new(lines::cumsum, 0),
        op => unsupported(op),
    }
}

fn convertible(types: &[DType]) -> Result<()> {
    match types.iter().find(|&&dtype| !walk::convertible(dtype)) {
        None => Ok(()),
        Some(other) => {
            Err(Error::unsupported(format!("elements of type {other} were asked; use F32, BF16, F16 or I32")))
        }
    }
}

fn unary(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Unary(d) = op else { return unsupported(op).map(|_| ()) };
    let a = UnaryArgs::new(args)?;
    let walk = Walk::new(&d.shape, [Some(a.x), Some(a.y)]);
    let ([x, y], steps) = ([a.x, a.y].map(Tensor::new), walk.steps());
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        let mut buffer = [0.0; RUN];
        walk.each(runs, |places, len| {
            let values = &mut buffer[..len];
            // SAFETY: the walk stays inside the views; each element of `y` belongs to one task, and is read as `x` before.
            unsafe { load(&x, places[0], steps[0], values, ctx.simd) };
            values.iter_mut().for_each(|v| *v = d.alpha * *v + d.beta);
            apply(d.func, values, ctx.simd);
            values.iter_mut().for_each(|v| *v = d.gamma * *v + d.delta);
            // SAFETY: as above.
            unsafe { store(&y, places[1], steps[1], values, ctx.simd) };
        });
    });
    Ok(())
}

/// Above this, log(1 + e^x) is x (deepseek-v4.md 6).
const SOFTPLUS_LINEAR: f32 = 20.0;

fn apply(func: Func, x: &mut [f32], simd: &Kernels) {
    match func {
        Func::Identity => {}
        Func::Exp => (simd.exp)(x),
        Func::Relu => map(x, |v| if v < 0.0 { 0.0 } else { v }),
        Func::Sigmoid => {
            map(x, |v| -v);
            (simd.exp)(x);
            map(x, |v| 1.0 / (1.0 + v));
        }
        Func::Silu => {
            let mut powers = [0.0; RUN];
            let powers = &mut powers[..x.len()];
            powers.iter_mut().zip(&*x).for_each(|(p, v)| *p = -v);
            (simd.exp)(powers);
            x.iter_mut().zip(powers).for_each(|(v, p)| *v /= 1.0 + *p);
        }
        Func::Sqrt => map(x, f32::sqrt),
        Func::Rsqrt => map(x, |v| 1.0 / v.sqrt()),
        Func::Abs => map(x, f32::abs),
        Func::Floor => map(x, f32::floor),
        Func::Clamp(low, high) => map(x, |v| {
            let v = if v < low { low } else { v };
            if v > high { high } else { v }
        }),
        Func::SqrtSoftplus => map(x, |v| if v > SOFTPLUS_LINEAR { v.sqrt() } else { v.exp().ln_1p().sqrt() }),
        Func::Log => map(x, f32::ln),
    }
}

#[inline(always)]
fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    x.iter_mut().for_each(|v| *v = f(*v));
}

fn binary(op: &Op, args: &Args<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let Op::Binary(d) = op else { return unsupported(op).map(|_| ()) };
    let views = BinaryArgs::new(args)?;
    let walk = Walk::new(&d.shape, [Some(views.a), Some(views.b), Some(views.y)]);
    let ([a, b, y], steps) = ([views.a, views.b, views.y].map(Tensor::new), walk.steps());
    ctx.pool.ranges(walk.runs(), walk.grain(), &|runs, _| {
        let (mut left, mut right) = ([0.0; RUN], [0.0; RUN]);
        walk.each(runs, |places, len| {
            let (left, right) = (&mut left[..len], &mut right[..len]);
            // SAFETY: the walk stays inside the views; each element of `y` belongs to one task, and is read as an operand before.
            unsafe {
                load(&a, places[0], steps[0], left, ctx.simd);
                load(&b, places[1], steps[1], right, ctx.simd);
                combine(d, left, right);
                store(&y, places[2], steps[2], left, ctx.simd);
            }
        });
    });
    Ok(())
}

fn combine(d: &Binary, a: &mut [f32], b: &[f32]) {
    match d.arith {
        Arith::Add => zip(a, b, |a, b| a + b),
        Arith::Sub => zip(a, b, |a, b| a - b),
        Arith::Mul => zip(a, b, |a, b| a * b),
        Arith::Div => zip(a, b, |a, b| d.scale * a / (b + d.eps)),
        // A NaN of either side stays.
        Arith::Min => zip(a, b, |a, b| if a < b || a.is_nan() { a } else { b }),
        Arith::Max => zip(a, b, |a, b| if a > b || a.is_nan() { a } else { b }),
    }
}

#[inline(always)]
fn zip(a: &mut [f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, *b));
}
