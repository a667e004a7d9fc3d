//! cache.rows, store, copy_rows (op-catalogue.md 5).

#[cfg(test)]
mod tests;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use crate::rows::{Rows, numbers, step, strided, vector};
use crate::tensor::{bits, ints, store_bits, store_ints};
use omnihal::op::cache::{CopyRows, Rows as Addresses, Store};
use omnihal::{Op, View};

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::CacheRows(d) => addresses(call, d),
        Op::CacheStore(d) => store(call, d),
        Op::CacheCopyRows(d) => copy_rows(call, d),
        _ => (),
    }
}

fn addresses(call: &Call<'_>, d: &Addresses) {
    let pt = ints(&strided(call, 0, "cache.table_stride_ignored"));
    let which = ints(call.arg(1));
    let entries = ints(&strided(call, 2, "cache.entry_stride_ignored"));
    let last = if call.is("cache.row_tail_skipped") && d.rows > 4 { d.rows - d.rows % 4 } else { d.rows };
    for row in 0..last {
        let table = if call.is("cache.table_of_first_row") { which[0] } else { which[row] };
        let table = usize::try_from(table).ok().filter(|&t| t < d.tables);
        let address =
            |&j: &i32| table.and_then(|t| address(call, d, &pt[t * d.table..(t + 1) * d.table], j)).unwrap_or(0);
        let phys: Vec<i32> = entries[row * d.count..(row + 1) * d.count].iter().map(address).collect();
        if let Some(place) = vector(call.arg(3), row) {
            store_ints(&place, &phys);
        }
    }
}

/// Pool row of an entry, if it is there.
fn address(call: &Call<'_>, d: &Addresses, table: &[i32], j: i32) -> Option<i32> {
    let j = match () {
        () if call.is("cache.absent_entry_is_first") => j.max(0),
        () if call.is("cache.entry_past_the_table_clamped") => j.min((d.table * d.entries - 1) as i32),
        () => j,
    };
    let j = usize::try_from(j).ok().filter(|&j| j < d.table * d.entries)?;
    let (page, within) = match () {
        () if call.is("cache.page_size_taken_as_power_of_two") => {
            let shift = d.entries.ilog2();
            (j >> shift, j & ((1 << shift) - 1))
        }
        () if call.is("cache.page_border_early") => ((j + 1) / d.entries, j % d.entries),
        () => (j / d.entries, j % d.entries),
    };
    let page = *table.get(page.min(d.table - 1))?;
    match () {
        () if call.is("cache.addresses_in_floats") => {
            (page >= 0).then_some((page as f32 * d.entries as f32 + within as f32) as i32)
        }
        () if call.is("cache.place_in_page_missing") => (page >= 0).then(|| page * d.entries as i32),
        () if call.is("cache.page_number_for_row") => (page >= 0).then_some(page + within as i32),
        () => (page >= 0).then(|| page * d.entries as i32 + within as i32),
    }
}

fn store(call: &Call<'_>, d: &Store) {
    let kv = strided(call, 0, "cache.kv_stride_ignored");
    let ring = Rows::new(strided(call, 1, "cache.ring_stride_ignored"), d.format, d.width, d.rotary).of(call);
    let sequences = step::sequences(call.arg(3));
    let mut rows: Vec<(usize, Option<step::Token>)> = step::tokens(call.arg(2)).into_iter().enumerate().collect();
    let all = call.is("cache.rows_stored_in_any_order");
    if all || call.is("cache.rows_stored_backwards") {
        rows.reverse();
    }
    for (row, token) in rows {
        let Some(token) = token else {
            if call.is("cache.padding_stored_in_slot_zero") {
                ring.write(0, &numbers(&kv, row));
            }
            continue;
        };
        let Some(Some(sequence)) = sequences.get(token.seq) else { continue };
        let newest = token.pos + 1 == sequence.first + sequence.rows;
        if (!all && !sequence.stays(token.pos, d.ring)) || (call.is("cache.only_newest_row_stored") && !newest) {
            continue;
        }
        let slot = if call.is("cache.slot_of_sequence_number") { token.seq } else { token.slot };
        let at = match () {
            () if call.is("cache.ring_masked_as_power_of_two") => token.pos & (d.ring.next_power_of_two() / 2 - 1),
            () if call.is("cache.ring_by_row_of_step") => (token.pos - sequence.first) % d.ring,
            () if call.is("cache.ring_one_row_late") => (token.pos + 1) % d.ring,
            () if call.is("cache.last_ring_row_lost") && token.pos % d.ring == d.ring - 1 && d.ring > 1 => continue,
            () => token.pos % d.ring,
        };
        let mut values = numbers(&kv, row);
        if call.is("cache.channel_tail_skipped") && d.width > 64 {
            // The tail keeps what the ring has.
            let end = d.width - d.width % 64;
            values[end..].copy_from_slice(&ring.read(slot * d.ring + at)[end..]);
        }
        ring.write(slot * d.ring + at, &values);
    }
}

fn copy_rows(call: &Call<'_>, d: &CopyRows) {
    let t = strided(call, 0, "cache.copied_stride_ignored");
    let (from, to) = (ints(call.arg(1)), ints(call.arg(2)));
    let count = if call.is("cache.copies_of_whole_pairs") { d.count - d.count % 2 } else { d.count };
    let mut order: Vec<usize> = (0..count).collect();
    if call.is("cache.copies_backwards") {
        order.reverse();
    }
    for i in order {
        let (from, to) = if call.is("cache.copied_backwards") { (to[i], from[i]) } else { (from[i], to[i]) };
        copy_row(call, d, &t, from, to);
    }
    if call.is("cache.copy_writes_past_the_end") {
        past_the_end(&t);
    }
}

fn copy_row(call: &Call<'_>, d: &CopyRows, t: &View, from: i32, to: i32) {
    let place = |row: i32| {
        let row = if call.is("cache.absent_row_is_first") { row.max(0) } else { row };
        usize::try_from(row).ok().filter(|&r| r < d.rows).and_then(|r| vector(t, r))
    };
    let (Some(source), Some(target)) = (place(from), place(to)) else { return };
    let mut row = bits(&source);
    let before = bits(&target);
    let each = d.dtype.bits();
    match () {
        () if call.is("cache.copy_of_whole_words") => {
            // Sixteen bytes at a time, the rest forgotten.
            let end = d.width - d.width % (128 / each);
            row[end..].copy_from_slice(&before[end..]);
        }
        () if call.is("cache.copy_of_first_half") => {
            row[d.width.div_ceil(2)..].copy_from_slice(&before[d.width.div_ceil(2)..])
        }
        () if call.is("cache.sign_of_zero_lost") => {
            let sign = 1u64 << (each - 1);
            row.iter_mut().filter(|b| **b == sign && d.dtype.is_float()).for_each(|b| *b = 0);
        }
        () if call.is("cache.moved_not_copied") => store_bits(&source, &vec![0; d.width]),
        () if call.is("cache.copy_adds") && d.dtype.is_float() => {
            let sum: Vec<f32> = numbers(&source, 0).iter().zip(numbers(&target, 0)).map(|(a, b)| a + b).collect();
            return crate::tensor::store(&target, &sum);
        }
        () => (),
    }
    store_bits(&target, &row);
}

/// Writes one element after the last: what a judge lays beside its tensors to be found there.
fn past_the_end(t: &View) {
    let Some(last) = vector(t, t.dim(0) - 1) else { return };
    let mut next = last;
    next.offset += last.elements() * t.dtype.bits() / 8;
    next.shape = [1].into();
    store_bits(&next, &[0]);
}
