//! Arithmetic of the fused kernels, in the ways that are legal and in some that are not.

use crate::Call;
use crate::rows::change;
use crate::tensor::number::{bf16, exp2i};

/// How terms are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First to last.
    Forward,
    /// Last to first.
    Backward,
    /// Halves, recursively.
    Pairwise,
    /// This many interleaved partial sums.
    Lanes(usize),
    /// First to last with fused multiply-adds.
    Fused,
    /// This many parts of equal length, then the parts.
    Split(usize),
    /// A partial sum is rounded to BF16 after each term.
    Bf16,
    /// Factors are cut to ten fraction bits.
    Tf32,
    /// What is left over after whole tiles of 32 terms is forgotten.
    Tiles,
}

/// The arithmetic of one call.
#[derive(Clone, Copy, Debug)]
pub struct Math {
    /// Order of sums.
    pub order: Order,
    fast: bool,
    reciprocal: bool,
    newton: bool,
}

impl Math {
    /// The arithmetic that the device's variant asks for in this call; `rows` decides where it depends on the batch.
    pub fn of(call: &Call<'_>, rows: usize) -> Math {
        let mut math = Math { order: Order::Forward, fast: false, reciprocal: false, newton: false };
        match change(call) {
            "backward_sums" => math.order = Order::Backward,
            "pairwise_sums" => math.order = Order::Pairwise,
            "sixteen_lanes" => math.order = Order::Lanes(16),
            "fused_multiply_add" => math.order = Order::Fused,
            "split_sums" => math.order = Order::Split(4),
            "split_sums_by_rows" | "order_depends_on_rows" if rows > 1 => math.order = Order::Split(3),
            "bf16_accumulator" => math.order = Order::Bf16,
            "tf32_products" => math.order = Order::Tf32,
            "sum_tail_dropped" => math.order = Order::Tiles,
            "fast_exponential" => math.fast = true,
            "reciprocals" => math.reciprocal = true,
            "newton_roots" => math.newton = true,
            _ => (),
        }
        math
    }

    /// Sum of numbers.
    pub fn sum(&self, terms: &[f32]) -> f32 {
        self.add(terms.len(), &|i, acc| acc + terms[i])
    }

    /// Inner product; the shorter length counts.
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        let n = a.len().min(b.len());
        match self.order {
            Order::Fused => self.add(n, &|i, acc| a[i].mul_add(b[i], acc)),
            Order::Tf32 => self.add(n, &|i, acc| acc + ten_bits(a[i]) * ten_bits(b[i])),
            _ => self.add(n, &|i, acc| acc + a[i] * b[i]),
        }
    }

    fn add(&self, n: usize, step: &dyn Fn(usize, f32) -> f32) -> f32 {
        let run = |from: usize, to: usize| (from..to).fold(0.0, |acc, i| step(i, acc));
        match self.order {
            Order::Forward | Order::Fused | Order::Tf32 => run(0, n),
            Order::Backward => (0..n).rev().fold(0.0, |acc, i| step(i, acc)),
            Order::Pairwise => pairwise(0, n, &run),
            Order::Lanes(lanes) => {
                let lane = |l: usize| (l..n).step_by(lanes).fold(0.0, |acc, i| step(i, acc));
                (0..lanes.min(n)).map(lane).sum()
            }
            Order::Split(parts) => {
                let size = n.div_ceil(parts).max(1);
                (0..n).step_by(size).map(|from| run(from, (from + size).min(n))).sum()
            }
            Order::Bf16 => (0..n).fold(0.0, |acc, i| bf16(step(i, acc))),
            Order::Tiles => run(0, if n > 32 { n - n % 32 } else { n }),
        }
    }

    /// e^x.
    pub fn exp(&self, x: f32) -> f32 {
        if self.fast { polynomial(x) } else { x.exp() }
    }

    /// a / b.
    pub fn div(&self, a: f32, b: f32) -> f32 {
        if self.reciprocal { a * (1.0 / b) } else { a / b }
    }

    /// `1 / (1 + e^-x)`.
    pub fn sigmoid(&self, x: f32) -> f32 {
        self.div(1.0, 1.0 + self.exp(-x))
    }

    /// `x / (1 + e^-x)`.
    pub fn silu(&self, x: f32) -> f32 {
        x * self.sigmoid(x)
    }

    /// 1 / square root.
    pub fn rsqrt(&self, x: f32) -> f32 {
        if self.newton && x.is_normal() { refined(x) } else { 1.0 / x.sqrt() }
    }

    /// `rsqrt(mean(x^2) + eps)`; 0 for a vector of zeros without epsilon.
    pub fn rms_factor(&self, x: &[f32], eps: f32) -> f32 {
        let mean = self.dot(x, x) / x.len() as f32 + eps;
        if mean == 0.0 { 0.0 } else { self.rsqrt(mean) }
    }

    /// Weights of a softmax that may have a sink.
    pub fn softmax(&self, logits: &[f32], sink: Option<f32>) -> Vec<f32> {
        let top = logits.iter().copied().chain(sink).fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f32> = logits.iter().map(|&l| self.exp(l - top)).collect();
        let total = self.sum(&exps) + sink.map_or(0.0, |s| self.exp(s - top));
        exps.into_iter().map(|x| self.div(x, total)).collect()
    }
}

