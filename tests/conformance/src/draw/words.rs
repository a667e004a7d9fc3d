//! Integers of a case: columns of its step, and indices.

use super::ratio_of;
use crate::case::{Case, Data};
use crate::random::Random;
use omnihal::op::ArgType;
use omnihal::{Column, Op, Shape, StepColumns};

fn bytes(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// An integer argument: a column of the step, or indices.
pub(super) fn words(case: &Case, arg: &ArgType, table: Option<&StepColumns>, random: &mut Random) -> Vec<u8> {
    let column = table.and_then(|table| column(&case.op, arg.name, table, arg.shape));
    let words = column.unwrap_or_else(|| indices(&case.op, arg, case.data == Data::Near, random));
    bytes(&words)
}

fn column(op: &Op, name: &str, table: &StepColumns, shape: Shape) -> Option<Vec<i32>> {
    let ratio = ratio_of(op) as u32;
    let column = match name {
        "toks" => Column::Toks,
        "seqs" => Column::Seqs,
        "out" => Column::Out,
        "pt" if ratio > 0 => Column::PageTable(ratio),
        "close" => Column::Close(ratio),
        _ => return None,
    };
    table.column(column).map(<[i32]>::to_vec).filter(|w| w.len() == shape.elements())
}

/// Indices: in range, and absent ones where they are legal.
fn indices(op: &Op, arg: &ArgType, near: bool, random: &mut Random) -> Vec<i32> {
    let (n, name) = (arg.shape.elements(), arg.name);
    let mut some = |first: i32, span: usize| (0..n).map(|_| first + random.below(span) as i32).collect::<Vec<_>>();
    match (op, name) {
        (Op::EmbedLookup(d), _) => some(0, d.vocab),
        (Op::EmbedIds(_), _) | (Op::SamplePick(_), _) => {
            let mut last = some(0, 9);
            // The null slot, all zero.
            last[..n / arg.shape[0]].fill(0);
            last
        }
        (Op::GemmGrouped(d), _) => counts(d.rows, n, random),
        (Op::MoeGroup(d), _) => some(d.first as i32 - 1, d.local + 2),
        (Op::MoeExperts(d), _) => {
            let mut idx = distinct(n / d.choices, d.choices, d.first as i32 - 1, d.local + 2, random);
            if d.choices > 1 {
                // An expert that is listed twice counts twice.
                idx[1] = idx[0];
            }
            idx
        }
        (Op::MoeRoute(d), "table") => distinct(n / d.choices, d.choices, 0, d.experts, random),
        (Op::MoeRoute(_), _) => some(0, 7),
        (Op::CacheRows(d), "pt") => some(0, 3 * d.table),
        (Op::CacheRows(d), "which") => some(0, d.tables),
        (Op::CacheRows(d), _) => some(-2, d.table * d.entries + 4),
        (Op::CacheCopyRows(_), name) if !matches!(name, "from" | "to") => some(i32::MIN / 2, i32::MAX as usize),
        (Op::CacheCopyRows(d), _) => from_and_to(d.rows, d.count, name, random),
        (Op::AttentionSparse(d), _) => listed(n, arg.shape[1], d.pages.capacity(), random),
        (Op::Gather(_) | Op::Take(_) | Op::Scatter(_), name) if name != "idx" => some(i32::MIN / 2, i32::MAX as usize),
        (Op::Copy(_) | Op::Concat(_), _) => some(i32::MIN / 2, i32::MAX as usize),
        // Beyond 2^24, where numbers next to each other are one number in F32.
        (Op::Where(_), _) if near => some(i32::MAX - 3, 3),
        (Op::Unary(_), _) => some(-20, 41),
        (Op::Gather(d), _) => some(if d.trusted { 0 } else { -2 }, if d.trusted { d.rows } else { d.rows + 4 }),
        (Op::Take(d), _) => some(-2, d.width + 4),
        (Op::Scatter(d), _) => scattered(d.rows, n, d.trusted, random),
        _ => some(0, 3),
    }
}

/// Group sizes, empty ones among them, whose sum leaves some rows in no group now and then.
fn counts(rows: usize, groups: usize, random: &mut Random) -> Vec<i32> {
    let mut left = rows;
    let mut take = |g: usize| {
        let count = if g + 1 == groups { left } else { 1 + random.below(left.max(1)) }.min(left);
        let count = if g > 0 && random.below(4) == 0 { count / 2 } else { count };
        left -= count;
        count as i32
    };
    (0..groups).map(&mut take).collect()
}

/// Rows of `choices` different numbers from `first..first + span`, or with repeats where there are too few.
fn distinct(rows: usize, choices: usize, first: i32, span: usize, random: &mut Random) -> Vec<i32> {
    let mut all = Vec::with_capacity(rows * choices);
    for _ in 0..rows {
        let start = random.below(span);
        let step = [1, 3, 5, 7][random.below(4)];
        let step = if span % step == 0 { 1 } else { step };
        all.extend((0..choices).map(|c| first + ((start + c * step) % span) as i32));
    }
    all
}

/// Disjoint rows to read and to write; a skipped copy among them.
fn from_and_to(rows: usize, count: usize, name: &str, random: &mut Random) -> Vec<i32> {
    // Even rows are read, odd rows are written, each at most once.
    let pairs = rows / 2;
    let start = random.below(pairs.max(1));
    let mut list: Vec<i32> = match name {
        "from" => (0..count).map(|i| 2 * ((start + i) % pairs) as i32).collect(),
        _ => (0..count).map(|i| 2 * ((i + 1) % pairs) as i32 + 1).collect(),
    };
    if count > 2 {
        // Absent on one side only: nothing is copied.
        list[if name == "from" { count / 2 } else { count - 1 }] = -1;
    }
    list
}

/// Ascending entries with absent ones behind, as the indexer gives them; some are not visible yet.
fn listed(n: usize, keep: usize, capacity: usize, random: &mut Random) -> Vec<i32> {
    let mut all = Vec::with_capacity(n);
    for _ in 0..n / keep {
        let mut next = 0;
        let mut row: Vec<i32> = (0..keep)
            .map(|_| {
                next += 1 + random.below(2);
                if next <= capacity { next as i32 - 1 } else { -1 }
            })
            .collect();
        let absent = random.below(keep);
        row[keep - absent..].fill(-1);
        if keep - absent > 2 {
            // Repeated: it counts once.
            row[2] = row[1];
        }
        all.extend(row);
    }
    all
}

/// Rows to write, each once, some absent.
fn scattered(rows: usize, n: usize, trusted: bool, random: &mut Random) -> Vec<i32> {
    let start = random.below(rows);
    let place = |i: usize| match (trusted, i % 5) {
        (false, 2) => -1,
        (false, 4) => rows as i32 + 1,
        _ => ((start + rows - 1 - i % rows) % rows) as i32,
    };
    (0..n).map(|i| if i < rows { place(i) } else { -1 }).collect()
}
