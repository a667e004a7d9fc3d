//! Token ids and their embeddings.

use crate::ops::copy::packed;
use crate::tensor::{ints, load, number, round_to, store, store_ints};
use crate::{Call, Variant};
use omnihal::op::embed as op;
use omnihal::{DType, Op, OpKind, View};

const LOOKUP: &[OpKind] = &[OpKind::EmbedLookup];
const IDS: &[OpKind] = &[OpKind::EmbedIds];

const fn lookup_bug(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, LOOKUP, what)
}

const fn ids_bug(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, IDS, what)
}

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("embed.rows_beyond_the_hint_are_left_out", LOOKUP, "rows past the hint keep what they were"),
    lookup_bug("embed.only_the_first_copy", "the other residual streams are not written"),
    lookup_bug("embed.last_copy_is_left", "the last residual stream is not written"),
    lookup_bug("embed.copies_are_outermost", "the result is written as [copies, rows, width]"),
    lookup_bug("embed.copies_share_the_sum", "each stream gets its share of the embedding"),
    lookup_bug("embed.next_row_of_the_table", "ids are counted from 1"),
    lookup_bug("embed.gaps_between_table_rows_are_ignored", "the table is read as one block"),
    lookup_bug("embed.last_odd_channel_is_dropped", "the last of an odd number of channels becomes 0"),
    lookup_bug("embed.channels_beyond_a_vector_of_16_are_left", "channels past the last whole vector are not written"),
    lookup_bug("embed.last_row_is_not_written", "the last of several rows is left"),
    lookup_bug("embed.values_are_truncated", "F32 tables lose their low half without rounding"),
    lookup_bug("embed.values_pass_through_f16", "values are rounded to F16 on the way"),
    lookup_bug("embed.subnormals_are_flushed", "the smallest numbers become 0"),
    lookup_bug("embed.sign_of_zero_is_lost", "-0 becomes 0"),
    lookup_bug("embed.ids_have_sixteen_bits", "ids above 65535 wrap around"),
    lookup_bug("embed.ids_of_the_first_run_are_kept", "a plan looks at its ids once"),
    lookup_bug("embed.row_at_the_hint_is_left_out", "the last row that the hint counts is left"),
    lookup_bug("embed.writes_past_the_last_element", "one element more than there is"),
    ids_bug("embed.padding_gives_its_own_id", "padding rows give -1 instead of 0"),
    ids_bug("embed.sequence_instead_of_slot", "the last tokens are looked up by sequence"),
    ids_bug("embed.row_instead_of_slot", "the last tokens are looked up by row"),
    ids_bug("embed.second_sampled_token_for_the_first", "-1 is taken for the second token sampled last"),
    ids_bug("embed.always_the_first_sampled_token", "-2 and below are taken for -1"),
    ids_bug("embed.sampled_tokens_are_not_resolved", "negative ids are passed on"),
    ids_bug("embed.literal_zero_is_resolved", "id 0 is taken for a sampled token"),
    ids_bug("embed.position_instead_of_id", "the first column of the step table is read"),
    ids_bug("embed.last_tokens_of_the_first_run_are_kept", "a plan looks at the sampled tokens once"),
];

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::EmbedLookup(d) => lookup(call, d),
        Op::EmbedIds(d) => ids(call, d),
        _ => {}
    }
}

fn value(call: &Call<'_>, d: &op::Lookup, x: f32) -> f32 {
    match () {
        () if call.is("embed.copies_share_the_sum") => x / d.copies as f32,
        () if call.is("embed.values_are_truncated") && d.act == DType::BF16 && x.is_finite() => {
            f32::from_bits(x.to_bits() & 0xFFFF_0000)
        }
        () if call.is("embed.values_pass_through_f16") => round_to(DType::F16, x),
        () if call.is("embed.subnormals_are_flushed") && x.is_subnormal() => 0.0,
        () if call.is("embed.sign_of_zero_is_lost") && x == 0.0 => 0.0,
        () => x,
    }
}

/// Ids of the run, or of the first one.
fn looked_up(call: &Call<'_>, view: &View) -> Vec<i32> {
    let now = ints(view);
    if call.is("embed.ids_of_the_first_run_are_kept")
        && let Ok(mut kept) = call.kept.lock()
    {
        if kept.is_empty() {
            *kept = now.iter().map(|&i| i as f32).collect();
        }
        return kept.iter().map(|&i| i as i32).collect();
    }
    if call.is("embed.ids_have_sixteen_bits") { now.into_iter().map(|i| i & 0xFFFF).collect() } else { now }
}

