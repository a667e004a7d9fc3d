//! Number formats, written from their definitions: decoding a code, rounding to the values of a format, encoding.

use omnihal::DType;

/// A binary floating-point format: one sign bit, `exponent` bits of the given bias, `fraction` bits.
#[derive(Clone, Copy)]
struct Float {
    exponent: u32,
    fraction: u32,
    bias: i32,
    kind: Top,
}

/// What the largest exponent field means, and what becomes of values that are too large.
#[derive(Clone, Copy, PartialEq)]
enum Top {
    /// Infinities and NaNs; overflow gives infinity.
    Infinite,
    /// Infinities and NaNs; finite numbers saturate.
    Saturating,
    /// Numbers, except for the code of all ones, which is NaN; overflow saturates.
    OneNan,
    /// Numbers; overflow saturates.
    Numbers,
}

impl Float {
    fn of(dtype: DType) -> Option<Float> {
        let (exponent, fraction, bias, kind) = match dtype {
            DType::F32 => (8, 23, 127, Top::Infinite),
            DType::F16 => (5, 10, 15, Top::Infinite),
            DType::BF16 => (8, 7, 127, Top::Infinite),
            DType::F8E5M2 => (5, 2, 15, Top::Saturating),
            DType::F8E4M3 => (4, 3, 7, Top::OneNan),
            DType::F4E2M1X2 => (2, 1, 1, Top::Numbers),
            _ => return None,
        };
        Some(Float { exponent, fraction, bias, kind })
    }

    fn largest_field(self) -> u64 {
        (1 << self.exponent) - 1
    }

    /// The code of the largest finite number, without sign.
    fn largest_code(self) -> u64 {
        match self.kind {
            Top::Infinite | Top::Saturating => (self.largest_field() << self.fraction) - 1,
            Top::OneNan => (1 << (self.exponent + self.fraction)) - 2,
            Top::Numbers => (1 << (self.exponent + self.fraction)) - 1,
        }
    }

    fn largest(self) -> f64 {
        self.magnitude(self.largest_code())
    }

    /// Value of a finite code without sign.
    fn magnitude(self, code: u64) -> f64 {
        let field = (code >> self.fraction) as i32;
        let fraction = (code & ((1 << self.fraction) - 1)) as f64;
        let scale = pow2(-(self.fraction as i32));
        if field == 0 {
            fraction * scale * pow2(1 - self.bias)
        } else {
            (1.0 + fraction * scale) * pow2(field - self.bias)
        }
    }

    fn sign_bit(self) -> u64 {
        1 << (self.exponent + self.fraction)
    }

    fn canonical_nan(self) -> u64 {
        match self.kind {
            Top::Numbers => 0,
            Top::OneNan => self.sign_bit() - 1,
            _ => (self.largest_field() << self.fraction) | (1 << (self.fraction - 1)),
        }
    }

    fn is_nan(self, code: u64) -> bool {
        let magnitude = code & (self.sign_bit() - 1);
        match self.kind {
            Top::Numbers => false,
            _ => magnitude > self.largest_code() + u64::from(self.kind != Top::OneNan),
        }
    }

    fn decode(self, code: u64) -> f64 {
        let magnitude = code & (self.sign_bit() - 1);
        let sign = if code & self.sign_bit() != 0 { -1.0 } else { 1.0 };
        if self.is_nan(code) {
            return nan_of(code);
        }
        if magnitude > self.largest_code() { sign * f64::INFINITY } else { sign * self.magnitude(magnitude) }
    }

    /// The spacing of the format's numbers at the magnitude of `x`.
    fn spacing(self, x: f64) -> f64 {
        pow2(exponent_of(x).max(1 - self.bias) - self.fraction as i32)
    }

    fn round(self, x: f64) -> f64 {
        if x.is_nan() || x == 0.0 {
            return x;
        }
        if x.is_infinite() {
            let kept = matches!(self.kind, Top::Infinite | Top::Saturating);
            return if kept { x } else { self.largest().copysign(x) };
        }
        let spacing = self.spacing(x);
        let rounded = (x / spacing).round_ties_even() * spacing;
        if rounded.abs() <= self.largest() {
            return rounded.abs().copysign(x);
        }
        let top = if self.kind == Top::Infinite { f64::INFINITY } else { self.largest() };
        top.copysign(x)
    }

    fn encode(self, x: f64) -> u64 {
        if x.is_nan() {
            // A value that was only moved keeps the bits of its NaN.
            let code = x.to_bits() & u64::from(u32::MAX);
            return if code < 2 * self.sign_bit() && self.is_nan(code) { code } else { self.canonical_nan() };
        }
        let x = self.round(x);
        let sign = if x.is_sign_negative() { self.sign_bit() } else { 0 };
        if x.is_infinite() {
            return sign | (self.largest_field() << self.fraction);
        }
        if x == 0.0 {
            return sign;
        }
        let exponent = exponent_of(x).max(1 - self.bias);
        let digits = (x.abs() / pow2(exponent - self.fraction as i32)) as u64;
        let hidden = 1 << self.fraction;
        let magnitude = if digits < hidden {
            digits
        } else {
            (((exponent + self.bias) as u64) << self.fraction) + (digits - hidden)
        };
        sign | magnitude
    }
}

/// A NaN that remembers its code, so that an operator that only moves values moves bits.
fn nan_of(code: u64) -> f64 {
    f64::from_bits(f64::NAN.to_bits() | code)
}

/// `2^k`, exactly, for every `k` that a format of this crate can ask for.
pub fn pow2(k: i32) -> f64 {
    2f64.powi(k)
}

