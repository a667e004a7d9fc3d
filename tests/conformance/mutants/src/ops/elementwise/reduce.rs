//! Reductions of the middle axis.

use super::{read, write};
use crate::Call;
use crate::ops::gemm::Order;
use crate::tensor::load;
use omnihal::op::elementwise::{Reduce, Reduction};

/// The order of the sums.
fn order(call: &Call<'_>) -> Order {
    const NAMED: [(&str, Order); 6] = [
        ("elementwise.reduces_pairwise", Order::Pairwise),
        ("elementwise.reduces_in_f64", Order::Double),
        ("elementwise.reduces_in_lanes", Order::Lanes),
        ("elementwise.reduces_without_the_tail_of_16", Order::DropsTail(16)),
        ("elementwise.reduces_in_bf16", Order::Bf16Sum),
        ("elementwise.reduces_in_f16", Order::F16Sum),
    ];
    NAMED.iter().find(|(id, _)| call.is(id)).map_or(Order::Forward, |&(_, order)| order)
}

fn largest(call: &Call<'_>, d: &Reduce, x: &[f32]) -> f32 {
    let start = match () {
        () if call.is("elementwise.maximum_starts_at_0") => 0.0,
        () if call.is("elementwise.maximum_starts_at_minus_65504") => -65504.0,
        () => f32::NEG_INFINITY,
    };
    let magnitudes = call.is("elementwise.largest_magnitude_instead_of_maximum");
    let scaled_first = call.is("elementwise.factor_before_the_maximum");
    let value = |x: f32| if magnitudes { x.abs() } else { x } * if scaled_first { d.alpha } else { 1.0 };
    // A NaN stays: where one is, there is no largest number.
    x.iter().fold(start, |m, &x| if value(x) > m || x.is_nan() { value(x) } else { m })
}

fn combined(call: &Call<'_>, d: &Reduce, x: &[f32]) -> f32 {
    let ones = vec![1.0; x.len()];
    match d.op {
        Reduction::Sum if call.is("elementwise.mean_instead_of_sum") => {
            order(call).dot(x, &ones) / x.len() as f32 * d.alpha
        }
        Reduction::Sum => d.alpha * order(call).dot(x, &ones),
        Reduction::Max if call.is("elementwise.maximum_without_factor") => largest(call, d, x),
        Reduction::Max if call.is("elementwise.factor_before_the_maximum") => largest(call, d, x),
        Reduction::Max => d.alpha * largest(call, d, x),
        Reduction::MeanSquare if call.is("elementwise.sum_of_squares_instead_of_mean") => {
            d.alpha * order(call).dot(x, x)
        }
        Reduction::MeanSquare => d.alpha * (order(call).dot(x, x) / x.len() as f32),
    }
}

pub fn run(call: &Call<'_>, d: &Reduce) {
    let x = read(call, call.arg(0));
    let mut values = Vec::with_capacity(d.pre * d.post);
    for pre in 0..d.pre {
        for post in 0..d.post {
            let element = |i: usize| match () {
                () if call.is("elementwise.reduces_the_last_axis") => x[(pre * d.post + post) * d.len + i],
                () => x[(pre * d.len + i) * d.post + post],
            };
            let line: Vec<f32> = (0..d.len).map(element).collect();
            values.push(combined(call, d, &line));
        }
    }
    if call.is("elementwise.adds_to_the_old_result") {
        for (value, old) in values.iter_mut().zip(load(call.arg(1))) {
            *value += old;
        }
    }
    write(call, call.arg(1), values);
}
