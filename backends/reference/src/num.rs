//! Values with error bounds: running error analysis.
//!
//! A [`Num`] is what exact arithmetic gives (`v`, in f64) and how far an honest device may be from it (`e`). Honest means: f32
//! inside, in any order, with the must-round points of the operator. Bounds are computed, never chosen: each step propagates the
//! errors of its inputs to first order and adds the rounding of one f32 result.
//!
//! # What the bound of a stored output means
//!
//! Let `v`, `e` be the number before its final rounding to the output's type. A device computes some `d` with `|d - v| <= e` and stores
//! `R(d)`, R being the nearest-even rounding of that type. R is monotone, so `R(d)` lies between `R(v-e)` and `R(v+e)`, and
//! `|R(d) - R(v)|` is at most the larger distance of these two from `R(v)`. [`Num::bound`] is that distance plus `u |v|`, with u the unit roundoff of the
//! output type, where `e > 0`: it leaves room for the neighbour of a value whose `e` is right only to first order. Where `e = 0` the bound is 0.
//!
//! Must-round points inside an operator use [`Num::round_to`] and are exact in the same sense: the error after is the spread of the
//! rounded ends, so it is 0 where they agree, and a whole step where they do not. May-round points use [`Num::may_round`]: the value stays,
//! its error grows by one rounding, which covers devices that round there and those that do not.

use crate::format::{pow2, round, unit_roundoff};
use omnihal::{Accumulation, DType};
use std::cell::Cell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Unit roundoff of f32, the type in which devices accumulate.
pub const U_ACC: f64 = 1.0 / (1u64 << 24) as f64;
/// Unit roundoffs allowed to a quotient or a root: 2 ulp, for devices that multiply by a refined reciprocal.
const QUOTIENT: f64 = 4.0;
/// Unit roundoffs allowed to an exponential or a logarithm: 4 ulp, what fast single-precision libraries promise.
const ELEMENTARY: f64 = 8.0;
/// Share of a long sum's magnitude, in units of `sqrt(K)` roundoffs, that an f32 sum in any order stays within (architecture.md 6).
const SUM: f64 = 6.0;

/// A value, and a bound of a device's distance from it.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Num {
    /// The value in exact arithmetic (f64 here).
    pub v: f64,
    /// How far an honest device may be from it.
    pub e: f64,
}

impl From<f64> for Num {
    fn from(v: f64) -> Num {
        Num::exact(v)
    }
}

impl Num {
    /// Zero, exactly.
    pub const ZERO: Num = Num { v: 0.0, e: 0.0 };

    /// A value that every device has, such as an input.
    pub const fn exact(v: f64) -> Num {
        Num { v, e: 0.0 }
    }

    /// A value with a given bound.
    pub const fn new(v: f64, e: f64) -> Num {
        Num { v, e }
    }

    /// Smallest value that a device may have.
    pub fn lo(self) -> f64 {
        self.v - self.e
    }

    /// Largest value that a device may have.
    pub fn hi(self) -> f64 {
        self.v + self.e
    }

    /// The result of one f32 operation: `units` unit roundoffs are added to the propagated error `e`.
    ///
    /// Results that leave the range of f32 become infinite as they do on a device. Results below its normal range may be flushed to 0.
    fn computed(v: f64, e: f64, units: f64) -> Num {
        if !v.is_finite() {
            return Num::exact(v);
        }
        let in_f32 = round(DType::F32, v);
        if in_f32.is_infinite() || (e == 0.0 && units <= 1.0 && in_f32 == v) {
            return Num::exact(in_f32);
        }
        let mut error = e + units * U_ACC * (v.abs() + e);
        if v.abs() < f64::from(f32::MIN_POSITIVE) {
            error += v.abs();
        }
        Num { v, e: if error.is_nan() { f64::INFINITY } else { error } }
    }

    /// A function that never falls or never rises: the ends of the interval give the propagated error.
    fn monotone(self, f: impl Fn(f64) -> f64, units: f64) -> Num {
        let v = f(self.v);
        Num::computed(v, spread(v, f(self.lo()), f(self.hi())), units)
    }

