//! The best of a row.

use crate::Call;
use crate::ops::copy::packed;
use crate::tensor::{bf16, ints, load, store, store_ints};
use omnihal::View;
use omnihal::op::sample::TopK;
use std::cmp::Ordering;

/// Order of two candidates, the better one first: by value, NaN last, then by place.
fn better(largest: bool, x: &[f32], i: usize, j: usize) -> Ordering {
    let (a, b) = (x[i], x[j]);
    let by_value = match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if a == b => Ordering::Equal,
        _ if (a > b) == largest => Ordering::Less,
        _ => Ordering::Greater,
    };
    by_value.then(i.cmp(&j))
}

/// The places of the `keep` best, best first.
pub fn best(x: &[f32], keep: usize, largest: bool) -> Vec<usize> {
    let mut places: Vec<usize> = (0..x.len()).collect();
    places.sort_by(|&i, &j| better(largest, x, i, j));
    places.truncate(keep);
    places
}

/// The best of each block of 16, then the best of those.
fn merged(x: &[f32], keep: usize, largest: bool) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for (b, block) in x.chunks(16).enumerate() {
        places.extend(best(block, keep, largest).into_iter().map(|i| 16 * b + i));
    }
    places.sort_by(|&i, &j| better(largest, x, i, j));
    places.truncate(keep);
    places
}

/// Planted orders of a row.
fn chosen(call: &Call<'_>, d: &TopK, x: &[f32]) -> Vec<usize> {
    let mapped = |f: &dyn Fn(usize, f32) -> f32| {
        let x: Vec<f32> = x.iter().enumerate().map(|(i, &v)| f(i, v)).collect();
        best(&x, d.keep, d.largest)
    };
    let worst = if d.largest { f32::NEG_INFINITY } else { f32::INFINITY };
    match () {
        () if call.is("sample.blocks_of_16_are_merged") => merged(x, d.keep, d.largest),
        () if call.is("sample.ties_by_the_highest_place") => {
            let turned: Vec<f32> = x.iter().rev().copied().collect();
            best(&turned, d.keep, d.largest).into_iter().map(|i| x.len() - 1 - i).collect()
        }
        () if call.is("sample.nan_is_the_best") => mapped(&|_, v| if v.is_nan() { -worst } else { v }),
        () if call.is("sample.nan_is_the_largest") => mapped(&|_, v| if v.is_nan() { f32::INFINITY } else { v }),
        () if call.is("sample.nan_equals_the_worst_infinity") => mapped(&|_, v| if v.is_nan() { worst } else { v }),
        () if call.is("sample.magnitudes_are_compared") => mapped(&|_, v| v.abs()),
        () if call.is("sample.values_are_compared_in_bf16") => mapped(&|_, v| bf16(v)),
        () if call.is("sample.always_the_largest") => best(x, d.keep, true),
        () if call.is("sample.negative_zero_is_below_zero") => {
            mapped(&|_, v| if v == 0.0 && v.is_sign_negative() { -f32::MIN_POSITIVE } else { v })
        }
        () if call.is("sample.elements_beyond_a_tile_of_32_are_ignored") && x.len() > 32 => {
            let whole = (x.len() - x.len() % 32).max(d.keep);
            best(&x[..whole], d.keep, d.largest)
        }
        () if call.is("sample.last_element_is_ignored") && d.keep < x.len() => {
            best(&x[..x.len() - 1], d.keep, d.largest)
        }
        () if call.is("sample.two_of_a_block_at_most") => two_of_a_block(x, d),
        () => best(x, d.keep, d.largest),
    }
}

/// Planted: each block of 8 gives its two best only, the rest follows by place.
fn two_of_a_block(x: &[f32], d: &TopK) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for (b, block) in x.chunks(8).enumerate() {
        places.extend(best(block, 2, d.largest).into_iter().map(|i| 8 * b + i));
    }
    places.sort_by(|&i, &j| better(d.largest, x, i, j));
    let rest: Vec<usize> = (0..x.len()).filter(|i| !places.contains(i)).collect();
    places.extend(rest);
    places.truncate(d.keep);
    places
}

pub fn run(call: &Call<'_>, d: &TopK) {
    let view = call.arg(0);
    let x = load(&if call.is("sample.gaps_between_rows_are_ignored") { packed(view) } else { *view });
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for row in x.chunks(d.width) {
        let mut order = chosen(call, d, row);
        if (call.is("sample.unsorted_where_allowed") && !d.sorted) || call.is("sample.best_last") {
            order.reverse();
        }
        if call.is("sample.sorted_by_place") && d.sorted {
            order.sort_unstable();
        }
        values.extend(order.iter().map(|&i| if call.is("sample.best_values_in_bf16") { bf16(row[i]) } else { row[i] }));
        places.extend(order.iter().map(|&i| told(call, d, row, i)));
    }
    let (v, idx) = (call.arg(1), call.arg(2));
    if call.is("sample.last_of_the_kept_is_not_written") && d.keep > 1 {
        let (before, were) = (load(v), ints(idx));
        for i in (d.keep - 1..values.len()).step_by(d.keep) {
            (values[i], places[i]) = (before[i], were[i]);
        }
    }
    store(v, &values);
    store_ints(idx, &places);
    if call.is("sample.writes_a_place_too_many") {
        let past = View { offset: idx.offset + idx.extent_bytes(), shape: [1].into(), ..*idx };
        store_ints(&past, &[-1]);
    }
}

/// The place that is written for a kept element.
fn told(call: &Call<'_>, d: &TopK, row: &[f32], i: usize) -> i32 {
    match () {
        () if call.is("sample.places_are_counted_from_1") => i as i32 + 1,
        () if call.is("sample.places_within_the_tile") => (i % 32) as i32,
        () if call.is("sample.infinite_values_are_absent") && row[i].is_infinite() => -1,
        () if call.is("sample.first_of_equal_values") && d.largest => {
            row.iter().position(|v| *v == row[i]).unwrap_or(i) as i32
        }
        () => i as i32,
    }
}