fn pairwise(from: usize, to: usize, run: &dyn Fn(usize, usize) -> f32) -> f32 {
    if to - from <= 4 {
        return run(from, to);
    }
    let middle = (from + to) / 2;
    pairwise(from, middle, run) + pairwise(middle, to, run)
}

fn ten_bits(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & !0x1FFF)
}

/// e^x by two-part reduction and a Taylor polynomial: within 4 ulp, results below the normal range flushed.
fn polynomial(x: f32) -> f32 {
    if x.is_nan() || x > 88.7 {
        return x.exp();
    }
    // Below ln 2^-126.
    if x < -87.336_54 {
        return 0.0;
    }
    let n = (x * std::f32::consts::LOG2_E).round();
    // ln 2 in two parts (Cody and Waite): the first has few bits, so that its product with n is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0].iter().fold(0.0f32, |p, c| p * r + c);
    let half = (n / 2.0).floor();
    p * exp2i(half as i32) * exp2i((n - half) as i32)
}

/// 1 / sqrt(x) from a guess by bits, refined by Newton's iteration.
fn refined(x: f32) -> f32 {
    let guess = f32::from_bits(0x5F37_59DF - (x.to_bits() >> 1));
    (0..4).fold(guess, |y, _| y * (1.5 - 0.5 * x * y * y))
}

/// Product with the orthonormal Sylvester matrix, by butterflies.
pub fn hadamard(x: &mut [f32]) {
    let n = x.len();
    let mut span = 1;
    while span < n {
        for block in x.chunks_exact_mut(2 * span) {
            let (low, high) = block.split_at_mut(span);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        span *= 2;
    }
    let scale = (n as f32).sqrt().recip();
    x.iter_mut().for_each(|v| *v *= scale);
}

/// The same, row by row of the matrix.
pub fn hadamard_by_rows(x: &[f32]) -> Vec<f32> {
    let n = x.len();
    let scale = (n as f32).sqrt().recip();
    let entry = |i: usize, j: usize| if (i & j).count_ones() % 2 == 0 { scale } else { -scale };
    (0..n).map(|i| x.iter().enumerate().map(|(j, v)| entry(i, j) * v).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Order; 6] =
        [Order::Forward, Order::Backward, Order::Pairwise, Order::Lanes(16), Order::Fused, Order::Split(4)];

    #[test]
    fn every_legal_order_adds_each_term_once() {
        for n in [0, 1, 3, 16, 37] {
            let terms: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            for order in ALL {
                let math = Math { order, fast: false, reciprocal: false, newton: false };
                assert_eq!(math.sum(&terms), (n * (n + 1) / 2) as f32, "{order:?}");
                assert_eq!(math.dot(&terms, &vec![2.0; n]), (n * (n + 1)) as f32, "{order:?}");
            }
        }
    }

    #[test]
    fn fast_functions_are_within_four_ulp() {
        for i in -8000..8000 {
            let x = i as f32 * 0.0109;
            let expected = f64::from(x).exp();
            let ulp = expected * f64::from(f32::EPSILON);
            assert!((f64::from(polynomial(x)) - expected).abs() <= 4.0 * ulp, "e^{x}");
            let x = polynomial(x * 0.5);
            let expected = f64::from(x).sqrt().recip();
            assert!((f64::from(refined(x)) / expected - 1.0).abs() < 2.5e-7, "rsqrt({x})");
        }
    }

    #[test]
    fn both_products_with_the_matrix_agree_and_undo_themselves() {
        let x: Vec<f32> = (0..32).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let mut y = x.clone();
        hadamard(&mut y);
        assert!(y.iter().zip(hadamard_by_rows(&x)).all(|(a, b)| (a - b).abs() < 1e-5));
        hadamard(&mut y);
        assert!(y.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
