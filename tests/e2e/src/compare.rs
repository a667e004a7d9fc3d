//! Comparing one tensor.

use crate::golden::{Tensor, Values};
use crate::report::TensorResult;
use crate::run::Rows;
use std::collections::BTreeSet;

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

/// Half the smallest gap that the oracle leaves between a kept and a dropped score (oracle README): closer scores are a tie.
const TIE: f32 = 2.5e-5;

/// How the rows of two index sets relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetRow {
    /// The same entries.
    Equal,
    /// Entries that differ all have the score of the last one kept: the oracle broke a tie the other way.
    Tied,
    /// Different choices.
    Different,
}

/// Compares index sets row by row: order is free, -1 is padding. `scores` are those of every entry, if known.
pub fn set_rows(found: &Rows, golden: &Tensor, scores: Option<&Rows>) -> Option<Vec<SetRow>> {
    let Values::Int(values) = &golden.values else { return None };
    let (rows, width) = (golden.shape[0], golden.shape[1]);
    let have: usize = found.row.iter().product();
    if found.count != rows || have == 0 {
        return None;
    }
    let set = |row: &mut dyn Iterator<Item = i64>| row.filter(|&i| i >= 0).collect::<BTreeSet<i64>>();
    let row = |t: usize| {
        let golden = set(&mut values[t * width..(t + 1) * width].iter().copied());
        let found = set(&mut found.values[t * have..(t + 1) * have].iter().map(|&i| i as i64));
        let score = |entry: &i64| {
            let scores = scores?;
            scores.values.get(t * scores.row[0]..(t + 1) * scores.row[0])?.get(*entry as usize).copied()
        };
        let last = found.iter().filter_map(score).fold(f32::INFINITY, f32::min);
        let tied = |entry: &i64| score(entry).is_some_and(|s| (s - last).abs() <= TIE);
        match () {
            () if found == golden => SetRow::Equal,
            () if found.len() == golden.len() && found.symmetric_difference(&golden).all(tied) => SetRow::Tied,
            () => SetRow::Different,
        }
    };
    Some((0..rows).map(row).collect())
}

/// The number of rows whose index sets differ by more than the breaking of a tie.
pub fn sets(name: &str, found: &Rows, golden: &Tensor, scores: Option<&Rows>) -> TensorResult {
    match set_rows(found, golden, scores) {
        Some(rows) => result(name, rows.iter().filter(|r| **r == SetRow::Different).count() as f64, 0.0),
        None => misshapen(name),
    }
}
