//! Element-wise operators.

use super::data::broadcast;
use super::reader::{BOOL, F32, I32, Reader, is_float};
use super::{Action, Held};
use crate::fault::Answer;

type Reals = fn(f32, f32) -> f32;
type Wholes = fn(i64, i64) -> i64;

pub(super) fn unary(r: &mut Reader<'_>, f: fn(f32) -> f32) -> Answer<Action> {
    let (x, y) = (r.input()?, r.output()?);
    r.want(is_float(x.tensor.kind), "no float")?;
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    Ok(Box::new(move || {
        y.put_floats(&x.floats().into_iter().map(f).collect::<Vec<_>>());
        Ok(())
    }))
}

pub(super) fn softplus(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, beta, threshold, y) = (r.input()?, r.scalar()?, r.scalar()?, r.output()?);
    r.want(is_float(x.tensor.kind), "no float")?;
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    let (beta, threshold) = (beta.real as f32, threshold.real as f32);
    let f = move |x: f32| if x * beta > threshold { x } else { (x * beta).exp().ln_1p() / beta };
    Ok(Box::new(move || {
        y.put_floats(&x.floats().into_iter().map(f).collect::<Vec<_>>());
        Ok(())
    }))
}

/// Two operands of one type and a result of their common shape.
fn operands(r: &mut Reader<'_>) -> Answer<(Held, Held)> {
    let (a, b) = (r.input()?, r.input()?);
    r.same_kinds(&[&a, &b])?;
    Ok((a, b))
}

fn result(r: &mut Reader<'_>, a: &Held, b: &Held) -> Answer<Held> {
    let y = r.output()?;
    r.want(broadcast(a.dims(), b.dims()).as_deref() == Some(y.dims()), "the result has another shape")?;
    Ok(y)
}

fn zip(
    a: Held,
    b: Held,
    y: Held,
    reals: impl Fn(f32, f32) -> f32 + Send + Sync + 'static,
    wholes: impl Fn(i64, i64) -> i64 + Send + Sync + 'static,
) -> Action {
    Box::new(move || {
        let dims = y.dims();
        if is_float(a.tensor.kind) {
            let (p, q) = (a.floats_as(dims), b.floats_as(dims));
            y.put_floats(&p.into_iter().zip(q).map(|(p, q)| reals(p, q)).collect::<Vec<_>>());
        } else {
            let (p, q) = (a.ints_as(dims), b.ints_as(dims));
            y.put_ints(&p.into_iter().zip(q).map(|(p, q)| wholes(p, q)).collect::<Vec<_>>());
        }
        Ok(())
    })
}

pub(super) fn arith(r: &mut Reader<'_>, reals: Reals, wholes: Wholes) -> Answer<Action> {
    let (a, b) = operands(r)?;
    let y = result(r, &a, &b)?;
    r.same_kinds(&[&a, &y])?;
    Ok(zip(a, b, y, reals, wholes))
}

pub(super) fn scaled(
    r: &mut Reader<'_>,
    reals: fn(f32, f32, f32) -> f32,
    wholes: fn(i64, i64, i64) -> i64,
) -> Answer<Action> {
    let (a, b) = operands(r)?;
    let alpha = r.scalar()?;
    let y = result(r, &a, &b)?;
    r.same_kinds(&[&a, &y])?;
    let (real, whole) = (alpha.real as f32, alpha.whole);
    Ok(zip(a, b, y, move |p, q| reals(p, q, real), move |p, q| wholes(p, q, whole)))
}

/// A scalar must have the tensor's type, so that no promotion is relied on: f32 for floats, i32 for integers.
fn fits(r: &Reader<'_>, x: &Held, kind: i32) -> Answer {
    let wanted = if is_float(x.tensor.kind) { F32 } else { x.kind() };
    r.want(kind == wanted, format!("a scalar of type {kind} for a tensor of type {}", x.kind()))
}

pub(super) fn with_scalar(
    r: &mut Reader<'_>,
    alpha: bool,
    reals: fn(f32, f32, f32) -> f32,
    wholes: fn(i64, i64, i64) -> i64,
) -> Answer<Action> {
    let (x, other) = (r.input()?, r.scalar()?);
    let factor = if alpha { Some(r.scalar()?) } else { None };
    let y = r.output()?;
    fits(r, &x, other.kind.0)?;
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    let (real, whole) = (other.real as f32, other.whole);
    let (by, times) = factor.map_or((1.0, 1), |f| (f.real as f32, f.whole));
    Ok(zip(x.clone(), x, y, move |p, _| reals(p, real, by), move |p, _| wholes(p, whole, times)))
}

