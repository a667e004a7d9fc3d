//! Code grids: rounding to them, expanding codes, making codes.

mod grid;
mod variants;

pub use grid::{Grid, qdq};
pub use variants::VARIANTS;

use crate::Call;
use crate::ops::copy::packed;
use crate::tensor::{bits, load, matrix, number, scale_index, scales, store, store_bits};
use omnihal::op::QuantKind;
use omnihal::op::quant as op;
use omnihal::{DType, Op, View};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::QuantQdq(d) => round(call, d),
        Op::QuantDequant(d) => expand(call, d),
        Op::QuantQuantize(d) => quantize(call, d),
        _ => {}
    }
}

/// The grid of a call, with its planted errors.
fn grid(call: &Call<'_>, kind: QuantKind) -> Grid {
    let mut grid = Grid::new(kind);
    grid.truncates = call.is("quant.codes_are_truncated");
    grid.ties_away = call.is("quant.ties_go_away_from_zero");
    grid.any_scale = call.is("quant.scale_is_no_power_of_two");
    grid.floors_exponent = call.is("quant.exponent_of_the_scale_is_rounded_down");
    grid.exact_power_steps_up = call.is("quant.exact_power_of_two_takes_the_next_scale");
    grid.no_floor = call.is("quant.smallest_scale_is_missing");
    grid.reaches = if call.is("quant.largest_code_is_taken_for_240") { Some(240.0) } else { None };
    grid.flushes = call.is("quant.subnormal_codes_are_flushed");
    grid.drops_sign_of_zero = call.is("quant.sign_of_zero_is_lost");
    grid.signed_maximum = call.is("quant.maximum_without_absolute_value");
    grid.swallows_nan = call.is("quant.nan_becomes_zero");
    grid
}

fn round(call: &Call<'_>, d: &op::Qdq) {
    let (x, y) = (call.arg(0), *call.arg(1));
    let mut values = load(&if call.is("quant.gaps_between_rows_are_ignored") { packed(x) } else { *x });
    let grid = grid(call, d.kind);
    let group = match () {
        () if call.is("quant.one_group_for_a_vector") => d.width,
        () if call.is("quant.groups_of_twice_the_size") && d.width % (2 * d.group) == 0 => 2 * d.group,
        () => d.group,
    };
    let count = values.len();
    let rounded = match () {
        () if call.is("quant.last_group_is_left") && d.width > d.group => d.width - d.group,
        () => d.width,
    };
    if call.is("quant.scale_of_the_group_before") {
        shifted(&grid, d, &mut values);
    } else {
        for vector in values.chunks_mut(d.width) {
            qdq(&grid, group.min(rounded), &mut vector[..rounded]);
        }
    }
    if call.is("quant.heads_after_the_first_are_left") && d.heads > 1 {
        let before = load(x);
        let later = (0..count).filter(|i| i / d.width % d.heads > 0);
        later.for_each(|i| values[i] = before[i]);
    }
    store(&if call.is("quant.result_gaps_are_ignored") { packed(&y) } else { y }, &values);
}

/// Planted: groups are divided by the scale of their left neighbour.
fn shifted(grid: &Grid, d: &op::Qdq, values: &mut [f32]) {
    for vector in values.chunks_mut(d.width) {
        let scales: Vec<f32> = vector.chunks(d.group).map(|g| grid.scale(g)).collect();
        for (i, group) in vector.chunks_mut(d.group).enumerate() {
            let scale = scales[i.saturating_sub(1)];
            group.iter_mut().for_each(|x| *x = grid.round(*x, scale));
        }
    }
}

fn expand(call: &Call<'_>, d: &op::Dequant) {
    let (w, y) = (call.arg(0), call.arg(1));
    let w = &if call.is("quant.gaps_between_rows_are_ignored") { packed(w) } else { *w };
    let (rows, cols, block) = matrix(w);
    let (stored, scales) = (bits(w), scales(w).unwrap_or_else(|| vec![1.0]));
    let value = |i: usize| {
        let (r, c) = (i / cols, i % cols);
        let at = match () {
            () if call.is("quant.scale_of_the_next_row_block") => {
                scale_index(rows, cols, block, 0, (r + block.0).min(rows - 1), c)
            }
            () if call.is("quant.scale_of_the_next_column_block") => {
                scale_index(rows, cols, block, 0, r, (c + block.1).min(cols - 1))
            }
            () => scale_index(rows, cols, block, 0, r, c),
        };
        let i = if call.is("quant.nibbles_are_swapped") && w.dtype == DType::F4E2M1X2 { i ^ 1 } else { i };
        expanded(call, w.dtype, stored[i.min(stored.len() - 1)], scales[at.min(scales.len() - 1)])
    };
    let mut values: Vec<f32> = (0..stored.len()).map(value).collect();
    if call.is("quant.last_odd_column_is_left") && d.width % 2 == 1 {
        let before = load(y);
        (0..values.len()).filter(|i| i % cols == cols - 1).for_each(|i| values[i] = before[i]);
    }
    store(y, &values);
}