    /// A monotone function that involves no rounding, such as a clamp.
    fn chosen(self, f: impl Fn(f64) -> f64) -> Num {
        let v = f(self.v);
        Num { v, e: spread(v, f(self.lo()), f(self.hi())) }
    }

    /// Must-round point: every device rounds here to nearest even.
    pub fn round_to(self, dtype: DType) -> Num {
        self.chosen(|x| round(dtype, x))
    }

    /// May-round point: a device may round to `dtype` here, or not.
    pub fn may_round(self, dtype: DType) -> Num {
        Num { v: self.v, e: self.e + unit_roundoff(dtype) * (self.v.abs() + self.e) }
    }

    /// Bound of the distance between a device's stored output of this type and the reference's. See the module's notes.
    pub fn bound(self, dtype: DType) -> f64 {
        if self.e == 0.0 { 0.0 } else { self.round_to(dtype).e + unit_roundoff(dtype) * self.v.abs() }
    }

    /// e^x. A device may reduce the argument in f32, which costs relative accuracy in proportion to it.
    pub fn exp(self) -> Num {
        self.monotone(f64::exp, ELEMENTARY + 2.0 * self.v.abs().min(128.0))
    }

    /// Natural logarithm. Near 1 a device is as good as the unit roundoff of its argument lets it be.
    pub fn ln(self) -> Num {
        let result = self.monotone(f64::ln, ELEMENTARY);
        if result.e == 0.0 { result } else { Num { v: result.v, e: result.e + U_ACC } }
    }

    /// `1 / (1 + e^-x)`.
    pub fn sigmoid(self) -> Num {
        self.monotone(sigmoid, ELEMENTARY + QUOTIENT + 1.0 + 2.0 * self.v.abs().min(128.0))
    }

    /// `x * sigmoid(x)`. Its slope never exceeds 1.1.
    pub fn silu(self) -> Num {
        // In the limit 0; the product of infinity and 0 is not.
        let v = if self.v == f64::NEG_INFINITY { f64::NAN } else { self.v * sigmoid(self.v) };
        // A device whose sigmoid leaves the normal range may flush it, whatever it is multiplied by.
        let flushed = if sigmoid(self.v) < f64::from(f32::MIN_POSITIVE) && v.is_finite() { v.abs() } else { 0.0 };
        Num::computed(v, 1.1 * self.e + flushed, ELEMENTARY + QUOTIENT + 2.0 + 2.0 * self.v.abs().min(128.0))
    }

    /// Square root.
    pub fn sqrt(self) -> Num {
        self.monotone(root(self.v), QUOTIENT)
    }

    /// 1 / square root.
    pub fn rsqrt(self) -> Num {
        let sqrt = root(self.v);
        self.monotone(|x| 1.0 / sqrt(x), QUOTIENT)
    }

    /// `sqrt(log(1 + e^x))`, with `log(1 + e^x) = x` above 20.
    pub fn sqrt_softplus(self) -> Num {
        let softplus = |x: f64| if x > 20.0 { x } else { x.exp().ln_1p() };
        let reduced = if self.v > 20.0 { 0.0 } else { 2.0 * self.v.abs().min(128.0) };
        let root = self.monotone(|x| softplus(x).sqrt(), 2.0 * ELEMENTARY + QUOTIENT + reduced);
        // A device whose softplus leaves the normal range may flush it; the root would be far inside that range.
        let flushed = if softplus(self.v) < f64::from(f32::MIN_POSITIVE) { root.v } else { 0.0 };
        Num { v: root.v, e: root.e + flushed }
    }

    /// Absolute value.
    pub fn abs(self) -> Num {
        Num { v: self.v.abs(), e: self.e }
    }

    /// max(x, 0). A NaN stays one.
    pub fn relu(self) -> Num {
        self.chosen(|x| if x < 0.0 { 0.0 } else { x })
    }

    /// Largest integer not above x.
    pub fn floor(self) -> Num {
        self.chosen(f64::floor)
    }

    /// x kept between two bounds. A NaN stays one.
    pub fn clamp(self, low: f64, high: f64) -> Num {
        self.chosen(|x| {
            if x < low {
                low
            } else if x > high {
                high
            } else {
                x
            }
        })
    }

