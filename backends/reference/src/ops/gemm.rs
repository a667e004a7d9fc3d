//! Matrix products.

use crate::num::{Num, dot, qdq};
use crate::tensor::{Output, Reader, Tensor, read};
use omnihal::op::{ActQuant, QuantKind, gemm};
use omnihal::{Args, Result};

/// Channels that share a scale when activations are rounded.
const A_GROUP: usize = 128;

/// `y = a_quant(a) w^T (+ y)`.
pub fn linear(d: &gemm::Linear, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = gemm::LinearArgs::new(args)?;
    let input = read(a.a)?;
    let rows: Vec<Vec<Num>> = (0..d.rows).map(|t| activations(input.row(t), d.a_quant)).collect();
    let weight = Reader::new(a.w)?;
    let before = if d.accumulate { Some(read(a.y)?) } else { None };
    let mut values = vec![Num::ZERO; d.rows * d.outer];
    for o in 0..d.outer {
        let w = weight.row(o)?;
        for (t, row) in rows.iter().enumerate() {
            values[t * d.outer + o] = added(dot(row, &w), &before, t * d.outer + o);
        }
    }
    Ok(vec![Output::dense(2, values)])
}

/// The row as the product sees it.
fn activations(row: &[f64], rounding: ActQuant) -> Vec<Num> {
    let row: Vec<Num> = row.iter().copied().map(Num::exact).collect();
    match rounding {
        ActQuant::None => row,
        ActQuant::F8G128 => row.chunks(A_GROUP).flat_map(|group| qdq(group, QuantKind::F8E4M3)).collect(),
    }
}

fn added(product: Num, before: &Option<Tensor>, i: usize) -> Num {
    match before {
        Some(y) => product + Num::exact(y.data[i]),
        None => product,
    }
}

/// `y[i] = alpha * a[i] b[i] (+ y[i])`.
pub fn batched(d: &gemm::Batched, args: &Args<'_>) -> Result<Vec<Output>> {
    let g = gemm::BatchedArgs::new(args)?;
    let (a, b) = (read(g.a)?, read(g.b)?);
    let before = if d.accumulate { Some(read(g.y)?) } else { None };
    let a_at = |i: usize, m: usize, k: usize| match d.transpose_a {
        false => a.data[(i * d.m + m) * d.inner + k],
        true => a.data[(i * d.inner + k) * d.m + m],
    };
    let b_at = |i: usize, k: usize, n: usize| match d.transpose_b {
        false => b.data[(i * d.inner + k) * d.n + n],
        true => b.data[(i * d.n + n) * d.inner + k],
    };
    let mut values = Vec::new();
    for i in 0..d.batch {
        let columns: Vec<Vec<f64>> = (0..d.n).map(|n| (0..d.inner).map(|k| b_at(i, k, n)).collect()).collect();
        for m in 0..d.m {
            let row: Vec<f64> = (0..d.inner).map(|k| a_at(i, m, k)).collect();
            for column in &columns {
                let mut product = dot(&row, column);
                if d.alpha != 1.0 {
                    product = Num::exact(f64::from(d.alpha)) * product;
                }
                values.push(added(product, &before, values.len()));
            }
        }
    }
    Ok(vec![Output::dense(2, values)])
}

/// `y[i] = x[i] w[g]^T`, g being the group in whose count row i falls.
pub fn grouped(d: &gemm::Grouped, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = gemm::GroupedArgs::new(args)?;
    let (x, counts, weight) = (read(a.x)?, read(a.counts)?, Reader::new(a.w)?);
    let mut values = vec![Num::ZERO; d.rows * d.outer];
    let mut first = 0;
    for (g, &count) in counts.data.iter().enumerate() {
        let end = d.rows.min(first + count.max(0.0) as usize);
        for o in (0..d.outer).filter(|_| first < end) {
            let w = weight.row(g * d.outer + o)?;
            for i in first..end {
                values[i * d.outer + o] = dot(x.row(i), &w);
            }
        }
        first = end;
    }
    let mask = (0..values.len()).map(|i| i < first * d.outer).collect();
    Ok(vec![Output::dense(3, values).with_mask(mask)])
}

#[cfg(test)]
#[path = "gemm_tests.rs"]
mod tests;