pub(super) fn clamp(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, low, high, y) = (r.input()?, r.optional_scalar()?, r.optional_scalar()?, r.output()?);
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    for bound in [low, high].into_iter().flatten() {
        fits(r, &x, bound.kind.0)?;
    }
    let (from, to) = (low.map_or(f32::NEG_INFINITY, |b| b.real as f32), high.map_or(f32::INFINITY, |b| b.real as f32));
    let (first, last) = (low.map_or(i64::MIN, |b| b.whole), high.map_or(i64::MAX, |b| b.whole));
    let real = move |p: f32, _: f32| {
        if p < from {
            from
        } else if p > to {
            to
        } else {
            p
        }
    };
    Ok(zip(x.clone(), x, y, real, move |p, _| p.max(first).min(last)))
}

pub(super) fn bitwise_and(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, mask, y) = (r.input()?, r.scalar()?, r.output()?);
    r.want(x.kind() == I32 && mask.kind.0 == I32, "no 32-bit integers")?;
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    Ok(zip(x.clone(), x, y, |p, _| p, move |p, _| p & mask.whole))
}

fn truth(
    a: Held,
    b: Held,
    y: Held,
    reals: impl Fn(f32, f32) -> bool + Send + Sync + 'static,
    wholes: impl Fn(i64, i64) -> bool + Send + Sync + 'static,
) -> Action {
    Box::new(move || {
        let dims = y.dims();
        let found: Vec<i64> = if is_float(a.tensor.kind) {
            a.floats_as(dims).into_iter().zip(b.floats_as(dims)).map(|(p, q)| reals(p, q) as i64).collect()
        } else {
            a.ints_as(dims).into_iter().zip(b.ints_as(dims)).map(|(p, q)| wholes(p, q) as i64).collect()
        };
        y.put_ints(&found);
        Ok(())
    })
}

pub(super) fn compare(r: &mut Reader<'_>, reals: fn(f32, f32) -> bool, wholes: fn(i64, i64) -> bool) -> Answer<Action> {
    let (a, b) = operands(r)?;
    let y = result(r, &a, &b)?;
    r.want(y.kind() == BOOL, "the result is no truth value")?;
    Ok(truth(a, b, y, reals, wholes))
}

pub(super) fn compare_scalar(
    r: &mut Reader<'_>,
    reals: fn(f32, f32) -> bool,
    wholes: fn(i64, i64) -> bool,
) -> Answer<Action> {
    let (x, other, y) = (r.input()?, r.scalar()?, r.output()?);
    fits(r, &x, other.kind.0)?;
    r.want(y.kind() == BOOL && x.dims() == y.dims(), "the result is no truth value of the same shape")?;
    let (real, whole) = (other.real as f32, other.whole);
    Ok(truth(x.clone(), x, y, move |p, _| reals(p, real), move |p, _| wholes(p, whole)))
}

pub(super) fn logical_and(r: &mut Reader<'_>) -> Answer<Action> {
    let (a, b) = operands(r)?;
    let y = result(r, &a, &b)?;
    r.want(y.kind() == BOOL, "the result is no truth value")?;
    Ok(truth(a, b, y, |p, q| p != 0.0 && q != 0.0, |p, q| p != 0 && q != 0))
}

pub(super) fn select(r: &mut Reader<'_>) -> Answer<Action> {
    let (mask, p, q, y) = (r.input()?, r.input()?, r.input()?, r.output()?);
    r.want(mask.kind() == BOOL, "the condition is no truth value")?;
    r.same_kinds(&[&p, &q, &y])?;
    let both = broadcast(p.dims(), q.dims()).and_then(|dims| broadcast(&dims, mask.dims()));
    r.want(both.as_deref() == Some(y.dims()), "the result has another shape")?;
    Ok(Box::new(move || {
        let dims = y.dims();
        let (p, q) = (p.bits_as(dims), q.bits_as(dims));
        let chosen =
            mask.ints_as(dims).into_iter().zip(p.into_iter().zip(q)).map(|(m, (p, q))| if m != 0 { p } else { q });
        y.put_bits(&chosen.collect::<Vec<_>>());
        Ok(())
    }))
}