    /// The smaller of two; NaN if one is.
    pub fn min(self, other: Num) -> Num {
        -((-self).max(-other))
    }

    /// The larger of two; NaN if one is.
    pub fn max(self, other: Num) -> Num {
        let v = larger(self.v, other.v);
        Num { v, e: spread(v, larger(self.lo(), other.lo()), larger(self.hi(), other.hi())) }
    }
}

/// Square root for the ends of an interval around `v`: an end below 0 counts as 0 unless `v` itself is negative.
fn root(v: f64) -> impl Fn(f64) -> f64 {
    move |x| if x < 0.0 && v >= 0.0 { 0.0 } else { x.sqrt() }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b {
        a
    } else {
        b
    }
}

/// The larger distance of two ends from the middle. Equal infinities are no distance apart.
fn spread(middle: f64, low: f64, high: f64) -> f64 {
    let distance = |end: f64| {
        if end == middle || middle.is_nan() {
            0.0
        } else if end.is_nan() {
            f64::INFINITY
        } else {
            (end - middle).abs()
        }
    };
    distance(low).max(distance(high))
}

impl Add for Num {
    type Output = Num;
    fn add(self, other: Num) -> Num {
        Num::computed(self.v + other.v, self.e + other.e, 1.0)
    }
}

impl Neg for Num {
    type Output = Num;
    fn neg(self) -> Num {
        Num { v: -self.v, e: self.e }
    }
}

impl Sub for Num {
    type Output = Num;
    fn sub(self, other: Num) -> Num {
        self + -other
    }
}

impl Mul for Num {
    type Output = Num;
    fn mul(self, other: Num) -> Num {
        Num::computed(self.v * other.v, product_error(self, other), 1.0)
    }
}

impl Div for Num {
    type Output = Num;
    fn div(self, other: Num) -> Num {
        let v = self.v / other.v;
        let least = other.v.abs() - other.e;
        let e = if self.e == 0.0 && other.e == 0.0 {
            0.0
        } else if least <= 0.0 {
            f64::INFINITY
        } else {
            (self.e + v.abs() * other.e) / least
        };
        Num::computed(v, e, QUOTIENT)
    }
}

fn product_error(a: Num, b: Num) -> f64 {
    // An infinite factor of an exact 0 would give a NaN here where there is no error at all.
    let term = |size: f64, error: f64| if error == 0.0 { 0.0 } else { size * error };
    term(a.v.abs(), b.e) + term(b.v.abs(), a.e) + term(a.e, b.e)
}

/// A sum of `terms` f32 numbers whose magnitudes add up to `magnitude`, in any order.
fn summed(v: f64, e: f64, magnitude: f64, terms: usize) -> Num {
    let terms = terms as f64;
    // No order of adding can round a term more often than there are terms; a scale and a product add one each.
    let units = (SUM * terms.sqrt()).min(terms + 2.0);
    if !v.is_finite() {
        return Num::exact(v);
    }
    // As for any result: below the normal range it may be flushed.
    Num { v, e: e + units * U_ACC * (magnitude + e) + flushed(v) }
}

/// What a number that lies below the normal range of f32 loses where a device flushes it.
fn flushed(product: f64) -> f64 {
    if product.abs() < f64::from(f32::MIN_POSITIVE) { product.abs() } else { 0.0 }
}

/// Sum in f32, in any order.
pub fn sum<T: Into<Num> + Copy>(terms: &[T]) -> Num {
    if let [only] = terms {
        return (*only).into();
    }
    let (mut v, mut e, mut magnitude) = (0.0, 0.0, 0.0);
    for &term in terms {
        let term: Num = term.into();
        v += term.v;
        e += term.e;
        magnitude += term.v.abs();
    }
    summed(v, e, magnitude, terms.len())
}

thread_local! {
    static ACCUMULATION: Cell<Accumulation> = const { Cell::new(Accumulation::F32) };
}

/// Runs `f` with the bounds of inner products widened to what a device of this class may lose. Each thread has its own class.
pub fn accumulating<T>(class: Accumulation, f: impl FnOnce() -> T) -> T {
    struct Restore(Accumulation);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACCUMULATION.set(self.0);
        }
    }
    let _restore = Restore(ACCUMULATION.replace(class));
    f()
}

