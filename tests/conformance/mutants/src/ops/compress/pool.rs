//! What a closing pools: rows of this step and of the state, per channel by a softmax of their gates.

use crate::Call;
use crate::rows::math::Math;
use crate::rows::step::{self, Sequence, Source, Token};
use crate::rows::{numbers, strided};
use omnihal::View;
use omnihal::op::compress::Update;

pub struct Window<'a> {
    call: &'a Call<'a>,
    d: &'a Update,
    proj: View,
    ape: View,
    state: View,
    pub tokens: Vec<Option<Token>>,
    pub sequences: Vec<Option<Sequence>>,
    /// Halves of a row: A and B, or one.
    pub halves: usize,
}

/// One pooled slot: the half of a row, or `None` for a slot of zeros.
struct Slot {
    pos: usize,
    half: usize,
}

impl<'a> Window<'a> {
    pub fn new(call: &'a Call<'a>, d: &'a Update) -> Window<'a> {
        Window {
            call,
            d,
            proj: strided(call, 0, "compress.proj_stride_ignored"),
            ape: strided(call, 1, "compress.bias_stride_ignored"),
            state: strided(call, 4, "compress.state_stride_ignored"),
            tokens: step::tokens(call.arg(7)),
            sequences: step::sequences(call.arg(8)),
            halves: if d.overlap { 2 } else { 1 },
        }
    }

    /// The projection of a row of this step.
    pub fn proj(&self, row: usize) -> Vec<f32> {
        numbers(&self.proj, row)
    }

    /// The projection of a row with its position bias.
    pub fn new_row(&self, row: usize, pos: usize) -> Vec<f32> {
        let place = if self.call.is("compress.bias_by_row") { row } else { pos };
        self.biased(self.proj(row), place)
    }

    fn biased(&self, mut row: Vec<f32>, pos: usize) -> Vec<f32> {
        row.iter_mut().zip(numbers(&self.ape, pos % self.d.ratio)).for_each(|(x, a)| *x += a);
        row
    }

    /// The row of a position, from this step or from the state.
    fn row(&self, sequence: &Sequence, pos: usize) -> Option<Vec<f32>> {
        let (call, ring) = (self.call, self.d.ring);
        match sequence.source(pos, ring)? {
            Source::Step(_) if call.is("compress.step_read_from_state") && pos + 1 < sequence.first + sequence.rows => {
                Some(numbers(&self.state, sequence.slot * ring + pos % ring))
            }
            Source::Step(row) => Some(self.new_row(row, pos)),
            Source::Ring(_)
                if call.is("compress.history_from_neighbour_rows") && sequence.row + pos >= sequence.first =>
            {
                Some(self.new_row(sequence.row + pos - sequence.first, pos))
            }
            Source::Ring(place) => {
                let old = numbers(&self.state, place);
                Some(if call.is("compress.bias_added_again") { self.biased(old, pos) } else { old })
            }
        }
    }

    /// The slots of entry `j`, in order.
    fn slots(&self, j: usize) -> Vec<Slot> {
        let m = self.d.ratio;
        let own = (j * m..(j + 1) * m).map(|pos| Slot { pos, half: self.halves - 1 });
        if !self.d.overlap {
            let own: Vec<Slot> = own.collect();
            return if self.call.is("compress.window_one_early") && j > 0 {
                own.into_iter().map(|s| Slot { pos: s.pos - 1, ..s }).collect()
            } else {
                own
            };
        }
        if self.call.is("compress.halves_swapped") {
            let before = (j.saturating_sub(1) * m..j * m).map(|pos| Slot { pos, half: 1 });
            return before.chain((j * m..(j + 1) * m).map(|pos| Slot { pos, half: 0 })).collect();
        }
        if self.call.is("compress.overlap_missing") {
            return own.collect();
        }
        (j.saturating_sub(1) * m..j * m).map(|pos| Slot { pos, half: 0 }).chain(own).collect()
    }

    /// The pooled value of entry `j`; `None` if the sequence does not reach its end.
    pub fn pooled(&self, math: &Math, sequence: &Sequence, j: usize) -> Option<Vec<f32>> {
        let (call, w) = (self.call, self.d.width);
        let mut parts = Vec::new();
        if self.d.overlap && j == 0 {
            parts.extend(self.before_the_first(sequence));
        }
        for slot in self.slots(j) {
            let row = self.row(sequence, slot.pos)?;
            parts.push(row[slot.half * 2 * w..(slot.half + 1) * 2 * w].to_vec());
        }
        if call.is("compress.slots_backwards") {
            parts.reverse();
        }
        let (value, gate) = if call.is("compress.gate_and_value_swapped") { (w, 0) } else { (0, w) };
        let one_gate = call.is("compress.gate_of_first_channel");
        let width = if call.is("compress.channel_tail_skipped") && w > 64 { w - w % 64 } else { w };
        let channel = |c: usize| {
            let gates: Vec<f32> = parts.iter().map(|p| p[gate + if one_gate { 0 } else { c }]).collect();
            let values: Vec<f32> = parts.iter().map(|p| p[value + c]).collect();
            pool(call, math, &gates, &values)
        };
        Some((0..w).map(|c| if c < width { channel(c) } else { 0.0 }).collect())
    }

    /// What kernels take for the A-halves before entry 0 that do not know they are absent.
    fn before_the_first(&self, sequence: &Sequence) -> Vec<Vec<f32>> {
        let (m, w, ring) = (self.d.ratio, self.d.width, self.d.ring);
        match () {
            () if self.call.is("compress.first_entry_pools_zeros") => vec![vec![0.0; 2 * w]; m],
            () if self.call.is("compress.first_entry_pools_stale_rows") => {
                (ring - m..ring).map(|r| numbers(&self.state, sequence.slot * ring + r)[..2 * w].to_vec()).collect()
            }
            () => Vec::new(),
        }
    }
}

/// `sum softmax(gates) * values`.
fn pool(call: &Call<'_>, math: &Math, gates: &[f32], values: &[f32]) -> f32 {
    match () {
        () if call.is("compress.online_softmax") => {
            let (mut top, mut total, mut sum) = (f32::NEG_INFINITY, 0.0, 0.0);
            for (&g, &v) in gates.iter().zip(values) {
                let new = g.max(top);
                let (old, this) = (math.exp(top - new), math.exp(g - new));
                (top, total, sum) = (new, total * old + this, sum * old + this * v);
            }
            math.div(sum, total)
        }
        () if call.is("compress.late_division") => {
            let top = gates.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f32> = gates.iter().map(|&g| math.exp(g - top)).collect();
            math.div(math.dot(&exps, values), math.sum(&exps))
        }
        () if call.is("compress.softmax_without_maximum") => {
            let exps: Vec<f32> = gates.iter().map(|&g| math.exp(g)).collect();
            let total = math.sum(&exps);
            math.dot(&exps.iter().map(|&x| math.div(x, total)).collect::<Vec<_>>(), values)
        }
        () if call.is("compress.mean_of_values") => math.sum(values) / values.len() as f32,
        () => math.dot(&math.softmax(gates, None), values),
    }
}
