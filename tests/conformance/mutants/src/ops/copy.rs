//! Moving elements.

use crate::tensor::{bits, number, offsets, store_bits};
use crate::{Call, Variant};
use omnihal::op::copy as op;
use omnihal::{DType, Op, OpKind, View};

const COPY: &[OpKind] = &[OpKind::Copy];
const GATHER: &[OpKind] = &[OpKind::Gather];
const SCATTER: &[OpKind] = &[OpKind::Scatter];
const TAKE: &[OpKind] = &[OpKind::Take];
const CONCAT: &[OpKind] = &[OpKind::Concat];
const FILL: &[OpKind] = &[OpKind::Fill];

/// The variants of this family.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("copy.last_element_first", COPY, "elements are moved from the end"),
    Variant::honest("copy.scatter_from_the_end", SCATTER, "rows are scattered from the last to the first"),
    Variant::planted("copy.cast_truncates", COPY, "casts to BF16 drop the low half"),
    Variant::planted("copy.cast_rounds_ties_away", COPY, "casts to BF16 round ties away from zero"),
    Variant::planted(
        "copy.cast_makes_every_nan_infinite",
        COPY,
        "the rounding of a cast carries NaN into another number",
    ),
    Variant::planted("copy.whole_numbers_are_rounded", COPY, "F32 to I32 rounds to nearest instead of truncating"),
    Variant::planted("copy.negative_zero_is_lost", COPY, "bits are moved by adding 0"),
    Variant::planted("copy.small_numbers_are_flushed", COPY, "subnormals become 0 on the way"),
    Variant::planted("copy.stride_0_is_taken_for_1", COPY, "a repeated input is read as if it were contiguous"),
    Variant::planted("copy.source_gaps_are_ignored", COPY, "the source is read as if it were contiguous"),
    Variant::planted("copy.result_gaps_are_ignored", COPY, "the result is written as if it were contiguous"),
    Variant::planted("copy.tail_of_16_is_dropped", COPY, "elements past the last whole vector of 16 are not moved"),
    Variant::planted("copy.large_whole_numbers_pass_through_f32", COPY, "I32 values are moved as f32"),
    Variant::planted("copy.fill_misses_the_last_element", FILL, "the last element keeps what it was"),
    Variant::planted("copy.fill_writes_past_the_end", FILL, "one element more than there is"),
    Variant::planted("copy.fill_ignores_gaps", FILL, "a view with gaps is filled as one block"),
    Variant::planted("copy.fill_has_integer_value", FILL, "the value is truncated to a whole number"),
    Variant::planted("copy.absent_index_is_taken_for_0", GATHER, "a negative index reads row 0"),
    Variant::planted("copy.absent_row_is_left_as_it_was", GATHER, "a row with an absent index is not written"),
    Variant::planted("copy.index_past_the_end_is_clamped", GATHER, "an index past the end reads the last row"),
    Variant::planted("copy.gather_ignores_row_gaps", GATHER, "source rows are taken to follow each other"),
    Variant::planted("copy.gather_drops_the_odd_column", GATHER, "the last column is lost when the width is odd"),
    Variant::planted("copy.scatter_writes_absent_to_row_0", SCATTER, "a negative index writes row 0"),
    Variant::planted("copy.scatter_clamps_to_the_last_row", SCATTER, "an index past the end writes the last row"),
    Variant::planted("copy.scatter_clears_the_rest", SCATTER, "rows that no index names are cleared"),
    Variant::planted("copy.scatter_ignores_row_gaps", SCATTER, "source rows are taken to follow each other"),
    Variant::planted("copy.scatter_adds_to_old_rows", SCATTER, "rows that hold data are added to instead of replaced"),
    Variant::planted("copy.take_uses_the_indices_of_row_0", TAKE, "every row takes the places of the first"),
    Variant::planted("copy.take_gives_absent_the_first", TAKE, "a negative place takes element 0"),
    Variant::planted("copy.take_ignores_row_gaps", TAKE, "source rows are taken to follow each other"),
    Variant::planted("copy.concat_swaps_the_first_two", CONCAT, "equal lengths: the first two inputs change places"),
    Variant::planted("copy.concat_forgets_the_fourth", CONCAT, "the fourth input is not copied"),
    Variant::planted("copy.concat_joins_the_first_axis", CONCAT, "inputs follow each other whole"),
    Variant::planted("copy.concat_ignores_gaps_of_the_second", CONCAT, "the second input is read as one block"),
];

