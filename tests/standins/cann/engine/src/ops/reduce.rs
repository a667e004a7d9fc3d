//! Reductions, scans and what is made of them.

use super::reader::{BF16, F16, F32, Reader};
use super::{Action, Held};
use crate::fault::Answer;

/// A tensor as rows: elements before an axis, of it, after it.
fn cut(dims: &[usize], axis: usize) -> [usize; 3] {
    [dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()]
}

fn at([_, len, post]: [usize; 3], row: usize, i: usize) -> usize {
    (row / post * len + i) * post + row % post
}

/// The one axis of an array of axes.
fn only_axis(r: &mut Reader<'_>, rank: usize) -> Answer<usize> {
    let axes = r.ints()?;
    match axes[..] {
        [axis] if (0..rank as i64).contains(&axis) => Ok(axis as usize),
        _ => r.bad(format!("axes {axes:?}: the stand-in reduces one")),
    }
}

fn reduced(r: &Reader<'_>, x: &Held, y: &Held, axis: usize, keep: bool) -> Answer {
    let mut dims = x.dims().to_vec();
    match keep {
        true => dims[axis] = 1,
        false => _ = dims.remove(axis),
    }
    r.want(dims == y.dims(), "the result has another shape")
}

pub(super) fn sum(r: &mut Reader<'_>, mean: bool) -> Answer<Action> {
    let x = r.input()?;
    let axis = only_axis(r, x.dims().len())?;
    let (keep, kind, y) = (r.whole()? != 0, r.whole()?, r.output()?);
    r.want(kind as i32 == y.kind(), "the result has another type than asked for")?;
    r.want(matches!(x.kind(), F32 | BF16 | F16), "no float")?;
    reduced(r, &x, &y, axis, keep)?;
    Ok(Box::new(move || {
        let (cut, values) = (cut(x.dims(), axis), x.floats());
        let divisor = if mean { cut[1] as f32 } else { 1.0 };
        let rows = cut[0] * cut[2];
        let total = |row| (0..cut[1]).map(|i| values[at(cut, row, i)]).sum::<f32>() / divisor;
        y.put_floats(&(0..rows).map(total).collect::<Vec<_>>());
        Ok(())
    }))
}

pub(super) fn largest(r: &mut Reader<'_>) -> Answer<Action> {
    let x = r.input()?;
    let axis = only_axis(r, x.dims().len())?;
    let (keep, y) = (r.whole()? != 0, r.output()?);
    r.same_kinds(&[&x, &y])?;
    reduced(r, &x, &y, axis, keep)?;
    Ok(Box::new(move || {
        let (cut, values) = (cut(x.dims(), axis), x.floats());
        let best = |row| {
            (0..cut[1])
                .map(|i| values[at(cut, row, i)])
                .fold(f32::NEG_INFINITY, |a, b| if b.is_nan() || b > a { b } else { a })
        };
        y.put_floats(&(0..cut[0] * cut[2]).map(best).collect::<Vec<_>>());
        Ok(())
    }))
}

pub(super) fn softmax(r: &mut Reader<'_>) -> Answer<Action> {
    let x = r.input()?;
    let (axis, y) = (r.axis(x.dims().len())?, r.output()?);
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    Ok(Box::new(move || {
        let (cut, mut values) = (cut(x.dims(), axis), x.floats());
        for row in 0..cut[0] * cut[2] {
            let places: Vec<_> = (0..cut[1]).map(|i| at(cut, row, i)).collect();
            let most = places.iter().map(|&p| values[p]).fold(f32::NEG_INFINITY, f32::max);
            places.iter().for_each(|&p| values[p] = (values[p] - most).exp());
            let total: f32 = places.iter().map(|&p| values[p]).sum();
            places.iter().for_each(|&p| values[p] /= total);
        }
        y.put_floats(&values);
        Ok(())
    }))
}

pub(super) fn cumsum(r: &mut Reader<'_>) -> Answer<Action> {
    let x = r.input()?;
    let axis = r.axis(x.dims().len())?;
    let (kind, y) = (r.whole()?, r.output()?);
    r.want(kind as i32 == y.kind() && x.kind() == y.kind(), "types differ")?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    Ok(Box::new(move || {
        let (cut, mut values) = (cut(x.dims(), axis), x.floats());
        for row in 0..cut[0] * cut[2] {
            let mut total = 0.0;
            for i in 0..cut[1] {
                let place = at(cut, row, i);
                total += values[place];
                values[place] = total;
            }
        }
        y.put_floats(&values);
        Ok(())
    }))
}

/// The reciprocal root is not optional, and both tensors have no gaps.
pub(super) fn rms_norm(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, gamma, epsilon, y, rstd) = (r.input()?, r.input()?, r.real()?, r.output()?, r.output()?);
    [&x, &gamma, &y, &rstd].into_iter().try_for_each(|held| r.dense(held))?;
    r.same_kinds(&[&x, &y])?;
    r.want(gamma.kind() == x.kind() || gamma.kind() == F32, "gamma has a type that does not go with x")?;
    r.want(rstd.kind() == F32, "the reciprocal root is f32")?;
    r.want(x.dims() == y.dims() && !x.dims().is_empty(), "shapes differ")?;
    let (lead, width) = x.dims().split_at(x.dims().len() - 1);
    r.want(gamma.dims() == width, "gamma has another width")?;
    r.want(rstd.dims().split_last() == Some((&1, lead)), "the reciprocal root has another shape")?;
    Ok(Box::new(move || {
        let (mut values, gains) = (x.floats(), gamma.floats());
        let mut roots = Vec::new();
        for row in values.chunks_mut(gains.len()) {
            let mean = row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32;
            let root = 1.0 / (mean + epsilon as f32).sqrt();
            roots.push(root);
            row.iter_mut().zip(&gains).for_each(|(v, gain)| *v = *v * root * gain);
        }
        y.put_floats(&values);
        rstd.put_floats(&roots);
        Ok(())
    }))
}
