//! Reading activations and weights, and how that goes wrong.

use crate::Call;
use crate::ops::copy::packed;
use crate::ops::quant::{Grid, qdq};
use crate::tensor::{bits, load, matrix, number, scale_index, scales};
use omnihal::op::ActQuant;
use omnihal::op::QuantKind;
use omnihal::{DType, View};

/// Activations, rounded to codes where the descriptor says so.
pub fn activations(call: &Call<'_>, view: &View, inner: usize, quant: ActQuant) -> Vec<f32> {
    let mut a = load(&if call.is("gemm.gaps_between_activations_are_ignored") { packed(view) } else { *view });
    if quant == ActQuant::None || call.is("gemm.activations_are_not_rounded_to_codes") {
        return a;
    }
    let mut grid = Grid::new(QuantKind::F8E4M3);
    grid.truncates = call.is("gemm.activation_codes_are_truncated");
    grid.any_scale = call.is("gemm.activation_scale_is_no_power_of_two");
    let group = match () {
        () if call.is("gemm.activation_groups_of_64") => 64,
        () if call.is("gemm.one_activation_scale_for_a_row") => inner,
        () => 128,
    };
    if call.is("gemm.activation_scale_of_the_first_row_for_all") {
        for start in (0..inner).step_by(128) {
            let scale = grid.scale(&a[start..start + 128]);
            for row in a.chunks_mut(inner) {
                row[start..start + 128].iter_mut().for_each(|x| *x = grid.round(*x, scale));
            }
        }
        return a;
    }
    a.chunks_mut(inner).for_each(|row| qdq(&grid, group, row));
    a
}

/// A weight as plain numbers.
pub fn weight(call: &Call<'_>, view: &View) -> Vec<f32> {
    if call.is("gemm.weights_of_the_first_run_are_kept")
        && let Ok(mut kept) = call.kept.lock()
    {
        if kept.is_empty() {
            *kept = load(view);
        }
        return kept.clone();
    }
    let view = &if call.is("gemm.gaps_between_weight_rows_are_ignored") { packed(view) } else { *view };
    let Some(scales) = scales(view) else { return load(view) };
    let (rows, cols, block) = matrix(view);
    let stored = bits(view);
    let value = |i: usize| {
        let (m, r, c) = (i / (rows * cols), i / cols % rows, i % cols);
        let scale = scales[place(call, (rows, cols), block, (m, r, c))];
        let i = if call.is("gemm.nibbles_are_swapped") && view.dtype == DType::F4E2M1X2 { i ^ 1 } else { i };
        let code = number::decode(view.dtype, stored[i.min(stored.len() - 1)]);
        scaled(call, view.dtype, code, scale)
    };
    (0..stored.len()).map(value).collect()
}

/// Place of the scale of an element, with its planted errors.
fn place(
    call: &Call<'_>,
    (rows, cols): (usize, usize),
    block: (usize, usize),
    (m, r, c): (usize, usize, usize),
) -> usize {
    let last = cols.saturating_sub(1);
    match () {
        () if call.is("gemm.scale_of_the_next_block") => scale_index(rows, cols, block, m, r, (c + block.1).min(last)),
        () if call.is("gemm.scales_of_the_first_row_block") => scale_index(rows, cols, block, m, 0, c),
        () if call.is("gemm.scales_of_the_first_group") => scale_index(rows, cols, block, 0, r, c),
        () if call.is("gemm.scale_columns_are_counted_without_the_partial_block") && cols > block.1 => {
            let wide = cols / block.1;
            (m * rows.div_ceil(block.0) + r / block.0) * wide + (c / block.1).min(wide - 1)
        }
        () => scale_index(rows, cols, block, m, r, c),
    }
}

fn scaled(call: &Call<'_>, dtype: DType, code: f32, scale: f32) -> f32 {
    // The smallest normal number of F16 is 2^-14, that of E4M3 2^-6.
    if call.is("gemm.small_scales_are_flushed") && scale < number::exp2i(-14) {
        return 0.0;
    }
    if call.is("gemm.small_codes_are_flushed") && dtype == DType::F8E4M3 && code.abs() < number::exp2i(-6) {
        return 0.0;
    }
    if call.is("gemm.nan_codes_are_taken_for_480") && code.is_nan() {
        return 480.0 * scale;
    }
    code * scale
}
