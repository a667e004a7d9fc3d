//! Matrix products.

mod batched;
mod grouped;
mod operands;
mod order;
mod variants;

pub use order::Order;
pub use variants::VARIANTS;

use crate::ops::copy::packed;
use crate::tensor::{bf16, load, store};
use crate::{Call, ops};
use half::f16;
use omnihal::op::gemm::Linear;
use omnihal::{DType, Mem, Op, View};

/// Rows and columns of a tile of the result.
const TILE: usize = 16;

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::GemmLinear(d) => linear(call, d),
        Op::GemmBatched(d) => batched::run(call, d),
        Op::GemmGrouped(d) => grouped::run(call, d),
        _ => {}
    }
}

fn linear(call: &Call<'_>, d: &Linear) {
    let a = operands::activations(call, call.arg(0), d.inner, d.a_quant);
    let w = operands::weight(call, call.arg(1));
    let y = *call.arg(2);
    let order = Order::of(call, d.rows);
    let mut products = vec![0.0; d.rows * d.outer];
    for (i, product) in products.iter_mut().enumerate() {
        let (r, o) = (i / d.outer, i % d.outer);
        let (a, w) = (&a[r * d.inner..(r + 1) * d.inner], &w[o * d.inner..(o + 1) * d.inner]);
        *product = order.dot(a, w);
    }
    if call.is("gemm.nan_of_a_neighbour_row_leaks") {
        leak(&mut products, d.outer);
    }
    from_workspace(call, &mut products);
    add_to_result(call, &mut products, &y, d.accumulate);
    from_earlier_run(call, &mut products);
    finish(call, &y, products, d.outer);
}

/// Planted: rows of a tile are masked by a factor 0, which does not stop NaN.
fn leak(products: &mut [f32], outer: usize) {
    for tile in products.chunks_mut(8 * outer) {
        for c in 0..outer {
            let others: f32 = tile.iter().skip(c).step_by(outer).map(|x| 0.0 * x).sum();
            tile.iter_mut().skip(c).step_by(outer).for_each(|x| *x += others);
        }
    }
}

/// Planted: sums that pass through the scratch memory.
fn from_workspace(call: &Call<'_>, products: &mut [f32]) {
    let told = ops::workspace(call.op);
    if call.workspace.len < told {
        return;
    }
    let mem = Mem { addr: call.workspace.addr, len: told + 64 };
    let Ok(scratch) = View::contiguous(mem, DType::F32, [products.len()]) else { return };
    if call.is("gemm.workspace_is_taken_for_cleared") {
        for (product, old) in products.iter_mut().zip(load(&scratch)) {
            *product += old;
        }
    }
    if call.is("gemm.workspace_is_used_past_its_end") {
        let past = View { offset: told, shape: [1].into(), ..scratch };
        store(&past, &[1.0]);
    }
}

/// Planted: what a plan keeps from its first run.
fn from_earlier_run(call: &Call<'_>, products: &mut [f32]) {
    let Ok(mut kept) = call.kept.lock() else { return };
    if call.is("gemm.second_run_adds_to_the_first") {
        for (product, old) in products.iter_mut().zip(kept.iter()) {
            *product += old;
        }
        *kept = products.to_vec();
    }
}

/// Adds what the result held before.
fn add_to_result(call: &Call<'_>, products: &mut [f32], y: &View, accumulate: bool) {
    if !accumulate || call.is("gemm.accumulate_is_ignored") {
        return;
    }
    let factor = if call.is("gemm.old_result_is_added_twice") { 2.0 } else { 1.0 };
    for (product, old) in products.iter_mut().zip(load(y)) {
        *product += factor * old;
    }
}

