//! hyper.pre, sinkhorn, post, head (deepseek-v4.md 3.2).

use super::{result, sinkhorn, vector};
use crate::num::{self, Num};
use crate::tensor::{Output, Tensor, index, read};
use omnihal::op::hyper::{Head, HeadArgs, Post, PostArgs, Pre, PreArgs, Sinkhorn, SinkhornArgs};
use omnihal::{Args, DType, OpKind, Result, View};

pub fn pre(d: &Pre, args: &Args) -> Result<Vec<Output>> {
    let a = PreArgs::new(args)?;
    let (projection, scale, base) = (read(a.projection)?, read(a.scale)?, read(a.base)?);
    let (gain, x) = (gain(a.norm)?, read(a.x)?);
    let n = d.streams;
    let (mut mixed, mut post, mut comb) = (Vec::new(), Vec::new(), Vec::new());
    for z in x.data.chunks(n * d.width) {
        let g = coefficients(z, &projection, d.eps);
        let affine = |i: usize, group: usize| g[i] * Num::exact(scale.data[group]) + Num::exact(base.data[i]);
        let weights: Vec<Num> = (0..n).map(|i| affine(i, 0).sigmoid() + Num::exact(f64::from(d.hc_eps))).collect();
        mixed.extend(collapse(z, &weights, gain.as_ref(), d.eps, d.act));
        post.extend((n..2 * n).map(|i| affine(i, 1).sigmoid() * Num::exact(2.0)));
        let logits: Vec<Num> = (2 * n..(2 + n) * n).map(|i| affine(i, 2)).collect();
        comb.extend(sinkhorn::sinkhorn(&logits, n, d.iters, d.hc_eps));
    }
    let live = result::leading(d.rows, args.rows_hint);
    let op = OpKind::HyperPre;
    Ok(vec![
        result::dense(op, "a", mixed, &live),
        result::dense(op, "post", post, &live),
        result::dense(op, "comb", comb, &live),
    ])
}

pub fn sinkhorn(d: &Sinkhorn, args: &Args) -> Result<Vec<Output>> {
    let logits = read(SinkhornArgs::new(args)?.logits)?;
    let n = d.streams;
    let comb = logits
        .data
        .chunks(n * n)
        .flat_map(|logits| sinkhorn::sinkhorn(&vector::exact(logits), n, d.iters, d.eps))
        .collect();
    Ok(vec![result::dense(OpKind::HyperSinkhorn, "comb", comb, &result::leading(d.rows, args.rows_hint))])
}

pub fn post(d: &Post, args: &Args) -> Result<Vec<Output>> {
    let a = PostArgs::new(args)?;
    let (x, out, post, comb) = (read(a.x)?, read(a.out)?, read(a.post)?, read(a.comb)?);
    let n = d.streams;
    let mut y = Vec::with_capacity(x.data.len());
    for row in 0..d.rows {
        for to in 0..n {
            for c in 0..d.width {
                let mut terms = vec![Num::exact(post.row(row)[to]) * Num::exact(out.row(row)[c])];
                // The matrix is applied transposed: the sum runs over its first index.
                terms.extend(
                    (0..n).map(|from| Num::exact(comb.row(row * n + from)[to]) * Num::exact(x.row(row * n + from)[c])),
                );
                y.push(num::sum(&terms));
            }
        }
    }
    Ok(vec![result::dense(OpKind::HyperPost, "y", y, &result::leading(d.rows, args.rows_hint))])
}

pub fn head(d: &Head, args: &Args) -> Result<Vec<Output>> {
    let a = HeadArgs::new(args)?;
    let (projection, scale, base) = (read(a.projection)?, read(a.scale)?, read(a.base)?);
    let (gain, x, out) = (gain(a.norm)?, read(a.x)?, read(a.out)?);
    let wanted: Vec<Option<usize>> = out.data.iter().map(|&row| index(row, d.rows)).collect();
    let mut y = Vec::with_capacity(d.wanted * d.width);
    for row in &wanted {
        let Some(row) = row else {
            y.extend(vec![Num::ZERO; d.width]);
            continue;
        };
        let z = &x.data[row * d.streams * d.width..(row + 1) * d.streams * d.width];
        let weight = |(g, &base): (Num, &f64)| {
            (g * Num::exact(scale.data[0]) + Num::exact(base)).sigmoid() + Num::exact(f64::from(d.hc_eps))
        };
        let weights: Vec<Num> = coefficients(z, &projection, d.eps).into_iter().zip(&base.data).map(weight).collect();
        y.extend(collapse(z, &weights, gain.as_ref(), d.eps, d.act));
    }
    let live: Vec<bool> = wanted.iter().map(Option::is_some).collect();
    Ok(vec![result::dense(OpKind::HyperHead, "y", y, &live)])
}

fn gain(view: Option<&View>) -> Result<Option<Tensor>> {
    view.map(read).transpose()
}

/// `(z fn^T) * rsqrt(mean(z^2) + eps)`.
fn coefficients(z: &[f64], projection: &Tensor, eps: f32) -> Vec<Num> {
    let factor = vector::rms_factor(&vector::exact(z), eps);
    (0..projection.shape[0]).map(|i| num::dot(z, projection.row(i)) * factor).collect()
}

/// Weighted sum of the streams, rounded, then normalised if there is a gain.
fn collapse(z: &[f64], weights: &[Num], gain: Option<&Tensor>, eps: f32, act: DType) -> Vec<Num> {
    let width = z.len() / weights.len();
    let sum = |c: usize| {
        num::sum(&weights.iter().enumerate().map(|(j, &w)| w * Num::exact(z[j * width + c])).collect::<Vec<_>>())
    };
    let mut a: Vec<Num> = (0..width).map(sum).collect();
    match gain {
        None => a,
        Some(gain) => {
            vector::round_all(&mut a, act);
            vector::rms_norm(&a, Some(&gain.data), eps)
        }
    }
}
