//! Moving elements. An index that is out of range is an error of the device: nothing checks it before.

use super::data::broadcast;
use super::reader::{F32, I32, I64, Reader, is_float};
use super::{Action, Held};
use crate::fault::{Answer, broken, code};

fn copy(from: Held, to: Held) -> Action {
    Box::new(move || {
        let dims = to.dims();
        match (from.kind() == to.kind(), is_float(from.tensor.kind)) {
            (true, _) => to.put_bits(&from.bits_as(dims)),
            (false, true) => to.put_floats(&from.floats_as(dims)),
            (false, false) => to.put_ints(&from.ints_as(dims)),
        }
        Ok(())
    })
}

pub(super) fn cast(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, kind, y) = (r.input()?, r.whole()?, r.output()?);
    r.want(kind as i32 == y.kind(), "the result has another type than asked for")?;
    r.want(x.dims() == y.dims(), "shapes differ")?;
    Ok(copy(x, y))
}

pub(super) fn inplace_copy(r: &mut Reader<'_>) -> Answer<Action> {
    let (to, from) = (r.update()?, r.input()?);
    r.want(
        broadcast(to.dims(), from.dims()).as_deref() == Some(to.dims()),
        "the source does not broadcast to the destination",
    )?;
    Ok(copy(from, to))
}

fn is_index(r: &Reader<'_>, index: &Held) -> Answer {
    r.want(matches!(index.kind(), I32 | I64), "an index that is no 32-bit or 64-bit integer")
}

/// An index within `n`.
fn within(operator: &str, index: i64, n: usize) -> Answer<usize> {
    match usize::try_from(index) {
        Ok(found) if found < n => Ok(found),
        _ => broken("index", code::AICORE, format!("{operator}: index {index} of {n}")),
    }
}

pub(super) fn index_select(r: &mut Reader<'_>) -> Answer<Action> {
    let x = r.input()?;
    let axis = r.axis(x.dims().len())?;
    let (index, y) = (r.input()?, r.output()?);
    is_index(r, &index)?;
    r.same_kinds(&[&x, &y])?;
    r.want(index.dims().len() == 1, "an index of more than one axis")?;
    let mut dims = x.dims().to_vec();
    dims[axis] = index.dims()[0];
    r.want(dims == y.dims(), "the result has another shape")?;
    let operator = r.operator.to_owned();
    Ok(Box::new(move || {
        let (n, post) = (x.dims()[axis], x.dims()[axis + 1..].iter().product::<usize>());
        let (from, chosen) = (x.bits(), index.ints());
        let mut out = Vec::with_capacity(from.len() / n * chosen.len());
        for block in from.chunks(n * post) {
            for &index in &chosen {
                let row = within(&operator, index, n)?;
                out.extend_from_slice(&block[row * post..][..post]);
            }
        }
        y.put_bits(&out);
        Ok(())
    }))
}

pub(super) fn gather(r: &mut Reader<'_>) -> Answer<Action> {
    let x = r.input()?;
    let axis = r.axis(x.dims().len())?;
    let (index, y) = (r.input()?, r.output()?);
    is_index(r, &index)?;
    r.same_kinds(&[&x, &y])?;
    r.want(x.dims().len() == 2 && axis == 1, "the stand-in gathers along rows of a matrix")?;
    r.want(index.dims() == y.dims() && index.dims()[0] <= x.dims()[0], "shapes differ")?;
    let operator = r.operator.to_owned();
    Ok(Box::new(move || {
        let (width, count) = (x.dims()[1], index.dims()[1]);
        let from = x.bits();
        let out: Answer<Vec<u64>> = index
            .ints()
            .iter()
            .enumerate()
            .map(|(i, &at)| Ok(from[i / count * width + within(&operator, at, width)?]))
            .collect();
        y.put_bits(&out?);
        Ok(())
    }))
}

pub(super) fn scatter_nd_update(r: &mut Reader<'_>) -> Answer<Action> {
    let (to, index, from) = (r.update()?, r.input()?, r.input()?);
    is_index(r, &index)?;
    [&to, &index, &from].into_iter().try_for_each(|held| r.dense(held))?;
    r.same_kinds(&[&to, &from])?;
    r.want(index.dims().len() == 2 && index.dims()[1] == 1, "the stand-in takes indices of shape [n, 1]")?;
    let mut dims = to.dims().to_vec();
    dims[0] = index.dims()[0];
    r.want(dims == from.dims(), "the updates have another shape")?;
    let operator = r.operator.to_owned();
    Ok(Box::new(move || {
        let (rows, width) = (to.dims()[0], to.dims()[1..].iter().product::<usize>());
        let (mut all, updates) = (to.bits(), from.bits());
        for (index, row) in index.ints().into_iter().zip(updates.chunks(width)) {
            let at = within(&operator, index, rows)? * width;
            all[at..at + width].copy_from_slice(row);
        }
        to.put_bits(&all);
        Ok(())
    }))
}

pub(super) fn cat(r: &mut Reader<'_>) -> Answer<Action> {
    let parts = r.list(false)?;
    let rank = parts.first().map_or(0, |part| part.dims().len());
    let (axis, y) = (r.axis(rank)?, r.output()?);
    let mut all: Vec<&Held> = parts.iter().collect();
    all.push(&y);
    r.same_kinds(&all)?;
    let mut dims = y.dims().to_vec();
    dims[axis] = parts.iter().map(|part| part.dims().get(axis).copied().unwrap_or(0)).sum();
    r.want(dims == y.dims(), "the result has another length")?;
    let agree = |part: &Held| part.dims().len() == rank && (0..rank).all(|i| i == axis || part.dims()[i] == dims[i]);
    r.want(parts.iter().all(agree), "shapes differ")?;
    Ok(Box::new(move || {
        let post: usize = y.dims()[axis + 1..].iter().product();
        let pre: usize = y.dims()[..axis].iter().product();
        let from: Vec<_> = parts.iter().map(|part| (part.bits(), part.dims()[axis] * post)).collect();
        let mut out = Vec::new();
        for i in 0..pre {
            from.iter().for_each(|(bits, len)| out.extend_from_slice(&bits[i * len..][..*len]));
        }
        y.put_bits(&out);
        Ok(())
    }))
}

pub(super) fn fill(r: &mut Reader<'_>) -> Answer<Action> {
    let (to, value) = (r.update()?, r.scalar()?);
    Ok(Box::new(move || {
        let n = to.tensor.elements();
        match value.kind.0 == F32 {
            true => to.put_floats(&vec![value.real as f32; n]),
            false => to.put_ints(&vec![value.whole; n]),
        }
        Ok(())
    }))
}

pub(super) fn zero(r: &mut Reader<'_>) -> Answer<Action> {
    let to = r.update()?;
    Ok(Box::new(move || {
        to.put_bits(&vec![0; to.tensor.elements()]);
        Ok(())
    }))
}

pub(super) fn arange(r: &mut Reader<'_>) -> Answer<Action> {
    let (start, end, step, y) = (r.scalar()?, r.scalar()?, r.scalar()?, r.output()?);
    let count = ((end.real - start.real) / step.real).ceil();
    r.want(count == y.tensor.elements() as f64, "the result has another length")?;
    Ok(Box::new(move || {
        let n = y.tensor.elements();
        y.put_floats(&(0..n).map(|i| (start.real + i as f64 * step.real) as f32).collect::<Vec<_>>());
        Ok(())
    }))
}
