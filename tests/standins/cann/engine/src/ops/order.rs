//! Sorting. A NaN is above every number. Where the documents promise no order among equals, the last comes first here, so that nobody relies on it.

use super::reader::{F32, I64, Reader, is_float};
use super::{Action, Held};
use crate::fault::Answer;
use std::cmp::Ordering;

/// Keys that order as the elements do.
fn keys(x: &Held) -> Vec<f64> {
    match is_float(x.tensor.kind) {
        true => x
            .floats()
            .into_iter()
            .map(|v| {
                if v.is_nan() {
                    f64::INFINITY
                } else if v == f32::INFINITY {
                    f64::MAX
                } else {
                    v as f64
                }
            })
            .collect(),
        false => x.ints().into_iter().map(|v| v as f64).collect(),
    }
}

fn ranked(row: &[f64], descending: bool, stable: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| {
        let by_key = row[a].partial_cmp(&row[b]).unwrap_or(Ordering::Equal);
        let by_key = if descending { by_key.reverse() } else { by_key };
        by_key.then(if stable { a.cmp(&b) } else { b.cmp(&a) })
    });
    order
}

fn checked(r: &Reader<'_>, x: &Held, axis: usize, values: &Held, places: &Held) -> Answer {
    r.want(axis + 1 == x.dims().len(), "the stand-in sorts along the last axis")?;
    r.same_kinds(&[x, values])?;
    r.want(places.kind() == I64, "places are 64-bit integers")?;
    r.want(values.dims() == places.dims(), "results of two shapes")
}

fn rows(x: Held, values: Held, places: Held, keep: usize, descending: bool, stable: bool) -> Action {
    Box::new(move || {
        let width = x.dims().last().copied().unwrap_or(1);
        let (keys, bits) = (keys(&x), x.bits());
        let (mut best, mut at) = (Vec::new(), Vec::new());
        for (keys, bits) in keys.chunks(width).zip(bits.chunks(width)) {
            for place in ranked(keys, descending, stable).into_iter().take(keep) {
                best.push(bits[place]);
                at.push(place as i64);
            }
        }
        values.put_bits(&best);
        places.put_ints(&at);
        Ok(())
    })
}

pub(super) fn sort(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, stable) = (r.input()?, r.whole()? != 0);
    let axis = r.axis(x.dims().len())?;
    let (descending, values, places) = (r.whole()? != 0, r.output()?, r.output()?);
    checked(r, &x, axis, &values, &places)?;
    r.want(x.dims() == values.dims(), "shapes differ")?;
    let keep = x.dims()[axis];
    Ok(rows(x, values, places, keep, descending, stable))
}

pub(super) fn topk(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, keep) = (r.input()?, r.whole()? as usize);
    let axis = r.axis(x.dims().len())?;
    let (largest, _sorted, values, places) = (r.whole()? != 0, r.whole()?, r.output()?, r.output()?);
    checked(r, &x, axis, &values, &places)?;
    r.want(x.kind() == F32 || !is_float(x.tensor.kind), "f32 or integers here")?;
    let mut dims = x.dims().to_vec();
    dims[axis] = keep;
    r.want(keep <= x.dims()[axis] && dims == values.dims(), "the result has another shape")?;
    Ok(rows(x, values, places, keep, largest, false))
}
