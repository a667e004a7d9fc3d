//! Functions of two variables and choices.

use super::{place, read, write};
use crate::Call;
use crate::ops::copy::packed;
use crate::tensor::number::{decode, encode, exp2i};
use crate::tensor::{bf16, bits, store_bits};
use omnihal::op::elementwise::{Arith, Binary, Cmp, Source, Where};
use omnihal::{DType, Shape, View};

pub fn arithmetic(call: &Call<'_>, d: &Binary) {
    let (a, b) = (read(call, call.arg(0)), read(call, call.arg(1)));
    let eps = if call.is("elementwise.divisor_without_eps") { 0.0 } else { d.eps };
    let scale = if call.is("elementwise.quotient_without_scale") { 1.0 } else { d.scale };
    let value = |i: usize| {
        let (mut a, mut b) = (a[place(call, &d.a_shape, &d.shape, i)], b[place(call, &d.b_shape, &d.shape, i)]);
        if call.is("elementwise.operands_swapped_when_the_left_repeats") && d.a_shape != d.shape {
            (a, b) = (b, a);
        }
        if call.is("elementwise.operands_in_bf16") {
            (a, b) = (bf16(a), bf16(b));
        }
        match d.arith {
            Arith::Add => a + b,
            Arith::Sub if call.is("elementwise.difference_the_other_way") => b - a,
            Arith::Sub => a - b,
            Arith::Mul => a * b,
            Arith::Div => quotient(call, scale * a, b, eps),
            Arith::Min if call.is("elementwise.minimum_of_magnitudes") => {
                if a.abs() < b.abs() {
                    a
                } else {
                    b
                }
            }
            Arith::Min => {
                if a < b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Arith::Max if call.is("elementwise.maximum_of_magnitudes") => {
                if a.abs() > b.abs() {
                    a
                } else {
                    b
                }
            }
            Arith::Max => {
                if a > b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
        }
    };
    write(call, call.arg(2), (0..d.shape.elements()).map(value).collect());
}

fn quotient(call: &Call<'_>, a: f32, b: f32, eps: f32) -> f32 {
    match () {
        // Beyond these a reciprocal leaves the normal range, and an honest device divides.
        () if call.is("elementwise.division_by_reciprocal") && (exp2i(-100)..exp2i(100)).contains(&(b + eps).abs()) => {
            a * (1.0 / (b + eps))
        }
        () if call.is("elementwise.eps_is_a_lower_bound_of_the_divisor") => a / b.max(eps),
        () if call.is("elementwise.half_precision_reciprocal") => a * bf16(1.0 / (b + eps)),
        () => a / (b + eps),
    }
}

/// A tensor or a constant, as bits of the result's type.
fn source(call: &Call<'_>, source: Source, view: Option<&View>, dtype: DType, full: &Shape) -> Vec<u64> {
    let n = full.elements();
    match (source, view) {
        (Source::Tensor(shape), Some(view)) => {
            let view = if call.is("elementwise.gaps_in_operands_are_ignored") { &packed(view) } else { view };
            let all = bits(view);
            (0..n).map(|i| all[place(call, &shape, full, i)]).collect()
        }
        (Source::Const(value), _) => vec![encode(dtype, value); n],
        (Source::Tensor(_), None) => vec![0; n],
    }
}

/// A compared value: exact for both types that are compared.
fn compared(call: &Call<'_>, dtype: DType, bits: u64) -> f64 {
    if dtype == DType::I32 {
        let whole = bits as u32 as i32;
        return if call.is("elementwise.whole_numbers_are_compared_as_f32") {
            f64::from(whole as f32)
        } else {
            f64::from(whole)
        };
    }
    f64::from(decode(dtype, bits))
}

fn holds(call: &Call<'_>, cmp: Cmp, a: f64, b: f64) -> bool {
    if call.is("elementwise.nan_compares_as_true") && (a.is_nan() || b.is_nan()) {
        return true;
    }
    match cmp {
        Cmp::Lt if call.is("elementwise.less_than_includes_equal") => a <= b,
        Cmp::Lt => a < b,
        Cmp::Ge if call.is("elementwise.greater_or_equal_excludes_equal") => a > b,
        Cmp::Ge => a >= b,
        Cmp::Gt if call.is("elementwise.greater_includes_equal") => a >= b,
        Cmp::Gt => a > b,
        Cmp::Eq if call.is("elementwise.nearly_equal_is_equal") => (a - b).abs() <= 1e-3 * b.abs(),
        Cmp::Eq => a == b,
    }
}

pub fn choice(call: &Call<'_>, d: &Where) {
    let a = source(call, Source::Tensor(d.a_shape), call.view(0), d.compared, &d.shape);
    let b = match d.b {
        // A constant is compared as it is: it may lie between two whole numbers.
        Source::Const(c) => vec![f64::from(c); a.len()],
        tensor => {
            let words = source(call, tensor, call.view(1), d.compared, &d.shape);
            words.into_iter().map(|w| compared(call, d.compared, w)).collect()
        }
    };
    let (mut p, mut q) =
        (source(call, d.p, call.view(2), d.dtype, &d.shape), source(call, d.q, call.view(3), d.dtype, &d.shape));
    if call.is("elementwise.choices_are_swapped_for_equality") && d.cmp == Cmp::Eq {
        std::mem::swap(&mut p, &mut q);
    }
    let y = call.arg(4);
    let before = bits(y);
    let value = |i: usize| match holds(call, d.cmp, compared(call, d.compared, a[i]), b[i]) {
        holds if call.is("elementwise.choice_by_multiplication") && d.dtype.is_float() => {
            blended(d.dtype, p[i], q[i], holds)
        }
        false if call.is("elementwise.other_choices_are_not_written") => before[i],
        true => p[i],
        false => q[i],
    };
    let chosen: Vec<u64> = (0..a.len()).map(value).collect();
    store_bits(&if call.is("elementwise.gaps_in_results_are_ignored") { packed(y) } else { *y }, &chosen);
}

/// Planted: a mask of 0 and 1 multiplies both choices, so that infinite ones leak.
fn blended(dtype: DType, p: u64, q: u64, holds: bool) -> u64 {
    let mask = if holds { 1.0 } else { 0.0 };
    let value = |bits| decode(dtype, bits);
    encode(dtype, mask * value(p) + (1.0 - mask) * value(q))
}
