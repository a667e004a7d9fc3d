//! Quantise-dequantise of activations and state rows (deepseek-v4.md 2.2), with the ways in which it goes wrong.

use crate::Call;
use crate::rows::change;
use crate::tensor::number::exp2i;
use omnihal::op::QuantKind;

/// Mistakes in a quantise-dequantise step, none in an honest kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounding {
    /// Codes are cut towards zero.
    pub truncates: bool,
    /// Ties go away from zero.
    pub ties_away: bool,
    /// Codes below the smallest normal one become zero.
    pub flushes: bool,
    /// The scale is the power of two below, so that the largest values saturate.
    pub scale_below: bool,
    /// A group takes the scale of the group before it.
    pub neighbour: bool,
    /// The scale is not rounded to a power of two.
    pub plain_scale: bool,
}

impl Rounding {
    /// The mistakes of the device's variant in this call.
    pub fn of(call: &Call<'_>) -> Rounding {
        let change = change(call);
        Rounding {
            truncates: change == "codes_truncated",
            ties_away: change == "code_ties_away",
            flushes: change == "subnormal_codes_flushed",
            scale_below: change == "scale_rounded_down",
            neighbour: change == "scale_of_neighbour_group",
            plain_scale: change == "scale_not_a_power_of_two",
        }
    }
}

/// Largest code, smallest magnitude of a group, exponent of the smallest normal code, mantissa bits.
fn grid(kind: QuantKind) -> (f32, f32, i32, i32) {
    match kind {
        QuantKind::F8E4M3 => (448.0, 1e-4, -6, 3),
        QuantKind::F4E2M1 => (6.0, 6.0 * exp2i(-126), 0, 1),
    }
}

/// The power-of-two scale of a group.
pub fn scale_of(group: &[f32], kind: QuantKind) -> f32 {
    exp2i(scale_exponent(quotient(group, kind)))
}

/// Largest magnitude of a group, no less than the floor, in units of the largest code.
fn quotient(group: &[f32], kind: QuantKind) -> f32 {
    let (largest, floor, ..) = grid(kind);
    group.iter().fold(floor, |a, x| a.max(x.abs())) / largest
}

/// ceil(log2(x)) from the bits of x.
fn scale_exponent(x: f32) -> i32 {
    let bits = x.to_bits();
    let up = i32::from(bits & 0x7F_FFFF != 0);
    ((bits >> 23) as i32 - 127 + up).min(127)
}

/// The nearest number of the code grid.
fn to_grid(x: f32, kind: QuantKind, how: Rounding) -> f32 {
    let (largest, _, lowest, mantissa) = grid(kind);
    let x = x.clamp(-largest, largest);
    if x.is_nan() {
        return x;
    }
    let exponent = ((x.to_bits() >> 23 & 0xFF) as i32 - 127).max(lowest);
    let step = exp2i(exponent - mantissa);
    let units = x / step;
    let rounded = match how {
        Rounding { truncates: true, .. } => units.trunc(),
        Rounding { ties_away: true, .. } => units.round(),
        Rounding { flushes: true, .. } if x.abs() < exp2i(lowest) => 0.0 * x,
        _ => units.round_ties_even(),
    };
    rounded * step
}

/// Rounds one group to the grid and back.
pub fn qdq(group: &[f32], kind: QuantKind, how: Rounding) -> Vec<f32> {
    with_scale(group, scale(group, kind, how), kind, how)
}

fn scale(group: &[f32], kind: QuantKind, how: Rounding) -> f32 {
    match how {
        Rounding { scale_below: true, .. } => exp2i(scale_exponent(quotient(group, kind)) - 1),
        Rounding { plain_scale: true, .. } => quotient(group, kind),
        _ => scale_of(group, kind),
    }
}

fn with_scale(group: &[f32], scale: f32, kind: QuantKind, how: Rounding) -> Vec<f32> {
    group.iter().map(|&x| to_grid(x / scale, kind, how) * scale).collect()
}

/// Rounds whole groups of `size` numbers.
pub fn qdq_groups(values: &[f32], size: usize, kind: QuantKind, how: Rounding) -> Vec<f32> {
    let groups: Vec<&[f32]> = values.chunks(size).collect();
    let scale_from = |g: usize| if how.neighbour { g.saturating_sub(1) } else { g };
    (0..groups.len()).flat_map(|g| with_scale(groups[g], scale(groups[scale_from(g)], kind, how), kind, how)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_codes_round_to_even_and_keep_their_subnormals() {
        // The largest value makes the scale 1.
        let group = [448.0, 17.0, 19.0, -17.0, 3.0 * exp2i(-10), exp2i(-10), 0.0];
        let found = qdq(&group, QuantKind::F8E4M3, Rounding::default());
        assert_eq!(found, [448.0, 16.0, 20.0, -16.0, exp2i(-8), 0.0, 0.0]);
    }

    #[test]
    fn four_bit_scales_are_the_least_power_of_two_that_holds_the_group() {
        let found = qdq(&[6.5, 2.5, -3.5, 1.0], QuantKind::F4E2M1, Rounding::default());
        // Scale 2: codes 3.25, 1.25, 1.75, 0.5.
        assert_eq!(found, [6.0, 2.0, -4.0, 1.0]);
        assert_eq!(scale_of(&[6.0], QuantKind::F4E2M1), 1.0);
        assert_eq!(scale_of(&[0.0], QuantKind::F8E4M3), exp2i(-22));
    }
}
