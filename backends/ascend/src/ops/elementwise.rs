//! Maps, reductions and scans: f32 inside, one rounding at the end.

use super::calls::Calls;
use super::tensor::Tensor;
use super::words::{BOOL, F32, Map, Order, Pair};
use omnihal::op::elementwise::{
    Arith, Binary, BinaryArgs, Cmp, Cumsum, CumsumArgs, Func, Reduce, ReduceArgs, Reduction, Softmax, SoftmaxArgs,
    Source, Unary, UnaryArgs, Where, WhereArgs,
};
use omnihal::{Result, View};

/// Above this the logarithm of `1 + e^x` is `x` (deepseek-v4.md 6).
const LINEAR_FROM: f32 = 20.0;

/// `factor * x + term`, leaving out what changes nothing.
fn affine(c: &mut Calls<'_>, x: Tensor, factor: f32, term: f32) -> Result<Tensor> {
    let mut value = x;
    if factor != 1.0 {
        let next = c.temp(F32, x.dims())?;
        c.muls(&value, factor, &next)?;
        value = next;
    }
    if term != 0.0 {
        let next = c.temp(F32, x.dims())?;
        c.adds(&value, term, &next)?;
        value = next;
    }
    Ok(value)
}

fn function(c: &mut Calls<'_>, func: Func, x: &Tensor) -> Result<Tensor> {
    if func == Func::Identity {
        return Ok(*x);
    }
    let y = c.temp(F32, x.dims())?;
    match func {
        Func::Identity => {}
        Func::Exp => c.map(Map::Exp, x, &y)?,
        Func::Relu => c.map(Map::Relu, x, &y)?,
        Func::Sigmoid => c.map(Map::Sigmoid, x, &y)?,
        Func::Silu => c.map(Map::Silu, x, &y)?,
        Func::Sqrt => c.map(Map::Sqrt, x, &y)?,
        Func::Rsqrt => c.map(Map::Rsqrt, x, &y)?,
        Func::Abs => c.map(Map::Abs, x, &y)?,
        Func::Floor => c.map(Map::Floor, x, &y)?,
        Func::Log => c.map(Map::Log, x, &y)?,
        Func::Clamp(low, high) => c.clamp(x, Some(low), Some(high), &y)?,
        Func::SqrtSoftplus => {
            let inside = c.temp(F32, x.dims())?;
            c.softplus(x, LINEAR_FROM, &inside)?;
            c.map(Map::Sqrt, &inside, &y)?;
        }
    }
    Ok(y)
}

pub(super) fn unary(c: &mut Calls<'_>, d: &Unary, args: UnaryArgs<'_>) -> Result<()> {
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    let x = c.of_kind(&x, F32)?;
    let before = affine(c, x, d.alpha, d.beta)?;
    let value = function(c, d.func, &before)?;
    let value = affine(c, value, d.gamma, d.delta)?;
    c.settle(&value, &y)
}

pub(super) fn binary(c: &mut Calls<'_>, d: &Binary, args: BinaryArgs<'_>) -> Result<()> {
    let (a, b, y) = (Tensor::of(args.a)?, Tensor::of(args.b)?, Tensor::of(args.y)?);
    let (a, mut b) = (c.of_kind(&a, F32)?, c.of_kind(&b, F32)?);
    let pair = match d.arith {
        Arith::Add => Pair::Add,
        Arith::Sub => Pair::Sub,
        Arith::Mul => Pair::Mul,
        Arith::Min => Pair::Min,
        Arith::Max => Pair::Max,
        Arith::Div => {
            b = affine(c, b, 1.0, d.eps)?;
            Pair::Div
        }
    };
    let common = common(&[a.dims(), b.dims()]);
    let value = c.temp(F32, &common)?;
    c.pair(pair, &a, &b, &value)?;
    let value = if d.arith == Arith::Div { affine(c, value, d.scale, 0.0)? } else { value };
    c.copy(&value, &y)
}

/// The shape that shapes of one rank broadcast to.
fn common(shapes: &[&[usize]]) -> Vec<usize> {
    (0..shapes[0].len()).map(|axis| shapes.iter().map(|shape| shape[axis]).max().unwrap_or(1)).collect()
}

