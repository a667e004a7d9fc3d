//! Kernels in plain Rust, with the lanes of their sums written out so that any compiler can vectorise them.

use super::{DOTS, Kernels, LANES, TILE_OUTS, TILE_ROWS, WeightRows};
use crate::num::{self, bf16_to_f32, f32_to_bf16};

pub(super) static KERNELS: Kernels = Kernels {
    name: "portable",
    dot: dot::<Plain>,
    axpy: axpy::<Plain>,
    widen,
    narrow,
    exp: exp_all::<Plain>,
    qdq_e4m3,
    qdq_e2m1,
    swiglu: swiglu::<Plain>,
    dots: dots::<Plain>,
    panel,
    tile: tile::<Plain>,
};

/// How a target multiplies and adds.
pub(super) trait Fma {
    fn fma(a: f32, b: f32, c: f32) -> f32;
}

/// With one rounding where the target has an instruction for it, else with two: a library call would take fifty times as long.
pub(super) struct Plain;

impl Fma for Plain {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
    }
}

/// Adds up lanes in ascending order.
#[inline(always)]
pub(super) fn reduce(lanes: &[f32; LANES]) -> f32 {
    lanes.iter().skip(1).fold(lanes[0], |sum, lane| sum + lane)
}

#[inline(always)]
pub(super) fn dot<F: Fma>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for j in 0..LANES {
            lanes[j] = F::fma(a[j], b[j], lanes[j]);
        }
    }
    for (j, (a, b)) in a_tail.iter().zip(b_tail).enumerate() {
        lanes[j] = F::fma(*a, *b, lanes[j]);
    }
    reduce(&lanes)
}

#[inline(always)]
pub(super) fn axpy<F: Fma>(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        *y = F::fma(alpha, *x, *y);
    }
}

#[inline(always)]
pub(super) unsafe fn widen(src: *const u16, dst: *mut f32, len: usize) {
    for i in 0..len {
        // SAFETY: the caller promises `len` elements on both sides.
        unsafe { dst.add(i).write_unaligned(bf16_to_f32(src.add(i).read_unaligned())) }
    }
}

#[inline(always)]
pub(super) unsafe fn narrow(src: *const f32, dst: *mut u16, len: usize) {
    for i in 0..len {
        // SAFETY: the caller promises `len` elements on both sides.
        unsafe { dst.add(i).write_unaligned(f32_to_bf16(src.add(i).read_unaligned())) }
    }
}

#[inline(always)]
pub(super) fn exp_all<F: Fma>(values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v = exp::<F>(*v));
}

/// `e^x = 2^n e^r` with `|r| <= ln 2 / 2`; the Taylor series to the 7th power leaves 6e-9 of the value.
#[inline(always)]
pub(super) fn exp<F: Fma>(x: f32) -> f32 {
    /// Rounds to an integer when added and taken away: 1.5 * 2^23.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough for n * LN2_HIGH to be exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Beyond these the result is 0 or infinite anyway; the bounds keep n small. NaN passes through both.
    let bounded = x.clamp(-110.0, 89.0);
    let n = (bounded * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = F::fma(n, -LN2_LOW, F::fma(n, -LN2_HIGH, bounded));
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = F::fma(p, r, c);
    }
    // Two steps, so that results below the normal numbers are rounded once and 2^128 does not appear.
    let n = n as i32;
    let half = n >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    p * power(half) * power(n - half)
}

#[inline(always)]
pub(super) fn swiglu<F: Fma>(gate: &mut [f32], up: &[f32], limit: f32, weight: f32) {
    for (gate, up) in gate.iter_mut().zip(up) {
        // Comparisons instead of `min`, which would turn NaN into the limit.
        let g = if *gate > limit { limit } else { *gate };
        *gate = g / (1.0 + exp::<F>(-g)) * up.clamp(-limit, limit) * weight;
    }
}

#[inline(always)]
pub(super) fn qdq_e4m3(values: &mut [f32], group: usize) {
    qdq(values, group, num::e4m3_exponent, num::round_e4m3);
}

#[inline(always)]
pub(super) fn qdq_e2m1(values: &mut [f32], group: usize) {
    qdq(values, group, num::e2m1_exponent, num::round_e2m1);
}

