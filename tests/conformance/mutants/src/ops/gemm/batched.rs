//! Products of pairs.

use super::{Order, add_to_result, finish, from_earlier_run, from_workspace};
use crate::Call;
use crate::ops::copy::packed;
use crate::tensor::load;
use omnihal::op::gemm::Batched;

/// The matrices of one operand as rows of `inner` products.
fn rows_of(values: Vec<f32>, batch: usize, rows: usize, inner: usize, by_columns: bool) -> Vec<f32> {
    if !by_columns {
        return values;
    }
    let mut turned = Vec::with_capacity(values.len());
    for i in 0..batch {
        for r in 0..rows {
            turned.extend((0..inner).map(|k| values[(i * inner + k) * rows + r]));
        }
    }
    turned
}

pub fn run(call: &Call<'_>, d: &Batched) {
    let flat = call.is("gemm.gaps_between_pairs_are_ignored");
    let read = |i: usize| load(&if flat { packed(call.arg(i)) } else { *call.arg(i) });
    let keeps_a = call.is("gemm.square_left_operand_is_not_transposed") && d.m == d.inner;
    let keeps_b = call.is("gemm.square_right_operand_is_not_transposed") && d.n == d.inner;
    let a = rows_of(read(0), d.batch, d.m, d.inner, d.transpose_a && !keeps_a);
    let b = rows_of(read(1), d.batch, d.n, d.inner, d.transpose_b == keeps_b);
    let order = Order::of(call, d.m);
    let mut products = Vec::with_capacity(d.batch * d.m * d.n);
    for i in 0..d.batch {
        let pair = if call.is("gemm.first_right_operand_for_all") { 0 } else { i };
        for r in 0..d.m {
            let a = &a[(i * d.m + r) * d.inner..][..d.inner];
            products.extend((0..d.n).map(|c| order.dot(a, &b[(pair * d.n + c) * d.inner..][..d.inner])));
        }
    }
    let alpha = match () {
        () if call.is("gemm.alpha_is_applied_twice") => d.alpha * d.alpha,
        () if call.is("gemm.alpha_is_ignored_when_accumulating") && d.accumulate => 1.0,
        () => d.alpha,
    };
    let y = call.arg(2);
    if call.is("gemm.alpha_is_applied_to_the_old_result") {
        add_to_result(call, &mut products, y, d.accumulate && d.alpha != 0.0);
        products.iter_mut().for_each(|p| *p *= alpha);
    } else {
        products.iter_mut().for_each(|p| *p *= alpha);
        from_workspace(call, &mut products);
        add_to_result(call, &mut products, y, d.accumulate);
    }
    from_earlier_run(call, &mut products);
    if call.is("gemm.last_pair_is_lost") && d.batch > 1 {
        let before = load(y);
        let last = products.len() - d.m * d.n;
        products[last..].copy_from_slice(&before[last..]);
    }
    finish(call, y, products, d.n);
}