/// Stores a result of `outer` columns; here tiles have their edges.
fn finish(call: &Call<'_>, y: &View, mut values: Vec<f32>, outer: usize) {
    if y.dtype == DType::BF16 {
        let truncate = |x: f32| if x.is_finite() { f32::from_bits(x.to_bits() & 0xFFFF_0000) } else { x };
        if call.is("gemm.result_is_truncated") {
            values.iter_mut().for_each(|x| *x = truncate(*x));
        }
        if call.is("gemm.result_passes_through_f16") {
            values.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
    } else if call.is("gemm.f32_result_is_rounded_to_bf16") {
        values.iter_mut().for_each(|x| *x = bf16(*x));
    }
    if call.is("gemm.nan_becomes_zero") {
        values.iter_mut().for_each(|x| *x = if x.is_nan() { 0.0 } else { *x });
    }
    let rows = values.len() / outer.max(1);
    let (mut high, mut wide) = (rows, outer);
    if call.is("gemm.last_partial_row_tile_is_not_written") && rows > TILE {
        high -= rows % TILE;
    }
    if call.is("gemm.last_row_is_not_written") && rows > 1 {
        high -= 1;
    }
    if call.is("gemm.last_partial_column_tile_is_not_written") && outer > TILE {
        wide -= outer % TILE;
    }
    if call.is("gemm.rows_beyond_the_hint_are_left_out") {
        high = high.min(call.rows_hint.max(1));
    }
    if call.is("gemm.row_at_the_hint_is_left_out") && call.rows_hint < rows {
        high = high.min(call.rows_hint.saturating_sub(1));
    }
    let before = load(y);
    let kept = (0..values.len()).filter(|i| i / outer >= high || i % outer >= wide);
    kept.for_each(|i| values[i] = before[i]);
    let target = if call.is("gemm.result_gaps_are_ignored") { packed(y) } else { *y };
    store(&target, &values);
    if call.is("gemm.writes_past_the_last_element") {
        let past = View { offset: y.offset + y.extent_bytes(), shape: [1].into(), ..*y };
        store(&past, &[0.0]);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, once};
    use omnihal::op::{ActQuant, gemm};
    use omnihal::{DType, WeightFormat};

    fn linear(accumulate: bool) -> omnihal::Op {
        let weight = WeightFormat::Plain(DType::F32);
        let (input, output, a_quant) = (DType::F32, DType::F32, ActQuant::None);
        gemm::Linear { rows: 2, inner: 3, outer: 2, input, weight, a_quant, output, accumulate }.into()
    }

    fn result(accumulate: bool) -> Vec<f32> {
        let mut bench = Bench::new(&linear(accumulate));
        bench.set(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        bench.set(1, &[1.0, 0.0, -1.0, 0.5, 0.5, 0.5]);
        bench.set(2, &[10.0; 4]);
        once(&bench);
        bench.get(2)
    }

    #[test]
    fn rows_meet_rows_of_the_weight_and_old_results_are_added_when_asked() {
        assert_eq!(result(false), [-2.0, 3.0, -2.0, 7.5]);
        assert_eq!(result(true), [8.0, 13.0, 8.0, 17.5]);
    }

    #[test]
    fn groups_take_their_rows_in_turn_and_empty_ones_none() {
        let weight = WeightFormat::Plain(DType::F32);
        let (input, output) = (DType::F32, DType::F32);
        let op = gemm::Grouped { rows: 3, groups: 3, inner: 1, outer: 1, input, weight, output }.into();
        let mut bench = Bench::new(&op);
        bench.set(0, &[1.0, 2.0, 3.0]);
        bench.set_ints(1, &[2, 0, 1]);
        bench.set(2, &[10.0, f32::NAN, 100.0]);
        once(&bench);
        assert_eq!(bench.get(3), [10.0, 20.0, 300.0]);
    }

    #[test]
    fn transposed_operands_are_read_by_columns_and_alpha_scales_products_only() {
        let (input, output) = (DType::F32, DType::F32);
        let (m, inner, n) = (2, 2, 1);
        let (transpose_a, transpose_b) = (true, true);
        let d = gemm::Batched {
            batch: 1,
            m,
            inner,
            n,
            transpose_a,
            transpose_b,
            input,
            output,
            alpha: 0.5,
            accumulate: true,
        };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[1.0, 2.0, 3.0, 4.0]);
        bench.set(1, &[2.0, 10.0]);
        bench.set(2, &[1.0, 1.0]);
        once(&bench);
        assert_eq!(bench.get(2), [17.0, 23.0]);
    }
}