fn expanded(call: &Call<'_>, dtype: DType, stored: u64, scale: f32) -> f32 {
    let code = number::decode(dtype, stored);
    // 2^-6 is the smallest normal E4M3 number, 2^-14 that of F16.
    let small = dtype == DType::F8E4M3 && code.abs() < number::exp2i(-6);
    match () {
        () if call.is("quant.subnormal_codes_are_flushed") && small => 0.0,
        () if call.is("quant.small_scales_are_flushed") && scale < number::exp2i(-14) => 0.0,
        () if call.is("quant.nan_codes_are_taken_for_480") && code.is_nan() => {
            480.0 * scale * if stored & 0x80 == 0 { 1.0 } else { -1.0 }
        }
        () if call.is("quant.codes_are_read_as_e5m2") && dtype == DType::F8E4M3 => {
            number::decode(DType::F8E5M2, stored) * scale
        }
        () if call.is("quant.sign_of_zero_is_lost") && code == 0.0 => 0.0,
        () if call.is("quant.expanded_through_f16") => half::f16::from_f32(code * scale).to_f32(),
        () => code * scale,
    }
}

fn quantize(call: &Call<'_>, d: &op::Quantize) {
    let (x, data, scale) = (call.arg(0), call.arg(1), call.arg(2));
    let x = load(&if call.is("quant.gaps_between_rows_are_ignored") { packed(x) } else { *x });
    let grid = grid(call, d.kind);
    let (mut codes, mut exponents) = (Vec::with_capacity(x.len()), Vec::new());
    for group in x.chunks(d.group) {
        let s = grid.scale(group);
        let told = if call.is("quant.scale_is_told_inverted") { 1.0 / s } else { s };
        exponents.push(u64::from(number::e8m0(told)));
        codes.extend(group.iter().map(|&v| u64::from(grid.code(v, s))));
    }
    if call.is("quant.codes_are_packed_high_nibble_first") && d.kind == QuantKind::F4E2M1 {
        codes.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }
    if call.is("quant.scales_are_stored_by_columns") {
        let (rows, groups) = (d.rows, d.width / d.group);
        let turned = (0..rows * groups).map(|i| exponents[i % rows * groups + i / rows]).collect();
        exponents = turned;
    }
    store_bits(data, &codes);
    store_bits(scale, &exponents);
    if call.is("quant.writes_a_scale_too_many") {
        let past = View { offset: scale.offset + scale.extent_bytes(), shape: [1].into(), ..*scale };
        store_bits(&past, &[127]);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, once};
    use omnihal::op::{QuantKind, quant};
    use omnihal::{DType, WeightFormat};

    #[test]
    fn values_are_rounded_to_the_grid_of_their_group() {
        let d = quant::Qdq { rows: 1, heads: 1, width: 4, group: 2, kind: QuantKind::F4E2M1, dtype: DType::F32 };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[6.0, 2.4, 7.0, 2.4]);
        once(&bench);
        assert_eq!(bench.get(1), [6.0, 2.0, 8.0, 2.0]);
    }

    #[test]
    fn codes_and_scales_give_back_the_rounded_values() {
        let d = quant::Quantize { rows: 1, width: 4, group: 4, kind: QuantKind::F8E4M3, input: DType::F32 };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[896.0, -1.0, 0.0, 17.0]);
        once(&bench);
        assert_eq!(bench.get(2), [2.0]);
        assert_eq!(bench.get(1), [448.0, -0.5, 0.0, 8.0]);
    }

    #[test]
    fn expanding_multiplies_by_the_scale_of_the_block() {
        let format = WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::F32, block: (1, 128) };
        let d = quant::Dequant { rows: 2, width: 2, format, output: DType::F32 };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[1.5, -2.0, 1.0, 448.0]);
        let q = bench.view(0).quant.unwrap();
        let scales = omnihal::View::contiguous(q.mem, DType::F32, q.shape).unwrap();
        crate::tensor::store(&scales, &[0.5, 3.0]);
        once(&bench);
        assert_eq!(bench.get(1), [0.75, -1.0, 3.0, 1344.0]);
    }
}