/// `floor(log2 |x|)` of a finite number other than 0. Numbers below the normal range of f64 are far below every format's smallest.
pub fn exponent_of(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7FF) as i32 - 1023
}

/// Half the distance between 1 and the next number of a floating-point format; 0 for other types.
pub fn unit_roundoff(dtype: DType) -> f64 {
    Float::of(dtype).map_or(0.0, |f| pow2(-(f.fraction as i32) - 1))
}

/// The value of a code. For packed FP4 the code is one nibble.
pub fn decode(dtype: DType, code: u64) -> f64 {
    match dtype {
        DType::E8M0 if code == 255 => nan_of(code),
        DType::E8M0 => pow2(code as i32 - 127),
        DType::I8 => f64::from(code as u8 as i8),
        DType::I32 => f64::from(code as u32 as i32),
        DType::I64 => code as i64 as f64,
        DType::U8 | DType::BOOL | DType::U32 => code as f64,
        float => Float::of(float).map_or(f64::NAN, |f| f.decode(code)),
    }
}

/// The nearest value of a type, ties to even. F8, F4 and integers saturate; IEEE types overflow to infinity.
pub fn round(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::E8M0 | DType::I8 | DType::U8 | DType::I32 | DType::U32 | DType::I64 | DType::BOOL => {
            decode(dtype, encode(dtype, x))
        }
        float => Float::of(float).map_or(f64::NAN, |f| f.round(x)),
    }
}

/// The code of the nearest value, see [`round`]. A NaN becomes 0 in types that have none.
pub fn encode(dtype: DType, x: f64) -> u64 {
    let whole = x.round_ties_even();
    match dtype {
        // Scales are powers of two already; what is not a positive number has no code but NaN.
        DType::E8M0 if x.is_nan() || x <= 0.0 => 255,
        DType::E8M0 => (exponent_of(x).clamp(-127, 127) + 127) as u64,
        DType::I8 => u64::from(whole as i8 as u8),
        DType::U8 | DType::BOOL => u64::from(whole as u8),
        DType::I32 => u64::from(whole as i32 as u32),
        DType::U32 => u64::from(whole as u32),
        DType::I64 => whole as i64 as u64,
        float => Float::of(float).map_or(0, |f| f.encode(x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{oracle, oracle_f32};

    fn oracle_codes(codes: &str, values: &str, dtype: DType) {
        let (_, codes) = oracle(codes);
        let (_, values) = oracle_f32(values);
        assert_eq!(codes.len(), values.len());
        for (&code, value) in codes.iter().zip(values) {
            let found = decode(dtype, u64::from(code));
            assert!(found == value || (found.is_nan() && value.is_nan()), "{dtype} {code}: {found} is not {value}");
        }
    }

    #[test]
    fn every_f8_code_has_the_oracle_value() {
        oracle_codes("e4m3.codes", "e4m3.values", DType::F8E4M3);
    }

    #[test]
    fn every_scale_code_has_the_oracle_value() {
        oracle_codes("e8m0.codes", "e8m0.values", DType::E8M0);
    }

    #[test]
    fn every_f4_code_has_the_oracle_value() {
        let (_, values) = oracle_f32("e2m1.values");
        let found: Vec<f64> = (0..16).map(|c| decode(DType::F4E2M1X2, c)).collect();
        assert_eq!(found, values);
    }

    #[test]
    fn every_code_of_a_short_type_survives_decoding_and_encoding() {
        for (dtype, bits) in [
            (DType::F16, 16),
            (DType::BF16, 16),
            (DType::F8E4M3, 8),
            (DType::F8E5M2, 8),
            (DType::E8M0, 8),
            (DType::F4E2M1X2, 4),
            (DType::I8, 8),
            (DType::U8, 8),
        ] {
            for code in 0..1u64 << bits {
                assert_eq!(encode(dtype, decode(dtype, code)), code, "{dtype} {code:#x}");
            }
        }
    }

    #[test]
    fn f32_rounding_agrees_with_the_language() {
        for x in [1.0 + 2f64.powi(-24), 1.0 + 3.0 * 2f64.powi(-24), 1e-45, 7e-46, 3.5e38, -1e300, 0.1, 2f64.powi(128)] {
            assert_eq!(round(DType::F32, x), f64::from(x as f32), "{x}");
            assert_eq!(encode(DType::F32, x), u64::from((x as f32).to_bits()), "{x}");
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        assert_eq!(round(DType::BF16, 1.0 + 2f64.powi(-8)), 1.0);
        assert_eq!(round(DType::BF16, 1.0 + 3.0 * 2f64.powi(-8)), 1.0 + 2f64.powi(-6));
        assert_eq!([0.25, 0.75, 2.5, 3.5, 5.0].map(|x| round(DType::F4E2M1X2, x)), [0.0, 1.0, 2.0, 4.0, 4.0]);
    }

    #[test]
    fn short_floats_saturate_and_ieee_types_overflow() {
        assert_eq!(round(DType::F8E4M3, 1e9), 448.0);
        assert_eq!(round(DType::F8E4M3, f64::NEG_INFINITY), -448.0);
        assert_eq!(round(DType::F8E5M2, 1e9), 57344.0);
        assert_eq!(round(DType::F4E2M1X2, -7.0), -6.0);
        assert_eq!(round(DType::F16, 65520.0), f64::INFINITY);
        assert_eq!(encode(DType::I8, -200.0) as u8 as i8, -128);
    }
}
