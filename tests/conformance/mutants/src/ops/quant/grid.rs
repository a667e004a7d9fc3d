//! A code grid with a scale for each group.

use crate::tensor::number::{decode, e2m1, e4m3, exp2i};
use omnihal::DType;
use omnihal::op::QuantKind;

/// A grid, and what a careless one does.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    kind: QuantKind,
    /// Planted: rounds towards zero.
    pub truncates: bool,
    /// Planted: rounds halves away from zero.
    pub ties_away: bool,
    /// Planted: the scale is the largest magnitude divided by the largest code.
    pub any_scale: bool,
    /// Planted: the exponent of the scale is rounded down.
    pub floors_exponent: bool,
    /// Planted: one more than the exponent even where the quotient is a power of two.
    pub exact_power_steps_up: bool,
    /// Planted: groups of zeros have no scale.
    pub no_floor: bool,
    /// Planted: another largest code.
    pub reaches: Option<f32>,
    /// Planted: subnormal codes become 0.
    pub flushes: bool,
    /// Planted: -0 becomes 0.
    pub drops_sign_of_zero: bool,
    /// Planted: the largest value instead of the largest magnitude.
    pub signed_maximum: bool,
    /// Planted: NaN becomes 0.
    pub swallows_nan: bool,
}

impl Grid {
    /// The grid as it should be.
    pub fn new(kind: QuantKind) -> Grid {
        Grid {
            kind,
            truncates: false,
            ties_away: false,
            any_scale: false,
            floors_exponent: false,
            exact_power_steps_up: false,
            no_floor: false,
            reaches: None,
            flushes: false,
            drops_sign_of_zero: false,
            signed_maximum: false,
            swallows_nan: false,
        }
    }

    /// Largest code, and the least magnitude that a group is scaled for (deepseek-v4.md 2.2).
    fn limits(&self) -> (f32, f32) {
        match self.kind {
            QuantKind::F8E4M3 => (self.reaches.unwrap_or(448.0), 1e-4),
            QuantKind::F4E2M1 => (6.0, 6.0 * exp2i(-126)),
        }
    }

    /// The scale of a group: the least power of two by which its largest magnitude fits the codes.
    pub fn scale(&self, group: &[f32]) -> f32 {
        let (largest, least) = self.limits();
        let magnitude = |x: f32| if self.signed_maximum { x } else { x.abs() };
        let amax = group.iter().fold(0.0f32, |m, &x| m.max(magnitude(x)));
        let wanted = if self.no_floor { amax } else { amax.max(least) };
        if self.any_scale {
            return wanted / largest;
        }
        let quotient = wanted * (1.0 / largest);
        let raw = quotient.to_bits();
        let up = i32::from(raw & 0x7F_FFFF != 0 || self.exact_power_steps_up);
        let exponent = (raw >> 23) as i32 - 127;
        if quotient == 0.0 {
            return exp2i(-127);
        }
        exp2i(if self.floors_exponent { exponent } else { exponent + up })
    }

    /// The code of a value.
    pub fn code(&self, x: f32, scale: f32) -> u8 {
        let ratio = x / scale;
        let (encode, dtype, sign): (fn(f32) -> u8, DType, u8) = match self.kind {
            QuantKind::F8E4M3 => (e4m3, DType::F8E4M3, 0x80),
            QuantKind::F4E2M1 => (e2m1, DType::F4E2M1X2, 8),
        };
        if ratio.is_nan() {
            return if self.swallows_nan { 0 } else { encode(ratio) };
        }
        let mut code = encode(ratio);
        let value = |code: u8| decode(dtype, u64::from(code)).abs();
        if self.truncates && value(code) > ratio.abs() && code & !sign > 0 {
            code -= 1;
        }
        let top = (code & !sign) + 1 >= if sign == 8 { 8 } else { 0x7F };
        if self.ties_away && !top && value(code) + value(code + 1) == 2.0 * ratio.abs() {
            code += 1;
        }
        let small = value(code) < if sign == 8 { 1.0 } else { exp2i(-6) };
        if self.flushes && small {
            code &= sign;
        }
        if self.drops_sign_of_zero && code == sign { 0 } else { code }
    }

    /// The value that a code and its scale give back. NaN has no E2M1 code and stays what it is.
    pub fn round(&self, x: f32, scale: f32) -> f32 {
        if x.is_nan() && !self.swallows_nan {
            return x;
        }
        let dtype = if self.kind == QuantKind::F8E4M3 { DType::F8E4M3 } else { DType::F4E2M1X2 };
        decode(dtype, u64::from(self.code(x, scale))) * scale
    }
}

/// Rounds a vector in groups.
pub fn qdq(grid: &Grid, group: usize, vector: &mut [f32]) {
    for group in vector.chunks_mut(group) {
        let scale = grid.scale(group);
        group.iter_mut().for_each(|x| *x = grid.round(*x, scale));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_least_power_of_two_that_fits() {
        let f8 = Grid::new(QuantKind::F8E4M3);
        assert_eq!((f8.scale(&[448.0]), f8.scale(&[449.0]), f8.scale(&[-896.0])), (1.0, 2.0, 2.0));
        // 1e-4 / 448 lies between 2^-23 and 2^-22.
        assert_eq!(f8.scale(&[0.0]), exp2i(-22));
        let f4 = Grid::new(QuantKind::F4E2M1);
        assert_eq!((f4.scale(&[6.0]), f4.scale(&[0.0])), (1.0, exp2i(-126)));
    }
}
