//! Rotary position embedding by table (deepseek-v4.md 3.3).

use super::{change, numbers};
use crate::Call;
use omnihal::View;

/// The rope table of one call, with the mistake of the device's variant.
pub struct Rope {
    table: View,
    change: &'static str,
}

impl Rope {
    /// From argument `i`: cosine and sine of each pair, by position.
    pub fn of(call: &Call<'_>, i: usize) -> Rope {
        Rope { table: *call.arg(i), change: change(call) }
    }

    /// Rotates the last channels of a vector that belongs to row `row` of the step and to position `pos`.
    pub fn turn(&self, x: &mut [f32], pos: usize, row: usize, inverse: bool) {
        let pos = match self.change {
            "rope_position_off_by_one" => pos + 1,
            "rope_by_row" => row,
            _ => pos,
        };
        let cs = numbers(&self.table, pos.min(self.table.dim(0) - 1));
        let inverse = inverse != (self.change == "rope_sign");
        let start = if self.change == "rope_on_first_channels" { 0 } else { x.len() - cs.len() };
        let x = &mut x[start..start + cs.len()];
        for (k, cs) in cs.chunks_exact(2).enumerate() {
            let (i, j) = match self.change {
                "rope_half_split" => (k, k + x.len() / 2),
                _ => (2 * k, 2 * k + 1),
            };
            let (cos, sin) = (cs[0], if inverse { -cs[1] } else { cs[1] });
            (x[i], x[j]) = (x[i] * cos - x[j] * sin, x[i] * sin + x[j] * cos);
        }
    }
}
