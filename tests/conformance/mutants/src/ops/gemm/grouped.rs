//! Products by group.

use super::operands::{activations, weight};
use super::{Order, finish, from_earlier_run, from_workspace};
use crate::Call;
use crate::tensor::{ints, load};
use omnihal::op::{ActQuant, gemm::Grouped};

/// Group of each row; rows past the counts have none.
fn groups(call: &Call<'_>, d: &Grouped, counts: &[i32]) -> Vec<Option<usize>> {
    let mut groups = vec![None; d.rows];
    let (mut next, mut hit) = (0, 0);
    for (g, &count) in counts.iter().enumerate() {
        let count = usize::try_from(count).unwrap_or(0);
        let group = if call.is("gemm.empty_groups_have_no_weight") { hit } else { g };
        hit += usize::from(count > 0);
        if call.is("gemm.groups_start_at_multiples_of_4") {
            next = usize::next_multiple_of(next, 4);
        }
        let end = (next + count).min(d.rows);
        groups[next.min(end)..end].fill(Some(group));
        if call.is("gemm.last_row_of_each_group_is_lost") && count > 1 && end > 0 {
            groups[end - 1] = None;
        }
        next = if call.is("gemm.counts_are_taken_for_ends") { count } else { end };
    }
    groups
}

pub fn run(call: &Call<'_>, d: &Grouped) {
    let x = activations(call, call.arg(0), d.inner, ActQuant::None);
    let counts = ints(call.arg(1));
    let w = weight(call, call.arg(2));
    let y = call.arg(3);
    let order = Order::of(call, d.rows);
    let mut products = load(y);
    let size = d.outer * d.inner;
    for (r, group) in groups(call, d, &counts).into_iter().enumerate() {
        let computed = call.is("gemm.rows_past_the_counts_are_computed").then_some(d.groups - 1);
        let Some(g) = group.or(computed) else { continue };
        let x = &x[r * d.inner..][..d.inner];
        for o in 0..d.outer {
            products[r * d.outer + o] = order.dot(x, &w[g * size + o * d.inner..][..d.inner]);
        }
    }
    if call.is("gemm.nan_of_an_unused_weight_leaks") {
        for (g, _) in counts.iter().enumerate().filter(|(_, count)| **count == 0) {
            let ghost: f32 = w[g * size..(g + 1) * size].iter().map(|v| 0.0 * v).sum();
            products.iter_mut().for_each(|p| *p += ghost);
        }
    }
    from_workspace(call, &mut products);
    from_earlier_run(call, &mut products);
    finish(call, y, products, d.outer);
}
