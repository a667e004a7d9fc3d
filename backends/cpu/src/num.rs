//! Scalar number formats (deepseek-v4.md 2.2). Vector kernels give the same results.

/// The value of a BF16 code.
#[inline(always)]
pub(crate) fn bf16_to_f32(code: u16) -> f32 {
    f32::from_bits((code as u32) << 16)
}

/// Rounds to BF16, nearest even. NaN stays NaN, quiet, with its sign.
#[inline(always)]
pub(crate) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if value.is_nan() { quiet } else { rounded }) as u16
}

/// Rounds to BF16 and back.
#[inline(always)]
pub(crate) fn round_bf16(value: f32) -> f32 {
    bf16_to_f32(f32_to_bf16(value))
}

/// The value of an E4M3 code: 1-4-3, bias 7, no infinity.
pub(crate) const fn e4m3_to_f32(code: u8) -> f32 {
    let sign = ((code as u32) & 0x80) << 24;
    let (exponent, mantissa) = (((code >> 3) & 15) as u32, (code & 7) as u32);
    let magnitude = if code & 0x7F == 0x7F {
        0x7FC0_0000
    } else if exponent != 0 {
        ((exponent + 127 - 7) << 23) | (mantissa << 20)
    } else {
        // Subnormal: mantissa * 2^-9. The product is exact.
        (mantissa as f32 * (1.0 / 512.0)).to_bits()
    };
    f32::from_bits(sign | magnitude)
}

/// Values of all E4M3 codes.
pub(crate) static E4M3: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = e4m3_to_f32(code as u8);
        code += 1;
    }
    table
};

/// Values of all E2M1 codes; bit 3 is the sign.
pub(crate) const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// The value of an E8M0 code: `2^(code - 127)`, 255 = NaN. Code 0 is subnormal in f32 and exact.
#[inline(always)]
pub(crate) const fn e8m0_to_f32(code: u8) -> f32 {
    f32::from_bits(match code {
        0 => 0x0040_0000,
        255 => 0x7FC0_0000,
        code => (code as u32) << 23,
    })
}

/// Largest E4M3 number.
pub(crate) const E4M3_MAX: f32 = 448.0;

/// Largest E2M1 number.
pub(crate) const E2M1_MAX: f32 = 6.0;

/// Smallest absolute maximum that the scale of an E4M3 group is made from.
const E4M3_FLOOR: f32 = 1e-4;

/// The same for E2M1: `6 * 2^-126`, so that the scale is a normal number.
const E2M1_FLOOR: f32 = 6.0 * f32::MIN_POSITIVE;

/// Exponent of the scale of an E4M3 group whose absolute maximum is `amax`: `ceil(log2(max(amax, 1e-4) / 448))`.
#[inline(always)]
pub(crate) fn e4m3_exponent(amax: f32) -> i32 {
    ceil_log2(amax.max(E4M3_FLOOR) * (1.0 / E4M3_MAX))
}

/// Exponent of the scale of an E2M1 group: `ceil(log2(max(amax, 6 * 2^-126) / 6))`.
#[inline(always)]
pub(crate) fn e2m1_exponent(amax: f32) -> i32 {
    ceil_log2(amax.max(E2M1_FLOOR) * (1.0 / E2M1_MAX))
}

/// On the bit pattern, as the model was trained: exponent, plus one unless the mantissa is zero.
#[inline(always)]
fn ceil_log2(value: f32) -> i32 {
    let bits = value.to_bits();
    ((bits >> 23) & 0xFF) as i32 - 127 + i32::from(bits & 0x007F_FFFF != 0)
}

