//! One number at a time: stored bits to f32 and back.

use half::{bf16 as half_bf16, f16};
use omnihal::DType;

/// Rounds to the grid of BF16, to nearest even.
pub fn bf16(x: f32) -> f32 {
    half_bf16::from_f32(x).to_f32()
}

/// Rounds to the grid of a float type, to nearest even.
pub fn round_to(dtype: DType, x: f32) -> f32 {
    match dtype {
        DType::BF16 => bf16(x),
        DType::F16 => f16::from_f32(x).to_f32(),
        _ => x,
    }
}

/// 2 to the power of `e`, exact down to the subnormals of f32.
pub fn exp2i(e: i32) -> f32 {
    match e {
        128.. => f32::INFINITY,
        -126..=127 => f32::from_bits(((e + 127) as u32) << 23),
        -149..=-127 => f32::from_bits(1 << (e + 149)),
        _ => 0.0,
    }
}

/// A small float of `mantissa` bits and this exponent bias, all exponents finite.
fn small(code: u32, mantissa: u32, bias: i32, width: u32) -> f32 {
    let magnitude = code & ((1 << (width - 1)) - 1);
    let (exponent, fraction) = ((magnitude >> mantissa) as i32, magnitude & ((1 << mantissa) - 1));
    let value = if exponent == 0 {
        fraction as f32 * exp2i(1 - bias - mantissa as i32)
    } else {
        ((1 << mantissa) + fraction) as f32 * exp2i(exponent - bias - mantissa as i32)
    };
    if code >> (width - 1) & 1 == 1 { -value } else { value }
}

/// The value of stored bits.
pub fn decode(dtype: DType, bits: u64) -> f32 {
    let low = bits as u32;
    match dtype {
        DType::F32 => f32::from_bits(low),
        DType::F16 => f16::from_bits(low as u16).to_f32(),
        DType::BF16 => half_bf16::from_bits(low as u16).to_f32(),
        DType::F8E4M3 if low & 0x7F == 0x7F => f32::NAN,
        DType::F8E4M3 => small(low, 3, 7, 8),
        DType::F8E5M2 if low & 0x7C == 0x7C => {
            let infinite = if low & 0x80 == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
            if low & 3 == 0 { infinite } else { f32::NAN }
        }
        DType::F8E5M2 => small(low, 2, 15, 8),
        DType::E8M0 if low & 0xFF == 0xFF => f32::NAN,
        DType::E8M0 => exp2i((low & 0xFF) as i32 - 127),
        DType::F4E2M1X2 => small(low, 1, 1, 4),
        DType::I8 => f32::from(low as u8 as i8),
        DType::U8 | DType::BOOL => f32::from(low as u8),
        DType::I32 => low as i32 as f32,
        DType::U32 => low as f32,
        DType::I64 => bits as i64 as f32,
    }
}

/// The nearest code of a grid of non-negative codes `0..count`, ties to the even code. Larger values take the last.
fn nearest(x: f32, count: u32, value: impl Fn(u32) -> f32) -> u32 {
    let x = x.abs();
    let (mut low, mut high) = (0, count - 1);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if value(middle) <= x { low = middle } else { high = middle }
    }
    let (below, above) = (x - value(low), value(high) - x);
    if below < above || (below == above && low % 2 == 0) { low } else { high }
}

/// The E4M3 code of a number: nearest even, saturating.
pub fn e4m3(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7F;
    }
    let sign = u8::from(x.is_sign_negative()) << 7;
    sign | nearest(x, 0x7F, |c| small(c, 3, 7, 8)) as u8
}

/// The E2M1 code of a number: nearest even, saturating. There is no NaN: it takes the largest.
pub fn e2m1(x: f32) -> u8 {
    let sign = u8::from(x.is_sign_negative()) << 3;
    sign | if x.is_nan() { 7 } else { nearest(x, 8, |c| small(c, 1, 1, 4)) as u8 }
}

/// The E8M0 code of a power of two.
pub fn e8m0(x: f32) -> u8 {
    if x.is_nan() { 0xFF } else { (x.max(exp2i(-127)).log2().round() as i32 + 127).clamp(0, 254) as u8 }
}

/// The bits by which a type stores a value: one rounding, to nearest even. Whole numbers truncate.
pub fn encode(dtype: DType, x: f32) -> u64 {
    match dtype {
        DType::F32 => u64::from(x.to_bits()),
        DType::F16 => u64::from(f16::from_f32(x).to_bits()),
        DType::BF16 => u64::from(half_bf16::from_f32(x).to_bits()),
        DType::F8E4M3 => u64::from(e4m3(x)),
        DType::F8E5M2 => u64::from((f16::from_f32(x).to_bits() >> 8) as u8),
        DType::E8M0 => u64::from(e8m0(x)),
        DType::F4E2M1X2 => u64::from(e2m1(x)),
        DType::I32 => u64::from(x as i32 as u32),
        DType::U32 => u64::from(x as u32),
        DType::I64 => x as i64 as u64,
        DType::I8 => u64::from(x as i8 as u8),
        DType::U8 => u64::from(x as u8),
        DType::BOOL => u64::from(x != 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_its_value() {
        for code in 0..=0xFEu8 {
            if code & 0x7F != 0x7F {
                assert_eq!(e4m3(decode(DType::F8E4M3, code.into())), code);
            }
            assert_eq!(e8m0(decode(DType::E8M0, code.into())), code);
        }
        for code in 0..16u8 {
            assert_eq!(e2m1(decode(DType::F4E2M1X2, code.into())), code);
        }
    }

    #[test]
    fn ties_go_to_the_even_code_and_large_values_saturate() {
        assert_eq!([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 9.0].map(e2m1), [0, 2, 2, 4, 4, 6, 6, 7]);
        assert_eq!((e4m3(500.0), e4m3(-460.0), e4m3(f32::NAN)), (0x7E, 0xFE, 0x7F));
        assert_eq!(decode(DType::F8E4M3, e4m3(17.0).into()), 16.0);
        assert_eq!(decode(DType::F8E4M3, e4m3(19.0).into()), 20.0);
    }
}
