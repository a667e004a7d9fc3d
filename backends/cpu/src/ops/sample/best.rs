//! Ranks: numbers with their places as integers that sort the best first.
//!
//! All ranks of a row are distinct, so what a partial selection keeps does not depend on how it goes about it: ties go to the lowest
//! place, and NaN comes after every number.

/// The rank of a number at a place; the smallest rank is the best.
#[inline(always)]
pub(crate) fn rank(value: f32, place: usize, largest: bool) -> u64 {
    let value = if largest { value } else { -value };
    // Adding 0 makes -0 equal to 0.
    let bits = (value + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    let ascending = if value.is_nan() { 0 } else { ascending };
    ((!ascending as u64) << 32) | place as u64
}

/// The place of a rank.
#[inline(always)]
pub(crate) fn place(rank: u64) -> usize {
    rank as u32 as usize
}

/// The number of a rank among the largest, -0 as 0.
#[inline(always)]
pub(crate) fn value(rank: u64) -> f32 {
    let ascending = !((rank >> 32) as u32);
    f32::from_bits(match ascending {
        0 => 0x7FC0_0000,
        a if a >> 31 == 1 => a ^ (1 << 31),
        a => !a,
    })
}

/// Moves the `keep` best to the front, in any order, and returns them.
pub(crate) fn keep_best(ranks: &mut [u64], keep: usize) -> &mut [u64] {
    if keep < ranks.len() && keep > 0 {
        ranks.select_nth_unstable(keep - 1);
    }
    let keep = keep.min(ranks.len());
    &mut ranks[..keep]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_order_by_number_then_place_with_nan_last() {
        let numbers = [f32::INFINITY, 2.0, 1.0, 1e-40, 0.0, -0.0, -1e-40, -3.0, f32::NEG_INFINITY, f32::NAN, -f32::NAN];
        let mut largest: Vec<u64> = numbers.iter().enumerate().map(|(i, &x)| rank(x, i, true)).collect();
        assert!(largest.is_sorted());
        for (i, &r) in largest.iter().enumerate() {
            assert_eq!(place(r), i);
            assert!(value(r) == numbers[i] || (value(r).is_nan() && numbers[i].is_nan()), "{i}");
        }
        largest.reverse();
        assert_eq!(keep_best(&mut largest, 3).iter().map(|&r| place(r)).max(), Some(2));
        let smallest: Vec<usize> = {
            let mut ranks: Vec<u64> = numbers.iter().enumerate().map(|(i, &x)| rank(x, i, false)).collect();
            ranks.sort_unstable();
            ranks.into_iter().map(place).collect()
        };
        assert_eq!(smallest, [8, 7, 6, 4, 5, 3, 2, 1, 0, 9, 10]);
    }
}