/// What the class loses beyond f32, relative to the magnitude of a sum of `terms` products. A truncating unit drops what lies below `bits` fraction
/// bits of the largest addend at each of up to `promote` steps; then f32 takes over. As for f32, no chunk loses more than one unit a step.
fn beyond_f32(terms: usize) -> f64 {
    match ACCUMULATION.get() {
        Accumulation::F64 | Accumulation::F32 => 0.0,
        Accumulation::TensorCoreTrunc { bits, promote } => {
            let steps = terms.min(promote.max(1) as usize) as f64;
            (SUM * steps.sqrt()).min(steps + 1.0) * pow2(-i32::from(bits))
        }
    }
}

/// Inner product in f32, in any order: `6 sqrt(K) u sum |a||b|` beside the errors of the inputs. The shorter length counts.
pub fn dot<A: Into<Num> + Copy, B: Into<Num> + Copy>(a: &[A], b: &[B]) -> Num {
    let (mut v, mut e, mut magnitude) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b): (Num, Num) = (a.into(), b.into());
        v += a.v * b.v;
        e += product_error(a, b) + flushed(a.v * b.v);
        magnitude += (a.v * b.v).abs();
    }
    let terms = a.len().min(b.len());
    let product = summed(v, e, magnitude, terms);
    Num { v: product.v, e: product.e + beyond_f32(terms) * magnitude }
}

/// Exponent of the scale of a group with this largest magnitude: the least `k` with `largest * 2^k >= max(amax, floor)`.
///
/// The formula of deepseek-v4.md 2.2 multiplies by the f32 nearest to `1/largest` and rounds; for f32 magnitudes the answer is the same,
/// since the next f32 above `largest` is more than half an ulp of 1 away in proportion.
pub fn scale_exponent(amax: f64, kind: omnihal::op::QuantKind) -> i32 {
    let (_, largest, floor) = grid(kind);
    let amax = if amax > floor { amax } else { floor };
    if amax.is_infinite() {
        return 127;
    }
    let mut k = crate::format::exponent_of(amax) - crate::format::exponent_of(largest) - 1;
    while largest * pow2(k) < amax {
        k += 1;
    }
    k
}

/// Code type, largest value and smallest group magnitude of a code grid.
fn grid(kind: omnihal::op::QuantKind) -> (DType, f64, f64) {
    match kind {
        omnihal::op::QuantKind::F8E4M3 => (DType::F8E4M3, 448.0, f64::from(1e-4f32)),
        omnihal::op::QuantKind::F4E2M1 => (DType::F4E2M1X2, 6.0, 6.0 * pow2(-126)),
    }
}

/// The nearest value `code * 2^k` of a code grid.
pub fn to_grid(x: f64, k: i32, kind: omnihal::op::QuantKind) -> f64 {
    round(grid(kind).0, x / pow2(k)) * pow2(k)
}

/// Quantise-dequantise of one group (deepseek-v4.md 2.2): a common power-of-two scale, then the code grid.
///
/// A device whose inputs differ may choose another scale: every scale that the interval of the largest magnitude allows is tried, with both ends of each
/// element. For one scale the rounding is monotone, so the worst of these is the worst of all.
pub fn qdq(group: &[Num], kind: omnihal::op::QuantKind) -> Vec<Num> {
    let largest = |f: fn(&Num) -> f64| group.iter().map(f).fold(0.0, f64::max);
    let middle = scale_exponent(largest(|x| x.v.abs()), kind);
    let low = scale_exponent(largest(|x| x.v.abs() - x.e), kind);
    let high = scale_exponent(largest(|x| x.v.abs() + x.e), kind);
    let rounded = |x: &Num| {
        let v = to_grid(x.v, middle, kind);
        let e = (low..=high).map(|k| spread(v, to_grid(x.lo(), k, kind), to_grid(x.hi(), k, kind))).fold(0.0, f64::max);
        Num { v, e }
    };
    group.iter().map(rounded).collect()
}

#[cfg(test)]
#[path = "num_tests.rs"]
mod tests;
