//! Crossing axes so that every pair of values meets.

use std::collections::HashSet;

/// Rows of indices, one an axis, such that each pair of values of two axes occurs in a row. Greedy, and the same every time.
pub fn pairwise<const N: usize>(lengths: [usize; N]) -> Vec<[usize; N]> {
    let mut open: HashSet<(usize, usize, usize, usize)> = HashSet::new();
    for a in 0..N {
        for b in a + 1..N {
            open.extend((0..lengths[a]).flat_map(|i| (0..lengths[b]).map(move |j| (a, i, b, j))));
        }
    }
    let mut rows = Vec::new();
    while !open.is_empty() {
        // Start from the first open pair, then give each other axis the value that closes most pairs.
        let Some(&(a, i, b, j)) = open.iter().min() else { break };
        let mut row: [Option<usize>; N] = [None; N];
        (row[a], row[b]) = (Some(i), Some(j));
        for axis in 0..N {
            if row[axis].is_some() {
                continue;
            }
            let closes = |value: usize| {
                let met = |other: usize| match row[other] {
                    Some(at) if other < axis => open.contains(&(other, at, axis, value)),
                    Some(at) => open.contains(&(axis, value, other, at)),
                    None => false,
                };
                (0..N).filter(|&other| other != axis && met(other)).count()
            };
            // Among equals the value that has been used least: rows already there shift the start.
            let start = rows.len() % lengths[axis];
            let order = (0..lengths[axis]).map(|v| (v + start) % lengths[axis]);
            row[axis] = order.rev().max_by_key(|&v| closes(v));
        }
        let row = row.map(Option::unwrap_or_default);
        for a in 0..N {
            for b in a + 1..N {
                open.remove(&(a, row[a], b, row[b]));
            }
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_values_meets_in_far_fewer_rows_than_the_product() {
        let lengths = [3, 4, 2, 5];
        let rows = pairwise(lengths);
        for a in 0..4 {
            for b in a + 1..4 {
                for i in 0..lengths[a] {
                    for j in 0..lengths[b] {
                        assert!(rows.iter().any(|r| r[a] == i && r[b] == j), "{a}={i} {b}={j}");
                    }
                }
            }
        }
        assert!(rows.len() <= 30, "{} rows", rows.len());
        assert_eq!(rows, pairwise(lengths));
    }
}