#[inline(always)]
fn qdq(values: &mut [f32], group: usize, exponent: impl Fn(f32) -> i32, round: impl Fn(f32) -> f32) {
    for values in values.chunks_exact_mut(group) {
        let exponent = exponent(largest(values));
        // Powers of two: dividing by one and multiplying by the other is exact.
        let (scale, inverse) = (num::exp2i(exponent), num::exp2i(-exponent));
        values.iter_mut().for_each(|v| *v = round(*v * inverse) * scale);
    }
}

/// Largest absolute value, NaN ignored, in lanes so that it vectorises.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for j in 0..LANES {
            lanes[j] = lanes[j].max(chunk[j].abs());
        }
    }
    lanes.iter().chain(tail).fold(0.0f32, |most, v| most.max(v.abs()))
}

pub(super) unsafe fn dots<F: Fma>(w: &WeightRows, outs: &[usize; DOTS], a: *const f32) -> [f32; DOTS] {
    let places: [usize; LANES] = std::array::from_fn(|j| w.code.place(j));
    outs.map(|out| {
        let mut lanes = [0.0; LANES];
        for k in (0..w.inner).step_by(LANES) {
            // SAFETY: the caller promises the row, and activations up to whole lanes.
            let (w, a) = unsafe { (w.chunk(out, k), a.add(k).cast::<[f32; LANES]>().read_unaligned()) };
            for j in 0..LANES {
                lanes[j] = F::fma(w[j], a[places[j]], lanes[j]);
            }
        }
        reduce(&lanes)
    })
}

pub(super) unsafe fn panel(w: &WeightRows, rows: std::ops::Range<usize>, dst: *mut f32) {
    let steps = w.inner.div_ceil(LANES);
    for o in 0..TILE_OUTS {
        for i in 0..steps {
            let row = rows.start + o;
            // SAFETY: the row is below the end that the caller promises.
            let chunk = if row < rows.end { unsafe { w.chunk(row, i * LANES) } } else { [0.0; LANES] };
            for (j, value) in chunk.into_iter().enumerate() {
                // SAFETY: the caller promises room for `LANES * steps * TILE_OUTS` numbers.
                unsafe { dst.add((j * steps + i) * TILE_OUTS + o).write(value) };
            }
        }
    }
}

pub(super) unsafe fn tile<F: Fma>(steps: usize, a: *const f32, w: *const f32, tile: *mut f32, set: bool) {
    let mut sums = [[0.0f32; TILE_OUTS]; TILE_ROWS];
    for i in 0..steps {
        // SAFETY: the caller promises `steps` rows of activations and weights.
        let (a, w) = unsafe {
            (
                a.add(i * TILE_ROWS).cast::<[f32; TILE_ROWS]>().read(),
                w.add(i * TILE_OUTS).cast::<[f32; TILE_OUTS]>().read(),
            )
        };
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum = F::fma(w, a, *sum);
            }
        }
    }
    // SAFETY: the caller promises a whole tile, which no other task touches.
    let tile = unsafe { &mut *tile.cast::<[[f32; TILE_OUTS]; TILE_ROWS]>() };
    for (tile, sum) in tile.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        *tile = if set { *sum } else { *tile + sum };
    }
}

#[cfg(test)]
mod tests {
    use crate::simd::kernels;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut x: Vec<f32> = (-104_000..89_000).map(|i| i as f32 * 1e-3).collect();
        let want: Vec<f64> = x.iter().map(|&x| (x as f64).exp()).collect();
        (kernels().exp)(&mut x);
        for (got, want) in x.iter().zip(want) {
            if want > f32::MAX as f64 {
                assert!(got.is_infinite());
                continue;
            }
            let unit = (want * 2f64.powi(-24)).max(2f64.powi(-150)) * 2.0;
            assert!((*got as f64 - want).abs() <= 2.0 * unit, "{got} {want}");
        }
        let mut ends = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0];
        (kernels().exp)(&mut ends);
        assert!(ends[0] == 0.0 && ends[1].is_infinite() && ends[2].is_nan() && ends[3] == 1.0);
    }

    #[test]
    fn dot_takes_any_length() {
        for len in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let want: f32 = (0..len).map(|i| (i * i) as f32).sum();
            assert_eq!((kernels().dot)(&a, &a), want);
        }
    }
}
