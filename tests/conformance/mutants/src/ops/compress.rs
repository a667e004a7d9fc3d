//! compress.update (deepseek-v4.md 4.3, 4.4, 5).

mod pool;
#[cfg(test)]
mod tests;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::rows::math::{Math, hadamard, hadamard_by_rows};
use crate::rows::rope::Rope;
use crate::rows::round::{Rounding, qdq_groups};
use crate::rows::step::{Pages, Sequence};
use crate::rows::{Rows, put, strided};
use crate::tensor::{bf16, ints, load, round_to};
use omnihal::Op;
use omnihal::op::compress::Update;
use omnihal::op::{QuantKind, RowQuant};
use pool::Window;

/// Runs one call.
pub fn run(call: &Call<'_>) {
    let Op::CompressUpdate(d) = call.op else { return };
    if call.is("compress.state_written_first") {
        let window = Window::new(call, d);
        keep(call, d, &window);
    }
    let window = Window::new(call, d);
    close(call, d, &window);
    keep(call, d, &window);
}

/// Pools and stores the entries that this step completes.
fn close(call: &Call<'_>, d: &Update, window: &Window<'_>) {
    let math = Math::of(call, d.rows);
    let (gain, rope) = (load(call.arg(2)), Rope::of(call, 3));
    let pages = Pages::new(d.pages, call.arg(6));
    let pool = Rows::new(strided(call, 5, "compress.pool_stride_ignored"), d.format, d.width, d.rotary).of(call);
    let closings = ints(call.arg(9));
    let count = if call.is("compress.closings_of_one_sequence") { d.rows.div_ceil(d.ratio) } else { d.closings };
    let mut last = None;
    for closing in closings.chunks_exact(2).take(count) {
        let (Ok(seq), Ok(j)) = (usize::try_from(closing[0]), usize::try_from(closing[1])) else { continue };
        let Some(Some(sequence)) = window.sequences.get(seq) else { continue };
        if call.is("compress.one_closing_a_sequence") && last.replace(seq) == Some(seq) {
            continue;
        }
        let Some(place) = place(call, d, &pages, seq, j) else { continue };
        let Some(pooled) = window.pooled(&math, sequence, j) else { continue };
        let pos = position(call, d, sequence, j);
        let entry = finish(call, d, &math, pooled, &gain, |x| rope.turn(x, pos, j, false));
        pool.write(place, &entry);
    }
}

/// Pool row of entry `j`.
fn place(call: &Call<'_>, d: &Update, pages: &Pages, seq: usize, j: usize) -> Option<usize> {
    let per_page = d.pages.entries;
    match () {
        () if call.is("compress.table_of_first_sequence") => pages.row(0, j),
        () if call.is("compress.pages_taken_as_adjacent") => {
            pages.row(seq, 0).map(|start| start + j).filter(|&r| r < d.pages.rows())
        }
        () if call.is("compress.absent_page_written") => Some(pages.row(seq, j).unwrap_or(j % per_page)),
        () if call.is("compress.page_border_lost") && j % per_page == 0 && j > 0 => None,
        () => pages.row(seq, j),
    }
}

/// Position by which an entry is rotated.
fn position(call: &Call<'_>, d: &Update, sequence: &Sequence, j: usize) -> usize {
    match () {
        () if call.is("compress.rope_at_last_position") => (j + 1) * d.ratio - 1,
        () if call.is("compress.rope_at_entry_number") => j,
        () if call.is("compress.rope_at_chunk_start") => sequence.first,
        () => j * d.ratio,
    }
}

/// From the pooled value to what is stored.
fn finish(
    call: &Call<'_>,
    d: &Update,
    math: &Math,
    mut x: Vec<f32>,
    gain: &[f32],
    rope: impl Fn(&mut [f32]),
) -> Vec<f32> {
    let to_act = |x: &mut [f32]| x.iter_mut().for_each(|v| *v = round_to(d.act, *v));
    if !call.is("compress.pooled_not_rounded") {
        to_act(&mut x);
    }
    let mean = math.dot(&x, &x) / d.width as f32;
    let factor = match () {
        () if call.is("compress.epsilon_missing") => math.rsqrt(mean),
        () if call.is("compress.norm_missing") => 1.0,
        () => math.rms_factor(&x, d.eps),
    };
    x.iter_mut().zip(gain).for_each(|(v, g)| *v = *v * factor * g);
    to_act(&mut x);
    if call.is("compress.hadamard_before_rope") && d.hadamard {
        hadamard(&mut x);
        rope(&mut x);
        return quantise(call, d, x);
    }
    rope(&mut x);
    if call.is("compress.rounded_after_rope") {
        to_act(&mut x);
    }
    if call.is("compress.rounded_before_hadamard") && d.hadamard {
        x = quantise(call, d, x);
        hadamard(&mut x);
        return x;
    }
    if d.hadamard && !call.is("compress.hadamard_missing") {
        match () {
            () if call.is("compress.hadamard_by_rows") => x = hadamard_by_rows(&x),
            () => hadamard(&mut x),
        }
        if call.is("compress.hadamard_not_scaled") {
            x.iter_mut().for_each(|v| *v *= (d.width as f32).sqrt());
        }
    }
    x = quantise(call, d, x);
    to_act(&mut x);
    x
}

fn quantise(call: &Call<'_>, d: &Update, mut x: Vec<f32>) -> Vec<f32> {
    let how = Rounding::of(call);
    match d.quant {
        RowQuant::None => (),
        RowQuant::F8Nope => {
            let end = if call.is("compress.rope_channels_rounded_too") { d.width } else { d.width - d.rotary };
            let rounded = qdq_groups(&x[..end], 64, QuantKind::F8E4M3, how);
            x[..end].copy_from_slice(&rounded);
        }
        RowQuant::F4All => {
            let end = if call.is("compress.rope_channels_not_rounded") { d.width - d.rotary } else { d.width };
            let group = if call.is("compress.one_scale_a_row") { d.width } else { 32 };
            let rounded = qdq_groups(&x[..end], group, QuantKind::F4E2M1, how);
            x[..end].copy_from_slice(&rounded);
        }
    }
    x
}

/// Keeps the rows of this step in the rings.
fn keep(call: &Call<'_>, d: &Update, window: &Window<'_>) {
    let state = strided(call, 4, "compress.state_stride_ignored");
    let mut rows: Vec<usize> = (0..d.rows).collect();
    let all = call.is("compress.state_rows_in_any_order");
    if all {
        rows.reverse();
    }
    for row in rows {
        let Some(token) = window.tokens[row] else {
            if call.is("compress.padding_kept_in_slot_zero") {
                put(&state, 0, &window.proj(row));
            }
            continue;
        };
        let Some(Some(sequence)) = window.sequences.get(token.seq) else { continue };
        if !all && !sequence.stays(token.pos, d.ring) {
            continue;
        }
        let slot = if call.is("compress.slot_of_sequence_number") { token.seq } else { token.slot };
        let at = match () {
            () if call.is("compress.ring_wraps_at_ratio") => token.pos % (d.ratio * window.halves),
            () => token.pos % d.ring,
        };
        let mut values =
            if call.is("compress.bias_not_kept") { window.proj(row) } else { window.new_row(row, token.pos) };
        if call.is("compress.state_kept_in_bf16") {
            values.iter_mut().for_each(|v| *v = bf16(*v));
        }
        put(&state, slot * d.ring + at, &values);
    }
}