/// A view as a kernel sees it that ignores strides.
pub fn packed(view: &View) -> View {
    View { strides: view.shape.contiguous_strides(), ..*view }
}

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::Copy(d) => copy(call, d),
        Op::Fill(d) => fill(call, d),
        Op::Gather(d) => gather(call, d),
        Op::Scatter(d) => scatter(call, d),
        Op::Take(d) => take(call, d),
        Op::Concat(d) => concat(call, d),
        _ => {}
    }
}

fn is_whole(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8 | DType::I32 | DType::U32 | DType::I64 | DType::BOOL)
}

/// A whole number by its stored bits.
fn whole(dtype: DType, bits: u64) -> i64 {
    match dtype {
        DType::I8 => i64::from(bits as u8 as i8),
        DType::I32 => i64::from(bits as u32 as i32),
        _ => bits as i64,
    }
}

fn copy(call: &Call<'_>, d: &op::Copy) {
    let (mut x, mut y) = (*call.arg(0), *call.arg(1));
    if call.is("copy.source_gaps_are_ignored") || (call.is("copy.stride_0_is_taken_for_1") && x.strides.contains(&0)) {
        let fits = packed(&x).check_bounds().is_ok();
        x = if fits { packed(&x) } else { x };
    }
    if call.is("copy.result_gaps_are_ignored") {
        y = packed(&y);
    }
    let mut moved: Vec<u64> = bits(&x).into_iter().map(|b| cast(call, d, b)).collect();
    if call.is("copy.tail_of_16_is_dropped") {
        moved.truncate(moved.len() - moved.len() % 16);
    }
    if call.is("copy.last_element_first") && y.dtype.bits() >= 8 {
        for (i, offset) in offsets(&y).into_iter().enumerate().rev() {
            let one = View { offset: y.offset + y.dtype.bytes(offset), shape: [1].into(), ..y };
            store_bits(&one, &moved[i..=i]);
        }
        return;
    }
    store_bits(&y, &moved);
}

fn cast(call: &Call<'_>, d: &op::Copy, bits: u64) -> u64 {
    if d.input == d.output {
        return same_type(call, d.input, bits);
    }
    if is_whole(d.input) && is_whole(d.output) {
        let value = whole(d.input, bits);
        return if d.output == DType::BOOL { u64::from(value != 0) } else { value as u64 };
    }
    let value = number::decode(d.input, bits);
    if d.output == DType::BF16 {
        let raw = value.to_bits();
        if call.is("copy.cast_truncates") {
            return u64::from(raw >> 16);
        }
        if call.is("copy.cast_rounds_ties_away") && value.is_finite() {
            return u64::from((raw + 0x8000) >> 16);
        }
        if call.is("copy.cast_makes_every_nan_infinite") && value.is_nan() {
            return 0x7F80;
        }
    }
    if call.is("copy.whole_numbers_are_rounded") && is_whole(d.output) {
        return number::encode(d.output, value.round());
    }
    number::encode(d.output, value)
}

fn same_type(call: &Call<'_>, dtype: DType, bits: u64) -> u64 {
    let value = number::decode(dtype, bits);
    if dtype.is_float() {
        if call.is("copy.negative_zero_is_lost") && value == 0.0 {
            return 0;
        }
        if call.is("copy.small_numbers_are_flushed") && value.is_subnormal() {
            return 0;
        }
    }
    if call.is("copy.large_whole_numbers_pass_through_f32") && dtype == DType::I32 {
        return number::encode(dtype, value);
    }
    bits
}

fn fill(call: &Call<'_>, d: &op::Fill) {
    let mut y = *call.arg(0);
    if call.is("copy.fill_ignores_gaps") {
        y = packed(&y);
    }
    let value = if call.is("copy.fill_has_integer_value") { d.value.trunc() } else { d.value };
    let mut count = y.elements();
    if call.is("copy.fill_misses_the_last_element") {
        count -= 1;
    }
    store_bits(&y, &vec![number::encode(d.dtype, value); count]);
    if call.is("copy.fill_writes_past_the_end") && d.dtype.bits() >= 8 {
        let end = View { offset: y.offset + y.extent_bytes(), shape: [1].into(), ..y };
        store_bits(&end, &[number::encode(d.dtype, value)]);
    }
}

/// The row that an index names, if it names one.
pub fn place(index: u64, rows: usize) -> Option<usize> {
    usize::try_from(index as u32 as i32).ok().filter(|&i| i < rows)
}

