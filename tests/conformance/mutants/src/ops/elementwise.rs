//! Element-wise maps, reductions and scans.

mod binary;
mod reduce;
mod scan;
mod unary;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::ops::copy::packed;
use crate::tensor::{load, store};
use omnihal::{DType, Op, Shape, View};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::Unary(d) => unary::run(call, d),
        Op::Binary(d) => binary::arithmetic(call, d),
        Op::Where(d) => binary::choice(call, d),
        Op::Reduce(d) => reduce::run(call, d),
        Op::Softmax(d) => scan::softmax(call, d),
        Op::Cumsum(d) => scan::cumsum(call, d),
        _ => {}
    }
}

/// Reads an operand.
fn read(call: &Call<'_>, view: &View) -> Vec<f32> {
    load(&if call.is("elementwise.gaps_in_operands_are_ignored") { packed(view) } else { *view })
}

/// Stores a result.
fn write(call: &Call<'_>, y: &View, mut values: Vec<f32>) {
    if y.dtype == DType::BF16 && call.is("elementwise.result_is_truncated") {
        let cut = |x: f32| if x.is_finite() { f32::from_bits(x.to_bits() & 0xFFFF_0000) } else { x };
        values.iter_mut().for_each(|x| *x = cut(*x));
    }
    if call.is("elementwise.nan_becomes_zero") {
        values.iter_mut().for_each(|x| *x = if x.is_nan() { 0.0 } else { *x });
    }
    if call.is("elementwise.result_overflows_to_the_largest_f16") && values.iter().any(|x| x.abs() > 65504.0) {
        values.iter_mut().for_each(|x| *x = x.clamp(-65504.0, 65504.0));
    }
    let whole = values.len() - values.len() % 16;
    if call.is("elementwise.tail_of_16_is_not_written") && whole > 0 {
        let before = load(y);
        values[whole..].copy_from_slice(&before[whole..]);
    }
    store(&if call.is("elementwise.gaps_in_results_are_ignored") { packed(y) } else { *y }, &values);
    if call.is("elementwise.writes_past_the_last_element") {
        let past = View { offset: y.offset + y.extent_bytes(), shape: [1].into(), ..*y };
        store(&past, &[0.0]);
    }
}

/// Place in an operand of shape `small` of element `i` of `full`.
fn place(call: &Call<'_>, small: &Shape, full: &Shape, i: usize) -> usize {
    if call.is("elementwise.broadcast_repeats_the_whole_operand") {
        return i % small.elements();
    }
    let strides = small.contiguous_strides();
    let (mut rest, mut at) = (i, 0);
    for axis in (0..full.rank()).rev() {
        if small[axis] != 1 {
            at += rest % full[axis] * strides[axis];
        }
        rest /= full[axis];
    }
    at
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, once};
    use omnihal::op::elementwise as op;
    use omnihal::op::elementwise::{Arith, Cmp, Func, Reduction, Source};
    use omnihal::{DType, Op};

    const F32: DType = DType::F32;

    fn result(op: &Op, inputs: &[&[f32]], y: usize) -> Vec<f32> {
        let mut bench = Bench::new(op);
        inputs.iter().enumerate().for_each(|(i, values)| bench.set(i, values));
        once(&bench);
        bench.get(y)
    }

    #[test]
    fn maps_scale_before_and_after() {
        let d = op::Unary {
            shape: [2].into(),
            func: Func::Relu,
            alpha: 2.0,
            beta: -1.0,
            gamma: 3.0,
            delta: 0.5,
            input: F32,
            output: F32,
        };
        assert_eq!(result(&d.into(), &[&[1.0, 0.25]], 1), [3.5, 0.5]);
    }

    #[test]
    fn operands_repeat_along_axes_of_length_1() {
        let d = op::Binary {
            shape: [2, 2].into(),
            a_shape: [2, 1].into(),
            b_shape: [1, 2].into(),
            arith: Arith::Div,
            eps: 1.0,
            scale: 6.0,
            a: F32,
            b: F32,
            output: F32,
        };
        assert_eq!(result(&d.into(), &[&[1.0, 2.0], &[1.0, 2.0]], 2), [3.0, 2.0, 6.0, 4.0]);
    }

    #[test]
    fn nan_compares_as_false() {
        let d = op::Where {
            shape: [3].into(),
            a_shape: [3].into(),
            cmp: Cmp::Ge,
            b: Source::Const(1.0),
            p: Source::Const(7.0),
            q: Source::Const(8.0),
            compared: F32,
            dtype: F32,
        };
        assert_eq!(result(&d.into(), &[&[1.0, f32::NAN, 0.5]], 4), [7.0, 8.0, 8.0]);
    }

    #[test]
    fn reductions_and_scans_run_along_their_axis() {
        let reduce = |op, alpha| op::Reduce { pre: 1, len: 2, post: 2, op, alpha, input: F32, output: F32 }.into();
        let x: &[f32] = &[-1.0, 2.0, -3.0, 4.0];
        assert_eq!(result(&reduce(Reduction::Sum, 0.5), &[x], 1), [-2.0, 3.0]);
        assert_eq!(result(&reduce(Reduction::Max, 2.0), &[x], 1), [-2.0, 8.0]);
        assert_eq!(result(&reduce(Reduction::MeanSquare, 1.0), &[x], 1), [5.0, 10.0]);
        let d = op::Cumsum { rows: 2, len: 2, exclusive: true };
        assert_eq!(result(&d.into(), &[x], 1), [0.0, -1.0, 0.0, -3.0]);
        let d = op::Softmax { pre: 1, len: 2, post: 1 };
        assert_eq!(result(&d.into(), &[&[1000.0, 1000.0]], 1), [0.5, 0.5]);
    }
}