fn lookup(call: &Call<'_>, d: &op::Lookup) {
    let table = call.arg(0);
    let table = load(&if call.is("embed.gaps_between_table_rows_are_ignored") { packed(table) } else { *table });
    let x = call.arg(2);
    let mut streams = load(x);
    let rows = match () {
        () if call.is("embed.rows_beyond_the_hint_are_left_out") => d.rows.min(call.rows_hint),
        () if call.is("embed.row_at_the_hint_is_left_out") && call.rows_hint < d.rows => {
            call.rows_hint.saturating_sub(1)
        }
        () if call.is("embed.last_row_is_not_written") && d.rows > 1 => d.rows - 1,
        () => d.rows,
    };
    let copies = match () {
        () if call.is("embed.only_the_first_copy") => 1,
        () if call.is("embed.last_copy_is_left") && d.copies > 1 => d.copies - 1,
        () => d.copies,
    };
    let tail = call.is("embed.channels_beyond_a_vector_of_16_are_left") && d.width > 16;
    let width = if tail { d.width - d.width % 16 } else { d.width };
    for (t, id) in looked_up(call, call.arg(1)).into_iter().enumerate().take(rows) {
        let id = if call.is("embed.next_row_of_the_table") { (id + 1).min(d.vocab as i32 - 1) } else { id };
        let Some(id) = usize::try_from(id).ok().filter(|&id| id < d.vocab) else { continue };
        for j in 0..copies {
            let at = if call.is("embed.copies_are_outermost") { j * d.rows + t } else { t * d.copies + j };
            for c in 0..width {
                let odd = call.is("embed.last_odd_channel_is_dropped") && d.width % 2 == 1 && c + 1 == d.width;
                let x = if odd { 0.0 } else { table[id * d.width + c] };
                streams[at * d.width + c] = value(call, d, x);
            }
        }
    }
    store(x, &streams);
    if call.is("embed.writes_past_the_last_element") {
        let past = View { offset: x.offset + x.extent_bytes(), shape: [1].into(), ..*x };
        store(&past, &[number::exp2i(0)]);
    }
}

fn ids(call: &Call<'_>, d: &op::Ids) {
    let toks = ints(call.arg(0));
    let mut last = ints(call.arg(1));
    if call.is("embed.last_tokens_of_the_first_run_are_kept")
        && let Ok(mut kept) = call.kept.lock()
    {
        if kept.is_empty() {
            *kept = last.iter().map(|&i| i as f32).collect();
        }
        last = kept.iter().map(|&i| i as i32).collect();
    }
    let resolve = |(row, tok): (usize, &[i32])| {
        let [position, slot, sequence, id] = *tok else { return 0 };
        if slot < 0 {
            return if call.is("embed.padding_gives_its_own_id") { id } else { 0 };
        }
        if call.is("embed.position_instead_of_id") {
            return position;
        }
        let zero = call.is("embed.literal_zero_is_resolved") && id == 0;
        if (id >= 0 && !zero) || call.is("embed.sampled_tokens_are_not_resolved") {
            return id;
        }
        let i = match () {
            () if call.is("embed.second_sampled_token_for_the_first") => -id,
            () if call.is("embed.always_the_first_sampled_token") || zero => 0,
            () => -1 - id,
        };
        let slot = match () {
            () if call.is("embed.sequence_instead_of_slot") => sequence,
            () if call.is("embed.row_instead_of_slot") => row as i32,
            () => slot,
        };
        let (slot, i) = (slot as usize, i as usize);
        if slot < d.slots && i <= d.drafts { last[slot * (d.drafts + 1) + i] } else { 0 }
    };
    let resolved: Vec<i32> = toks.chunks_exact(4).enumerate().map(resolve).collect();
    store_ints(call.arg(2), &resolved);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, once};

    #[test]
    fn every_stream_gets_the_row_of_its_id() {
        let d = op::Lookup { rows: 2, vocab: 3, width: 2, copies: 2, table: DType::F32, act: DType::F32 };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        bench.set_ints(1, &[2, 0]);
        once(&bench);
        assert_eq!(bench.get(2), [5.0, 6.0, 5.0, 6.0, 1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn negative_ids_name_tokens_sampled_last_for_the_slot() {
        let d = op::Ids { rows: 4, slots: 3, drafts: 1 };
        let mut bench = Bench::new(&d.into());
        bench.set_ints(0, &[5, 2, 0, -1, 6, 2, 0, -2, 0, 1, 1, 0, -1, -1, -1, -1]);
        bench.set_ints(1, &[10, 11, 20, 21, 30, 31]);
        once(&bench);
        assert_eq!(bench.ints(2), [30, 31, 0, 0]);
    }
}