fn gather(call: &Call<'_>, d: &op::Gather) {
    let src = call.arg(0);
    let rows = bits(&if call.is("copy.gather_ignores_row_gaps") { packed(src) } else { *src });
    let (idx, y) = (bits(call.arg(1)), call.arg(2));
    let mut moved = bits(y);
    for (i, &index) in idx.iter().enumerate() {
        let mut row = place(index, d.rows);
        let index = index as u32 as i32;
        if call.is("copy.absent_index_is_taken_for_0") && index < 0 {
            row = Some(0);
        }
        if call.is("copy.index_past_the_end_is_clamped") && index >= d.rows as i32 {
            row = Some(d.rows - 1);
        }
        if row.is_none() && call.is("copy.absent_row_is_left_as_it_was") {
            continue;
        }
        let even = d.width - d.width % 2;
        let width = if call.is("copy.gather_drops_the_odd_column") { even } else { d.width };
        for c in 0..width {
            moved[i * d.width + c] = row.map_or(0, |r| rows[r * d.width + c]);
        }
    }
    store_bits(y, &moved);
}

fn scatter(call: &Call<'_>, d: &op::Scatter) {
    let (dst, idx, src) = (call.arg(0), bits(call.arg(1)), call.arg(2));
    let rows = bits(&if call.is("copy.scatter_ignores_row_gaps") { packed(src) } else { *src });
    let mut after = bits(dst);
    if call.is("copy.scatter_clears_the_rest") {
        after.fill(0);
    }
    let mut order: Vec<usize> = (0..d.count).collect();
    if call.is("copy.scatter_from_the_end") {
        order.reverse();
    }
    for i in order {
        let mut row = place(idx[i], d.rows);
        let index = idx[i] as u32 as i32;
        if call.is("copy.scatter_writes_absent_to_row_0") && index < 0 {
            row = Some(0);
        }
        if call.is("copy.scatter_clamps_to_the_last_row") && index >= d.rows as i32 {
            row = Some(d.rows - 1);
        }
        let Some(row) = row else { continue };
        for c in 0..d.width {
            let (old, new) = (after[row * d.width + c], rows[i * d.width + c]);
            let adds = call.is("copy.scatter_adds_to_old_rows") && d.dtype.is_float();
            after[row * d.width + c] = if adds {
                number::encode(d.dtype, number::decode(d.dtype, old) + number::decode(d.dtype, new))
            } else {
                new
            };
        }
    }
    store_bits(dst, &after);
}

fn take(call: &Call<'_>, d: &op::Take) {
    let x = call.arg(0);
    let values = bits(&if call.is("copy.take_ignores_row_gaps") { packed(x) } else { *x });
    let idx = bits(call.arg(1));
    let mut taken = Vec::with_capacity(d.rows * d.count);
    for i in 0..d.rows {
        for q in 0..d.count {
            let of = if call.is("copy.take_uses_the_indices_of_row_0") { 0 } else { i };
            let index = idx[of * d.count + q];
            let first = call.is("copy.take_gives_absent_the_first") && (index as u32 as i32) < 0;
            let at = if first { Some(0) } else { place(index, d.width) };
            taken.push(at.map_or(0, |p| values[i * d.width + p]));
        }
    }
    store_bits(call.arg(2), &taken);
}

fn concat(call: &Call<'_>, d: &op::Concat) {
    let y = call.arg(4);
    let mut parts: Vec<(usize, Vec<u64>)> = Vec::new();
    for (i, &len) in d.lens.iter().enumerate() {
        let Some(view) = call.view(i).filter(|_| len > 0) else { continue };
        let ignores = i == 1 && call.is("copy.concat_ignores_gaps_of_the_second");
        parts.push((len, bits(&if ignores { packed(view) } else { *view })));
    }
    if call.is("copy.concat_swaps_the_first_two") && d.lens[0] == d.lens[1] {
        parts.swap(0, 1);
    }
    if call.is("copy.concat_joins_the_first_axis") {
        let whole: Vec<u64> = parts.into_iter().flat_map(|(_, part)| part).collect();
        return store_bits(y, &whole);
    }
    let mut joined = Vec::new();
    for p in 0..d.pre {
        for (i, (len, part)) in parts.iter().enumerate() {
            let size = len * d.post;
            let forgotten = i == 3 && call.is("copy.concat_forgets_the_fourth");
            joined.extend(part[p * size..(p + 1) * size].iter().map(|&b| if forgotten { 0 } else { b }));
        }
    }
    store_bits(y, &joined);
}
