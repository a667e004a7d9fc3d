//! Softmax and running sums.

use super::{read, write};
use crate::Call;
use crate::tensor::{bf16, load, round_to, store};
use omnihal::DType;
use omnihal::op::elementwise::{Cumsum, Softmax};

/// Largest of a line, with what is subtracted instead where planted.
fn shift(call: &Call<'_>, line: &[f32]) -> f32 {
    let max = line.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
    match () {
        () if call.is("elementwise.softmax_subtracts_nothing") => 0.0,
        () if call.is("elementwise.softmax_subtracts_at_least_0") => max.max(0.0),
        () if call.is("elementwise.softmax_subtracts_the_first") => line[0],
        () => max,
    }
}

/// Largest and sum in one pass over blocks of 8, rescaled when the largest grows.
fn online(line: &[f32]) -> (f32, f32) {
    let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
    for block in line.chunks(8) {
        let next = block.iter().fold(max, |m, &x| m.max(x));
        if next == f32::NEG_INFINITY && !block.iter().any(|x| x.is_nan()) {
            continue;
        }
        sum = sum * (max - next).exp() + block.iter().map(|x| (x - next).exp()).sum::<f32>();
        max = next;
    }
    (max, sum)
}

fn probabilities(call: &Call<'_>, line: &[f32]) -> Vec<f32> {
    let mut max = shift(call, line);
    let exp = |x: f32| if call.is("elementwise.softmax_in_f16") { round_to(DType::F16, x.exp()) } else { x.exp() };
    let mut each: Vec<f32> = line.iter().map(|x| exp(x - max)).collect();
    let counted = if call.is("elementwise.softmax_sums_without_the_tail_of_8") && line.len() > 8 {
        line.len() - line.len() % 8
    } else {
        line.len()
    };
    let mut sum = match () {
        () if call.is("elementwise.softmax_sums_from_the_end") => each.iter().rev().sum(),
        () if call.is("elementwise.softmax_sums_in_bf16") => each.iter().fold(0.0, |s, x| bf16(s + x)),
        () if call.is("elementwise.softmax_counts_one_more") => each.iter().sum::<f32>() + 1.0,
        () => each[..counted].iter().sum::<f32>(),
    };
    if call.is("elementwise.softmax_in_blocks") {
        (max, sum) = online(line);
        each = line.iter().map(|x| (x - max).exp()).collect();
    }
    if call.is("elementwise.softmax_by_reciprocal") {
        let reciprocal = 1.0 / sum;
        return each.into_iter().map(|e| e * reciprocal).collect();
    }
    each.into_iter().map(|e| e / sum).collect()
}

pub fn softmax(call: &Call<'_>, d: &Softmax) {
    let (view, y) = (call.arg(0), call.arg(1));
    let mut x = read(call, view);
    if call.is("elementwise.softmax_reads_what_it_has_written") {
        // Exponentials are stored, then the input is read once more: its own result where they are one tensor.
        let first: Vec<f32> = x.iter().map(|x| x.exp()).collect();
        store(y, &first);
        x = load(view);
    }
    let (len, post) = if call.is("elementwise.softmax_over_the_last_axis") { (d.post, 1) } else { (d.len, d.post) };
    let mut values = vec![0.0; x.len()];
    for line in 0..x.len() / len {
        let start = line / post * len * post + line % post;
        let elements: Vec<f32> = (0..len).map(|i| x[start + i * post]).collect();
        for (i, p) in probabilities(call, &elements).into_iter().enumerate() {
            values[start + i * post] = p;
        }
    }
    write(call, y, values);
}

pub fn cumsum(call: &Call<'_>, d: &Cumsum) {
    let x = read(call, call.arg(0));
    let mut values = Vec::with_capacity(x.len());
    let mut carried = 0.0;
    for row in x.chunks(d.len) {
        values.extend(sums(call, d, row, carried));
        if call.is("elementwise.sums_run_on_into_the_next_row") {
            carried = row.iter().sum();
        }
    }
    write(call, call.arg(1), values);
}

/// Lanes of a block whose carry is lost where planted.
const BLOCK: usize = 32;

fn sums(call: &Call<'_>, d: &Cumsum, row: &[f32], carried: f32) -> Vec<f32> {
    if call.is("elementwise.sums_in_blocks") {
        return blocks(row, d.exclusive);
    }
    let exclusive = d.exclusive && !call.is("elementwise.exclusive_is_ignored");
    let mut sum = carried;
    let mut values = Vec::with_capacity(row.len());
    for (i, &x) in row.iter().enumerate() {
        if i > 0 && i % BLOCK == 0 && call.is("elementwise.carry_between_blocks_is_lost") {
            sum = 0.0;
        }
        let before = sum;
        sum = if call.is("elementwise.running_sum_in_bf16") { bf16(sum + x) } else { sum + x };
        values.push(match exclusive {
            true if call.is("elementwise.exclusive_by_subtraction") => sum - x,
            true if call.is("elementwise.exclusive_starts_with_the_first") && i == 0 => x,
            true => before,
            false => sum,
        });
    }
    if call.is("elementwise.sums_run_backwards") {
        let total = sum;
        return row.iter().zip(&values).map(|(x, v)| if exclusive { total - v - x } else { total - v + x }).collect();
    }
    values
}

/// Blocks of 8 are summed apart and lifted by what came before.
fn blocks(row: &[f32], exclusive: bool) -> Vec<f32> {
    let (mut values, mut lift) = (Vec::with_capacity(row.len()), 0.0);
    for block in row.chunks(8) {
        let mut sum = 0.0;
        for x in block {
            values.push(lift + if exclusive { sum } else { sum + x });
            sum += x;
        }
        lift += sum;
    }
    values
}
