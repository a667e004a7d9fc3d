//! Rotary position embedding.

use crate::ops::copy::packed;
use crate::tensor::{bf16, load, round_to, store};
use crate::{Call, Variant};
use omnihal::op::rope::Apply;
use omnihal::{DType, Op, OpKind, View};

const ROPE: &[OpKind] = &[OpKind::RopeApply];

const fn planted(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, ROPE, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("rope.fused_multiply_add", ROPE, "one of the two products is not rounded before the sum"),
    Variant::honest("rope.rounded_once", ROPE, "products and sums are kept in f64"),
    planted("rope.halves_instead_of_neighbours", "channel k is paired with k + rotary/2"),
    planted("rope.sign_of_the_angle", "vectors are rotated the other way"),
    planted("rope.inverse_is_ignored", "rotating back rotates forth"),
    planted("rope.first_channels_are_rotated", "the first instead of the last channels"),
    planted("rope.cosines_first_then_sines", "the table is read as all cosines before all sines"),
    planted("rope.sine_and_cosine_swapped", "the table is read as sine and cosine"),
    planted("rope.angles_of_the_next_row", "rows take the angles of the next position"),
    planted("rope.angles_of_the_first_row_for_all", "all rows take the angles of the first"),
    planted("rope.angle_index_counts_heads", "row and head together count positions"),
    planted("rope.only_the_first_head", "the other vectors of a row are left"),
    planted("rope.last_pair_is_left", "the last of several pairs is not rotated"),
    planted("rope.second_uses_the_rotated_first", "the first channel is overwritten before the second is computed"),
    planted("rope.angles_in_bf16", "cosine and sine are rounded to BF16"),
    planted("rope.products_in_bf16", "products are rounded to BF16 before they are added"),
    planted("rope.result_is_truncated", "BF16 results drop the low half"),
    planted("rope.gaps_between_rows_are_ignored", "vectors are taken to follow each other"),
    planted("rope.untouched_channels_are_rounded", "channels without rope lose bits"),
    planted("rope.untouched_channels_are_cleared", "channels without rope become 0"),
    planted("rope.rows_beyond_16_are_left", "rows past the last whole tile of 16 are not rotated"),
];

/// Runs one call.
pub fn run(call: &Call<'_>) {
    if let Op::RopeApply(d) = call.op {
        apply(call, d);
    }
}

/// Cosine and sine of one pair of one vector.
fn angle(call: &Call<'_>, d: &Apply, cs: &[f32], (row, head, pair): (usize, usize, usize)) -> (f32, f32) {
    let row = match () {
        () if call.is("rope.angles_of_the_next_row") => (row + 1).min(d.rows - 1),
        () if call.is("rope.angles_of_the_first_row_for_all") => 0,
        () if call.is("rope.angle_index_counts_heads") => (row * d.heads + head).min(d.rows - 1),
        () => row,
    };
    let table = &cs[row * d.rotary..(row + 1) * d.rotary];
    let (mut cos, mut sin) = (table[2 * pair], table[2 * pair + 1]);
    if call.is("rope.cosines_first_then_sines") {
        (cos, sin) = (table[pair], table[d.rotary / 2 + pair]);
    }
    if call.is("rope.sine_and_cosine_swapped") {
        (cos, sin) = (sin, cos);
    }
    if call.is("rope.angles_in_bf16") {
        (cos, sin) = (bf16(cos), bf16(sin));
    }
    let back = d.inverse && !call.is("rope.inverse_is_ignored");
    if back != call.is("rope.sign_of_the_angle") {
        sin = -sin;
    }
    (cos, sin)
}

fn rotated(call: &Call<'_>, (x, y): (f32, f32), (cos, sin): (f32, f32)) -> (f32, f32) {
    if call.is("rope.fused_multiply_add") {
        return (x.mul_add(cos, -(y * sin)), x.mul_add(sin, y * cos));
    }
    if call.is("rope.rounded_once") {
        let (x, y, cos, sin) = (f64::from(x), f64::from(y), f64::from(cos), f64::from(sin));
        return ((x * cos - y * sin) as f32, (x * sin + y * cos) as f32);
    }
    let product = |a: f32, b: f32| if call.is("rope.products_in_bf16") { bf16(a * b) } else { a * b };
    let first = product(x, cos) - product(y, sin);
    let used = if call.is("rope.second_uses_the_rotated_first") { first } else { x };
    (first, product(used, sin) + product(y, cos))
}

fn apply(call: &Call<'_>, d: &Apply) {
    let x = *call.arg(0);
    let view = if call.is("rope.gaps_between_rows_are_ignored") { packed(&x) } else { x };
    let (mut values, cs) = (load(&view), load(call.arg(1)));
    let start = if call.is("rope.first_channels_are_rotated") { 0 } else { d.width - d.rotary };
    let pairs = d.rotary / 2;
    let last = usize::from(call.is("rope.last_pair_is_left") && pairs > 1);
    for (v, vector) in values.chunks_mut(d.width).enumerate() {
        let (row, head) = (v / d.heads, v % d.heads);
        let left = call.is("rope.rows_beyond_16_are_left") && d.rows > 16 && row >= d.rows - d.rows % 16;
        if left || (head > 0 && call.is("rope.only_the_first_head")) {
            continue;
        }
        for pair in 0..pairs - last {
            let (i, j) = if call.is("rope.halves_instead_of_neighbours") {
                (start + pair, start + pair + pairs)
            } else {
                (start + 2 * pair, start + 2 * pair + 1)
            };
            let angle = angle(call, d, &cs, (row, head, pair));
            (vector[i], vector[j]) = rotated(call, (vector[i], vector[j]), angle);
            if call.is("rope.result_is_truncated") && d.dtype == DType::BF16 {
                let cut = |x: f32| if x.is_finite() { f32::from_bits(x.to_bits() & 0xFFFF_0000) } else { x };
                (vector[i], vector[j]) = (cut(vector[i]), cut(vector[j]));
            }
        }
        for x in &mut vector[..d.width - d.rotary] {
            if call.is("rope.untouched_channels_are_rounded") {
                *x = round_to(DType::F16, *x);
            }
            if call.is("rope.untouched_channels_are_cleared") {
                *x = 0.0;
            }
        }
    }
    store_tail(call, d, &view, &values);
}

/// Stores the rotated channels; the others keep their bits.
fn store_tail(call: &Call<'_>, d: &Apply, view: &View, values: &[f32]) {
    let all = call.variant.is_some_and(|v| v.id.starts_with("rope.untouched") || v.id.starts_with("rope.first"));
    let Ok(tail) = view.slice(2, d.width - d.rotary, d.rotary) else { return };
    if all || d.rotary == 0 {
        return store(view, values);
    }
    let kept: Vec<f32> = values.chunks(d.width).flat_map(|v| v[d.width - d.rotary..].iter().copied()).collect();
    store(&tail, &kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, once};

    #[test]
    fn neighbours_are_rotated_by_their_own_angle_and_the_first_channels_stay() {
        for (inverse, expected) in [(false, [9.0, -2.0, 1.0]), (true, [9.0, 2.0, -1.0])] {
            let d = Apply { rows: 1, heads: 1, width: 3, rotary: 2, inverse, dtype: DType::F32 };
            let mut bench = Bench::new(&d.into());
            bench.set(0, &[9.0, 1.0, 2.0]);
            bench.set(1, &[0.0, 1.0]);
            once(&bench);
            assert_eq!(bench.get(0), expected);
        }
    }
}
