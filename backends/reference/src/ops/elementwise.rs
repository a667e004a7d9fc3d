//! Element-wise maps, reductions and scans.

use crate::num::{Num, dot, sum};
use crate::tensor::{Output, read};
use omnihal::op::elementwise::{self, Arith, Cmp, Func, Reduction, Source};
use omnihal::{Args, DType, Result, Shape, View};

/// Operands as a device has them after conversion to f32.
fn operands(view: &View) -> Result<Vec<Num>> {
    Ok(read(view)?.data.into_iter().map(|x| Num::exact(x).round_to(DType::F32)).collect())
}

/// `factor * x + offset`; a factor of 1 and an offset of 0 cost no rounding.
fn affine(x: Num, factor: f32, offset: f32) -> Num {
    let scaled = if factor == 1.0 { x } else { Num::exact(f64::from(factor)) * x };
    if offset == 0.0 { scaled } else { scaled + Num::exact(f64::from(offset)) }
}

fn function(x: Num, func: Func) -> Num {
    match func {
        Func::Identity => x,
        Func::Exp => x.exp(),
        Func::Relu => x.relu(),
        Func::Sigmoid => x.sigmoid(),
        Func::Silu => x.silu(),
        Func::Sqrt => x.sqrt(),
        Func::Rsqrt => x.rsqrt(),
        Func::Abs => x.abs(),
        Func::Floor => x.floor(),
        Func::Clamp(low, high) => x.clamp(f64::from(low), f64::from(high)),
        Func::SqrtSoftplus => x.sqrt_softplus(),
        Func::Log => x.ln(),
    }
}

/// `y = gamma * f(alpha * x + beta) + delta`.
pub fn unary(d: &elementwise::Unary, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = elementwise::UnaryArgs::new(args)?;
    let value = |x: Num| affine(function(affine(x, d.alpha, d.beta), d.func), d.gamma, d.delta);
    Ok(vec![Output::dense(1, operands(a.x)?.into_iter().map(value).collect())])
}

/// Place in an operand of shape `small` of element `i` of `full`.
fn broadcast(small: &Shape, full: &Shape, mut i: usize) -> usize {
    let strides = small.contiguous_strides();
    let mut place = 0;
    for axis in (0..full.rank()).rev() {
        let at = i % full[axis];
        i /= full[axis];
        if small[axis] != 1 {
            place += at * strides[axis];
        }
    }
    place
}

/// `y = a op b`.
pub fn binary(d: &elementwise::Binary, args: &Args<'_>) -> Result<Vec<Output>> {
    let given = elementwise::BinaryArgs::new(args)?;
    let (a, b) = (operands(given.a)?, operands(given.b)?);
    let value = |i: usize| {
        let (a, b) = (a[broadcast(&d.a_shape, &d.shape, i)], b[broadcast(&d.b_shape, &d.shape, i)]);
        match d.arith {
            Arith::Add => a + b,
            Arith::Sub => a - b,
            Arith::Mul => a * b,
            Arith::Div => affine(a, d.scale, 0.0) / affine(b, 1.0, d.eps),
            Arith::Min => a.min(b),
            Arith::Max => a.max(b),
        }
    };
    Ok(vec![Output::dense(2, (0..d.shape.elements()).map(value).collect())])
}

/// Values of an operand that may be a constant, spread over the result's shape.
fn source(source: Source, view: Option<&View>, full: &Shape) -> Result<Vec<f64>> {
    match (source, view) {
        (Source::Tensor(shape), Some(view)) => {
            let data = read(view)?.data;
            Ok((0..full.elements()).map(|i| data[broadcast(&shape, full, i)]).collect())
        }
        (Source::Const(c), _) => Ok(vec![f64::from(c); full.elements()]),
        (Source::Tensor(_), None) => Err(omnihal::Error::argument("a tensor operand is missing")),
    }
}

/// `y = (a cmp b) ? p : q`.
pub fn choose(d: &elementwise::Where, args: &Args<'_>) -> Result<Vec<Output>> {
    let given = elementwise::WhereArgs::new(args)?;
    let a = source(Source::Tensor(d.a_shape), Some(given.a), &d.shape)?;
    let b = source(d.b, given.b, &d.shape)?;
    let (p, q) = (source(d.p, given.p, &d.shape)?, source(d.q, given.q, &d.shape)?);
    let holds = |i: usize| match d.cmp {
        Cmp::Lt => a[i] < b[i],
        Cmp::Ge => a[i] >= b[i],
        Cmp::Gt => a[i] > b[i],
        Cmp::Eq => a[i] == b[i],
    };
    let chosen = |i: usize| if holds(i) { p[i] } else { q[i] };
    Ok(vec![Output::exact(4, (0..d.shape.elements()).map(chosen))])
}

/// The elements along the middle axis of `[pre, len, post]`.
fn line(x: &[Num], len: usize, post: usize, p: usize, q: usize) -> Vec<Num> {
    (0..len).map(|k| x[(p * len + k) * post + q]).collect()
}

/// Combines the middle axis.
pub fn reduce(d: &elementwise::Reduce, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = elementwise::ReduceArgs::new(args)?;
    let x = operands(a.x)?;
    let mut values = Vec::new();
    for (p, q) in (0..d.pre).flat_map(|p| (0..d.post).map(move |q| (p, q))) {
        let line = line(&x, d.len, d.post, p, q);
        let combined = match d.op {
            Reduction::Sum => sum(&line),
            Reduction::Max => largest(&line),
            Reduction::MeanSquare => dot(&line, &line) / Num::exact(d.len as f64),
        };
        values.push(affine(combined, d.alpha, 0.0));
    }
    Ok(vec![Output::dense(1, values)])
}

fn largest(line: &[Num]) -> Num {
    line.iter().copied().fold(Num::exact(f64::NEG_INFINITY), Num::max)
}

/// Softmax over the middle axis.
pub fn softmax(d: &elementwise::Softmax, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = elementwise::SoftmaxArgs::new(args)?;
    let x = operands(a.x)?;
    let mut values = vec![Num::ZERO; x.len()];
    for (p, q) in (0..d.pre).flat_map(|p| (0..d.post).map(move |q| (p, q))) {
        let line = line(&x, d.len, d.post, p, q);
        let top = largest(&line);
        let powers: Vec<Num> = line.iter().map(|&x| (x - top).exp()).collect();
        let total = sum(&powers);
        powers.iter().enumerate().for_each(|(k, &e)| values[(p * d.len + k) * d.post + q] = e / total);
    }
    Ok(vec![Output::dense(1, values)])
}

/// Running sums. An exclusive sum may be made by taking the element off again, and is bounded accordingly.
pub fn cumsum(d: &elementwise::Cumsum, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = elementwise::CumsumArgs::new(args)?;
    let mut values = Vec::new();
    for row in operands(a.x)?.chunks(d.len) {
        for k in 0..d.len {
            let inclusive = sum(&row[..=k]);
            values.push(match d.exclusive {
                false => inclusive,
                true => Num { v: sum(&row[..k]).v, ..inclusive - row[k] },
            });
        }
    }
    Ok(vec![Output::dense(1, values)])
}

#[cfg(test)]
#[path = "elementwise_tests.rs"]
mod tests;