/// `2^exponent` for the exponents of normal f32 numbers.
#[inline(always)]
pub(crate) fn exp2i(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// Rounds to the nearest E4M3 number, ties to even, saturating. NaN stays NaN.
#[inline(always)]
pub(crate) fn round_e4m3(value: f32) -> f32 {
    // A number of exponent e has a step of 2^(e-3), subnormals 2^-9: adding and taking away 1.5 * 2^23 steps rounds to a multiple.
    let exponent = (((value.to_bits() >> 23) & 0xFF) as i32 - 127).clamp(-6, 8);
    round_to_step(value.clamp(-E4M3_MAX, E4M3_MAX), exp2i(exponent - 3))
}

/// Rounds to the nearest E2M1 number, ties to even, saturating. NaN stays NaN.
#[inline(always)]
pub(crate) fn round_e2m1(value: f32) -> f32 {
    let exponent = (((value.to_bits() >> 23) & 0xFF) as i32 - 127).clamp(0, 2);
    round_to_step(value.clamp(-E2M1_MAX, E2M1_MAX), exp2i(exponent - 1))
}

#[inline(always)]
fn round_to_step(value: f32, step: f32) -> f32 {
    let magic = step * 12_582_912.0;
    ((value + magic) - magic).copysign(value)
}

/// The E4M3 code of a number that is on the E4M3 grid.
pub(crate) fn e4m3_code(value: f32) -> u8 {
    let bits = value.to_bits();
    let sign = ((bits >> 24) & 0x80) as u8;
    let exponent = ((bits >> 23) & 0xFF) as i32 - 127;
    let magnitude = if value.is_nan() {
        0x7F
    } else if exponent < -6 {
        (value.abs() * 512.0) as u8
    } else {
        (((exponent + 7) as u8) << 3) | ((bits >> 20) & 7) as u8
    };
    sign | magnitude
}

/// The E2M1 code of a number that is on the E2M1 grid. NaN, which the grid lacks, gives 6.
pub(crate) fn e2m1_code(value: f32) -> u8 {
    let sign = ((value.to_bits() >> 28) & 8) as u8;
    let magnitude = E2M1[..8].iter().position(|&v| v == value.abs()).unwrap_or(7) as u8;
    sign | magnitude
}

/// The E8M0 code of `2^exponent`.
pub(crate) fn e8m0_code(exponent: i32) -> u8 {
    (exponent + 127).clamp(0, 254) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest of `grid` (ascending, even codes at even places) by trying all.
    fn nearest(value: f32, grid: &[f32]) -> f32 {
        let mut best = 0;
        for (i, &g) in grid.iter().enumerate() {
            let (new, old) = ((g as f64 - value as f64).abs(), (grid[best] as f64 - value as f64).abs());
            if new < old || (new == old && i % 2 == 0) {
                best = i;
            }
        }
        grid[best]
    }

    fn probes(grid: &[f32]) -> Vec<f32> {
        let middles = grid.windows(2).map(|w| (w[0] + w[1]) / 2.0);
        let points = grid.iter().copied().chain(middles);
        points
            .flat_map(|v| [v, f32::from_bits(v.to_bits() + 1), f32::from_bits(v.to_bits().saturating_sub(1))])
            .collect()
    }

    #[test]
    fn rounding_to_the_code_grids_is_nearest_even_on_every_border() {
        let e4m3: Vec<f32> = (0..0x7F).map(e4m3_to_f32).collect();
        for value in probes(&e4m3) {
            assert_eq!(round_e4m3(value), nearest(value, &e4m3), "{value}");
            assert_eq!(round_e4m3(-value).to_bits(), (-nearest(value, &e4m3)).to_bits());
        }
        for value in probes(&E2M1[..8]) {
            assert_eq!(round_e2m1(value), nearest(value, &E2M1[..8]), "{value}");
        }
        assert_eq!((round_e4m3(1e9), round_e4m3(-1e9), round_e2m1(7.5)), (448.0, -448.0, 6.0));
        assert!(round_e4m3(f32::NAN).is_nan());
    }

    #[test]
    fn codes_and_values_are_inverse() {
        for code in (0..=255u8).filter(|c| c & 0x7F != 0x7F) {
            assert_eq!(e4m3_code(e4m3_to_f32(code)), code);
        }
        (0..16u8).for_each(|code| assert_eq!(e2m1_code(E2M1[code as usize]), code));
        (0..255u8).for_each(|code| assert_eq!(e8m0_to_f32(code) as f64, 2f64.powi(code as i32 - 127)));
        assert!(e8m0_to_f32(255).is_nan());
        assert_eq!((e4m3_to_f32(0x7E), e4m3_to_f32(0x01), e4m3_to_f32(0x88)), (448.0, 1.0 / 512.0, -(1.0 / 64.0)));
    }

    #[test]
    fn bf16_rounds_to_nearest_even_like_the_half_crate() {
        for i in 0..=u16::MAX {
            for low in [0u32, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
                let value = f32::from_bits(((i as u32) << 16) | low);
                let ours = f32_to_bf16(value);
                let theirs = half::bf16::from_f32(value);
                assert!(ours == theirs.to_bits() || (theirs.is_nan() && bf16_to_f32(ours).is_nan()), "{value}");
            }
        }
    }

    #[test]
    fn scales_are_the_smallest_powers_of_two_that_avoid_saturation() {
        for amax in [1e-5f32, 1e-4, 0.3, 1.0, 448.0, 448.1, 1e6] {
            let s = exp2i(e4m3_exponent(amax));
            assert!(amax.max(1e-4) / s <= 448.0 && amax.max(1e-4) / s > 223.9, "{amax}");
            let s = exp2i(e2m1_exponent(amax));
            assert!(amax / s <= 6.0 && amax / s > 2.99, "{amax}");
        }
    }
}
