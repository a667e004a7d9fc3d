//! The orders in which products are added up.

use crate::Call;
use crate::tensor::bf16;
use half::f16;

/// How one inner product is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other.
    Forward,
    /// From the last to the first.
    Reversed,
    /// As a balanced tree.
    Pairwise,
    /// By fused multiply-adds.
    Fused,
    /// In f64, rounded once.
    Double,
    /// Lane `j` takes every 16th product.
    Lanes,
    /// That many equal parts.
    Split(usize),
    /// Aligned to the largest of 16 products and truncated to 14 bits below it; 128 products to a promotion.
    TensorCore,
    /// Planted: the tail beyond the last whole tile of that many is not added.
    DropsTail(usize),
    /// Planted: the first product is added again as the padding of the last partial vector of 8.
    RepeatsFirst,
    /// Planted: the running sum is kept in BF16.
    Bf16Sum,
    /// Planted: parts of 32 products are kept in BF16.
    Bf16Parts,
    /// Planted: the running sum is kept in F16.
    F16Sum,
    /// Planted: 10 fraction bits of each operand.
    Tf32,
    /// Planted: operands are rounded to BF16.
    Bf16Operands,
    /// Planted: codes below the normal range of f16 are lost.
    F16Operands,
}

const NAMED: [(&str, Order); 15] = [
    ("gemm.sums_from_the_end", Order::Reversed),
    ("gemm.sums_pairwise", Order::Pairwise),
    ("gemm.fused_multiply_add", Order::Fused),
    ("gemm.sums_in_f64", Order::Double),
    ("gemm.sums_in_sixteen_lanes", Order::Lanes),
    ("gemm.sums_in_four_parts", Order::Split(4)),
    ("gemm.sums_by_tensor_core_14_bits", Order::TensorCore),
    ("gemm.products_beyond_a_tile_of_32_are_dropped", Order::DropsTail(32)),
    ("gemm.last_odd_product_is_dropped", Order::DropsTail(2)),
    ("gemm.padding_of_the_last_vector_repeats_the_first_product", Order::RepeatsFirst),
    ("gemm.bf16_accumulator", Order::Bf16Sum),
    ("gemm.bf16_partial_sums", Order::Bf16Parts),
    ("gemm.f16_accumulator", Order::F16Sum),
    ("gemm.tf32_operands", Order::Tf32),
    ("gemm.f32_operands_are_rounded_to_bf16", Order::Bf16Operands),
];

impl Order {
    /// The order of a call; two variants choose it by the number of rows.
    pub fn of(call: &Call<'_>, rows: usize) -> Order {
        if call.is("gemm.parts_of_a_sum_chosen_by_rows") || call.is("gemm.parts_follow_the_rows_though_d2_is_promised")
        {
            return Order::Split(if rows == 1 { 8 } else { 1 + rows % 4 });
        }
        if call.is("gemm.operands_pass_through_f16") {
            return Order::F16Operands;
        }
        NAMED.iter().find(|(id, _)| call.is(id)).map_or(Order::Forward, |&(_, order)| order)
    }

    /// The inner product of two vectors of one length.
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        let products = || a.iter().zip(b).map(|(x, y)| x * y);
        let mapped = |f: fn(f32) -> f32| a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + f(*x) * f(*y));
        match self {
            Order::Forward => products().fold(0.0, |sum, p| sum + p),
            Order::Reversed => products().rev().fold(0.0, |sum, p| sum + p),
            Order::Pairwise => pairwise(&products().collect::<Vec<_>>()),
            Order::Fused => a.iter().zip(b).fold(0.0, |sum, (x, y)| x.mul_add(*y, sum)),
            Order::Double => a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() as f32,
            Order::Lanes => {
                let lane = |j: usize| products().skip(j).step_by(16).sum::<f32>();
                (0..16).map(lane).sum()
            }
            Order::Split(parts) => {
                let size = a.len().div_ceil(parts).max(1);
                a.chunks(size).zip(b.chunks(size)).map(|(a, b)| Order::Forward.dot(a, b)).sum()
            }
            Order::TensorCore => tensor_core(a, b),
            Order::DropsTail(tile) => {
                let whole = if a.len() > tile { a.len() - a.len() % tile } else { a.len() };
                Order::Forward.dot(&a[..whole], &b[..whole])
            }
            Order::RepeatsFirst => {
                let sum = Order::Forward.dot(a, b);
                if a.len() % 8 == 0 { sum } else { sum + a[0] * b[0] }
            }
            Order::Bf16Sum => products().fold(0.0, |sum, p| bf16(sum + p)),
            Order::F16Sum => products().fold(0.0, |sum, p| f16::from_f32(sum + p).to_f32()),
            Order::Bf16Parts => a.chunks(32).zip(b.chunks(32)).map(|(a, b)| bf16(Order::Forward.dot(a, b))).sum(),
            Order::Tf32 => mapped(|x| f32::from_bits(x.to_bits() & 0xFFFF_E000)),
            Order::Bf16Operands => mapped(bf16),
            Order::F16Operands => mapped(|x| f16::from_f32(x).to_f32()),
        }
    }
}

fn pairwise(x: &[f32]) -> f32 {
    match x {
        [] => 0.0,
        [one] => *one,
        _ => {
            let (low, high) = x.split_at(x.len() / 2);
            pairwise(low) + pairwise(high)
        }
    }
}

/// Sixteen products and the running sum, each cut to 14 bits below the largest exponent among them.
fn tensor_core(a: &[f32], b: &[f32]) -> f32 {
    let mut total = 0.0f32;
    for (a, b) in a.chunks(128).zip(b.chunks(128)) {
        let mut sum = 0.0f64;
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            let mut terms: Vec<f64> = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).collect();
            terms.push(sum);
            let largest = terms.iter().fold(0.0f64, |m, t| m.max(t.abs()));
            if largest == 0.0 || terms.iter().any(|t| !t.is_finite()) {
                sum = terms.iter().sum();
                continue;
            }
            let step = 2f64.powi(largest.log2().floor() as i32 - 14);
            sum = terms.iter().map(|t| (t / step).trunc() * step).sum();
        }
        total += sum as f32;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_orders_agree_where_sums_are_exact() {
        let a: Vec<f32> = (0..150).map(|i| (i % 7) as f32 - 3.0).collect();
        let b: Vec<f32> = (0..150).map(|i| (i % 5) as f32 - 2.0).collect();
        let sum = Order::Forward.dot(&a, &b);
        for order in [Order::Reversed, Order::Pairwise, Order::Fused, Order::Double, Order::Lanes, Order::Split(4)] {
            assert_eq!(order.dot(&a, &b), sum, "{order:?}");
        }
        assert_eq!(Order::TensorCore.dot(&a, &b), sum);
        assert_ne!(Order::DropsTail(32).dot(&a, &b), sum);
    }
}
