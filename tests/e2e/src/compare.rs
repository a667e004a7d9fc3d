//! Comparing one tensor.

use crate::golden::{Tensor, Values};
use crate::report::TensorResult;
use crate::run::Rows;

/// Limit of logits (oracle README).
pub const LOGITS: f64 = 1e-4;
/// Limit of every other real tensor (oracle README: hidden streams).
pub const STREAMS: f64 = 2e-4;

/// The limit of a golden name.
pub fn limit(name: &str) -> f64 {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    if matches!(leaf, "logits" | "decode_logits") { LOGITS } else { STREAMS }
}

/// A result from a difference.
pub fn result(name: &str, max_abs: f64, limit: f64) -> TensorResult {
    // NaN is never within a limit.
    TensorResult { name: name.into(), max_abs, limit, pass: max_abs <= limit }
}

/// A shape that does not fit.
pub fn misshapen(name: &str) -> TensorResult {
    result(name, f64::INFINITY, limit(name))
}

/// Largest absolute difference. Equal values, infinities among them, differ by 0; a NaN on one side differs without bound.
pub fn max_abs(found: impl IntoIterator<Item = f32>, golden: &[f32]) -> f64 {
    let difference = |(f, g): (f32, &f32)| match f == *g {
        true => 0.0,
        false if f.is_nan() || g.is_nan() => f64::INFINITY,
        false => (f as f64 - *g as f64).abs(),
    };
    found.into_iter().zip(golden).map(difference).fold(0.0, f64::max)
}

/// Compares rows with a golden tensor of the same number of elements.
pub fn real(name: &str, found: &Rows, golden: &Tensor) -> TensorResult {
    match &golden.values {
        Values::Real(values) if values.len() == found.values.len() => {
            result(name, max_abs(found.values.iter().copied(), values), limit(name))
        }
        _ => misshapen(name),
    }
}

/// Compares index sets row by row: order is free, -1 is padding. The difference is the number of rows that differ.
pub fn sets(name: &str, found: &Rows, golden: &Tensor) -> TensorResult {
    let Values::Int(values) = &golden.values else { return misshapen(name) };
    let (rows, width) = (golden.shape[0], golden.shape[1]);
    let have: usize = found.row.iter().product();
    if found.count != rows || have == 0 {
        return misshapen(name);
    }
    let sorted = |row: Vec<i64>| {
        let mut row: Vec<i64> = row.into_iter().filter(|&i| i >= 0).collect();
        row.sort_unstable();
        row
    };
    let differing = (0..rows).filter(|&t| {
        let golden = values[t * width..(t + 1) * width].to_vec();
        let found = found.values[t * have..(t + 1) * have].iter().map(|&i| i as i64).collect();
        sorted(golden) != sorted(found)
    });
    result(name, differing.count() as f64, 0.0)
}
