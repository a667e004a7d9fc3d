//! Matrix products: f32 sums, one rounding.

use super::reader::{BF16, F16, F32, I64, Reader};
use super::{Action, Held};
use crate::fault::{Answer, broken, code};

/// `c[m, n] = a[m, k] b[k, n]`.
fn product(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![0f32; m * n];
    for (row, out) in a.chunks(k.max(1)).zip(c.chunks_mut(n.max(1))) {
        for (&x, line) in row.iter().zip(b.chunks(n.max(1))) {
            out.iter_mut().zip(line).for_each(|(sum, &y)| *sum += x * y);
        }
    }
    c
}

fn kinds(r: &Reader<'_>, a: &Held, b: &Held, y: &Held) -> Answer {
    r.same_kinds(&[a, b, y])?;
    r.want(matches!(a.kind(), F32 | F16 | BF16), "no float")
}

fn keeps_types(r: &mut Reader<'_>) -> Answer {
    let kind = r.whole()?;
    match kind {
        0 => Ok(()),
        _ => broken(
            "precision",
            code::NN_PARAM,
            format!("{}: cubeMathType {kind} computes in another type than the tensors'", r.operator),
        ),
    }
}

pub(super) fn mm(r: &mut Reader<'_>) -> Answer<Action> {
    let (a, b, y) = (r.input()?, r.input()?, r.output()?);
    keeps_types(r)?;
    kinds(r, &a, &b, &y)?;
    let ([m, k], [k2, n], [m2, n2]) = (two(r, &a)?, two(r, &b)?, two(r, &y)?);
    r.want(k == k2 && m == m2 && n == n2, "shapes do not go together")?;
    Ok(Box::new(move || {
        y.put_floats(&product(&a.floats(), &b.floats(), [m, k, n]));
        Ok(())
    }))
}

fn two(r: &Reader<'_>, held: &Held) -> Answer<[usize; 2]> {
    held.dims().try_into().or_else(|_| r.bad("no matrix"))
}

fn three(r: &Reader<'_>, held: &Held) -> Answer<[usize; 3]> {
    held.dims().try_into().or_else(|_| r.bad("no stack of matrices"))
}

pub(super) fn batched(r: &mut Reader<'_>) -> Answer<Action> {
    let (a, b, y) = (r.input()?, r.input()?, r.output()?);
    keeps_types(r)?;
    kinds(r, &a, &b, &y)?;
    let ([p, m, k], [p2, k2, n], [p3, m2, n2]) = (three(r, &a)?, three(r, &b)?, three(r, &y)?);
    r.want(k == k2 && m == m2 && n == n2 && p == p2 && p == p3, "shapes do not go together")?;
    Ok(Box::new(move || {
        let (x, w) = (a.floats(), b.floats());
        let pairs = x.chunks(m * k).zip(w.chunks(k * n));
        let out: Vec<f32> = pairs.flat_map(|(x, w)| product(x, w, [m, k, n])).collect();
        y.put_floats(&out);
        Ok(())
    }))
}

/// One tensor in each list, groups along the rows, counts of rows. Rows behind the last group are not written by the vendor's operator.
pub(super) fn grouped(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, w) = (r.list(false)?, r.list(false)?);
    r.absent(6)?;
    let counts = r.input()?;
    r.absent(3)?;
    let (split, group, counted, act) = (r.whole()?, r.whole()?, r.whole()?, r.whole()?);
    r.absent(1)?;
    let y = r.list(true)?;
    r.absent(2)?;
    let ([x], [w], [y]) = (&x[..], &w[..], &y[..]) else { return r.bad("the stand-in takes one tensor in each list") };
    let (x, w, y) = (x.clone(), w.clone(), y.clone());
    r.want(matches!(split, 2 | 3) && group == 0 && counted == 1 && act == 0, "modes that the stand-in does not take")?;
    kinds(r, &x, &w, &y)?;
    let ([rows, k], [groups, k2, n], [rows2, n2]) = (two(r, &x)?, three(r, &w)?, two(r, &y)?);
    r.want(k == k2 && rows == rows2 && n == n2, "shapes do not go together")?;
    r.want(counts.kind() == I64 && counts.dims() == [groups], "counts are one 64-bit integer a group")?;
    r.dense(&x)?;
    r.dense(&y)?;
    Ok(Box::new(move || {
        let (a, b) = (x.floats(), w.floats());
        let mut out = vec![f32::NAN; rows * n];
        let mut from = 0;
        for (count, b) in counts.ints().into_iter().zip(b.chunks(k * n)) {
            let count = count as usize;
            if from + count > rows {
                return broken(
                    "index",
                    code::AICORE,
                    format!("groups of {} rows or more in a matrix of {rows}", from + count),
                );
            }
            let part = product(&a[from * k..(from + count) * k], b, [count, k, n]);
            out[from * n..(from + count) * n].copy_from_slice(&part);
            from += count;
        }
        y.put_floats(&out);
        Ok(())
    }))
}
