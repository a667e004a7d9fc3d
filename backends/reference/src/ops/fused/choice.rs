//! Choosing the best of a row, and whether every honest device must choose alike.

use crate::num::Num;
use std::cmp::Ordering;

/// The `keep` best places, best first, or all if there are fewer. On ties the lowest place; a NaN ranks below every number.
pub fn best(scores: &[Num], keep: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| rank(scores[a].v, scores[b].v).then_with(|| a.cmp(&b)));
    order.truncate(keep);
    order
}

/// Larger first, NaN last. Both zeros are equal.
pub fn rank(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// True if no device may rank a dropped score before a kept one.
pub fn set_is_decided(scores: &[Num], kept: &[usize]) -> bool {
    let mut is_kept = vec![false; scores.len()];
    kept.iter().for_each(|&k| is_kept[k] = true);
    let side = |side: bool| scores.iter().zip(&is_kept).filter(move |(_, kept)| **kept == side).map(|(s, _)| *s);
    let lowest =
        |inexact: bool| side(true).filter(|s| s.e > 0.0 || !inexact).map(Num::lo).fold(f64::INFINITY, f64::min);
    let highest =
        |inexact: bool| side(false).filter(|s| s.e > 0.0 || !inexact).map(Num::hi).fold(f64::NEG_INFINITY, f64::max);
    // Two scores without error have one order everywhere, ties included.
    lowest(true) > highest(false) && lowest(false) > highest(true)
}

/// True if no device may rank these scores, given best first, in another order.
pub fn order_is_decided(scores: &[Num], order: &[usize]) -> bool {
    let surely = |a: Num, b: Num| (a.e == 0.0 && b.e == 0.0) || b.v.is_nan() || a.lo() > b.hi();
    order.iter().enumerate().all(|(i, &a)| order[i + 1..].iter().all(|&b| surely(scores[a], scores[b])))
}
