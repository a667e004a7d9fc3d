//! Sinkhorn normalisation with its error bound.
//!
//! Bounds that forget where errors come from double at each division: useless after 39 of them. But a common factor of a row or column
//! cancels in the next division, so relative errors are followed through the linearised steps, from each step to the end.

use super::vector;
use crate::num::{Num, U_ACC};

/// Unit roundoffs of one division by a sum beside one for each term: the sum with its epsilon, and a quotient of 2 ulp.
const STEP: f64 = 5.0;
/// Room for what the linearised steps leave out.
const SECOND_ORDER: f64 = 1.125;

/// One division of each element by the sum of its row or column.
struct Step {
    columns: bool,
    after: Vec<f64>,
}

/// Softmax of each row plus eps, columns, then `iters-1` times rows and columns; `n x n`, from row, to column.
pub fn sinkhorn(logits: &[Num], n: usize, iters: usize, eps: f32) -> Vec<Num> {
    let eps = f64::from(eps);
    let start: Vec<Num> =
        logits.chunks(n).flat_map(|row| vector::softmax(row, None)).map(|x| x + Num::exact(eps)).collect();
    let mut steps = Vec::with_capacity(2 * iters - 1);
    let mut matrix: Vec<f64> = start.iter().map(|x| x.v).collect();
    for columns in (0..2 * iters - 1).map(|i| i % 2 == 0) {
        matrix = divide(&matrix, n, columns, eps);
        steps.push(Step { columns, after: matrix.clone() });
    }
    let errors = relative_errors(&start, &steps, n);
    matrix.into_iter().zip(errors).map(|(v, e)| Num::new(v, v.abs() * e * SECOND_ORDER)).collect()
}

/// The elements that share a sum with element `i`.
fn partners(i: usize, n: usize, columns: bool) -> impl Iterator<Item = usize> {
    (0..n).map(move |k| if columns { k * n + i % n } else { i / n * n + k })
}

fn divide(matrix: &[f64], n: usize, columns: bool, eps: f64) -> Vec<f64> {
    let sum = |i: usize| partners(i, n, columns).map(|k| matrix[k]).sum::<f64>();
    (0..matrix.len()).map(|i| matrix[i] / (sum(i) + eps)).collect()
}

/// Relative error of each element at the end.
fn relative_errors(start: &[Num], steps: &[Step], n: usize) -> Vec<f64> {
    let size = start.len();
    let fresh = (n as f64 + STEP) * U_ACC;
    // Row i: what a relative error of each element after the present step does to element i of the result.
    let mut effect: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|k| if i == k { 1.0 } else { 0.0 }).collect()).collect();
    let mut errors = vec![0.0; size];
    for step in steps.iter().rev() {
        for (error, effect) in errors.iter_mut().zip(&mut effect) {
            *error += fresh * effect.iter().map(|x| x.abs()).sum::<f64>();
            // An element's quotient falls by its partner's share of the sum when the partner grows.
            let before = |k: usize| {
                let share = step.after[k];
                effect[k] - share * partners(k, n, step.columns).map(|i| effect[i]).sum::<f64>()
            };
            *effect = (0..size).map(before).collect();
        }
    }
    let relative = |x: &Num| if x.v == 0.0 { 0.0 } else { x.e / x.v.abs() };
    for (error, effect) in errors.iter_mut().zip(&effect) {
        *error += effect.iter().zip(start).map(|(f, x)| f.abs() * relative(x)).sum::<f64>();
    }
    errors
}