/// An operand as a tensor: a constant becomes one element.
fn operand(c: &mut Calls<'_>, view: Option<&View>, source: Source, like: &Tensor) -> Result<Tensor> {
    match (view, source) {
        (Some(view), _) => Tensor::of(view),
        (None, Source::Const(value)) => constant(c, value, like),
        (None, Source::Tensor(_)) => constant(c, 0.0, like),
    }
}

fn constant(c: &mut Calls<'_>, value: f32, like: &Tensor) -> Result<Tensor> {
    let one = c.temp(like.kind(), &vec![1; like.dims().len()])?;
    c.fill(&one, value)?;
    Ok(one)
}

pub(super) fn choose(c: &mut Calls<'_>, d: &Where, args: WhereArgs<'_>) -> Result<()> {
    let (a, y) = (Tensor::of(args.a)?, Tensor::of(args.y)?);
    let order = match d.cmp {
        Cmp::Lt => Order::Lt,
        Cmp::Ge => Order::Ge,
        Cmp::Gt => Order::Gt,
        Cmp::Eq => Order::Eq,
    };
    let mask = match (args.b, d.b) {
        (None, Source::Const(value)) if a.kind() == F32 || value.fract() == 0.0 => {
            let mask = c.temp(BOOL, a.dims())?;
            c.compare_to(order, &a, value, &mask)?;
            mask
        }
        (None, Source::Const(value)) => {
            // No integer is the constant: the comparison is one of real numbers.
            let (a, mask) = (c.of_kind(&a, F32)?, c.temp(BOOL, a.dims())?);
            c.compare_to(order, &a, value, &mask)?;
            mask
        }
        (view, source) => {
            let b = operand(c, view, source, &a)?;
            let mask = c.temp(BOOL, &common(&[a.dims(), b.dims()]))?;
            c.compare(order, &a, &b, &mask)?;
            mask
        }
    };
    let (p, q) = (operand(c, args.p, d.p, &y)?, operand(c, args.q, d.q, &y)?);
    let chosen = c.temp(y.kind(), &common(&[mask.dims(), p.dims(), q.dims()]))?;
    c.select(&mask, &p, &q, &chosen)?;
    c.copy(&chosen, &y)
}

pub(super) fn reduce(c: &mut Calls<'_>, d: &Reduce, args: ReduceArgs<'_>) -> Result<()> {
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    let x = c.of_kind(&x, F32)?;
    let value = c.temp(F32, y.dims())?;
    match d.op {
        Reduction::Sum => c.sum(&x, 1, &value)?,
        Reduction::Max => c.largest(&x, 1, false, &value)?,
        Reduction::MeanSquare => {
            let squares = c.temp(F32, x.dims())?;
            c.pair(Pair::Mul, &x, &x, &squares)?;
            c.mean(&squares, 1, &value)?;
        }
    }
    let value = affine(c, value, d.alpha, 0.0)?;
    c.settle(&value, &y)
}

pub(super) fn softmax(c: &mut Calls<'_>, _d: &Softmax, args: SoftmaxArgs<'_>) -> Result<()> {
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    let value = c.place(&y, F32, &[&x])?;
    c.softmax(&x, 1, &value)?;
    c.settle(&value, &y)
}

pub(super) fn cumsum(c: &mut Calls<'_>, d: &Cumsum, args: CumsumArgs<'_>) -> Result<()> {
    let (x, y) = (Tensor::of(args.x)?, Tensor::of(args.y)?);
    if !d.exclusive {
        let value = c.place(&y, F32, &[&x])?;
        c.cumsum(&x, 1, &value)?;
        return c.settle(&value, &y);
    }
    // Sums of all but the last element, one place further on: taking the element away again would lose bits.
    if d.len > 1 {
        let sums = c.temp(F32, &[d.rows, d.len - 1])?;
        c.cumsum(&x.slice(1, 0, d.len - 1), 1, &sums)?;
        c.copy(&sums, &y.slice(1, 1, d.len - 1))?;
    }
    c.fill(&y.slice(1, 0, 1), 0.0)
}
