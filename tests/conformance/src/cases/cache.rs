//! cache.rows, store, copy_rows.

use super::{ACTS, List};
use crate::batch::{self, Batch};
use crate::case::{Data, Layout};
use omnihal::op::cache::{CopyRows, Rows, Store};
use omnihal::{DType, RowFormat};

const STEPS: [&Batch; 9] = [
    &batch::MIXED,
    &batch::DECODE,
    &batch::CHUNK,
    &batch::BORDER,
    &batch::WRAP,
    &batch::PAGE,
    &batch::FRESH,
    &batch::ALONE,
    &batch::EMPTY,
];

pub(super) fn add(list: &mut List) {
    for (rows, count, tables, table, entries) in [(4, 9, 2, 3, 4), (1, 1, 1, 1, 1), (7, 33, 5, 6, 32), (3, 64, 3, 4, 7)]
    {
        list.plain(Rows { rows, count, tables, table, entries });
        list.add(Rows { rows, count, tables, table, entries }, Data::Normal, Layout::Apart, None, true);
    }
    for (rows, width, count, dtype) in [
        (8, 12, 3, DType::F32),
        (10, 1, 5, DType::F32),
        (6, 130, 2, DType::BF16),
        (12, 584, 4, DType::U8),
        (6, 33, 1, DType::I32),
    ] {
        list.add(CopyRows { rows, width, count, dtype }, Data::Small, Layout::Dense, None, true);
        list.plain(CopyRows { rows, width, count, dtype });
    }
    for act in ACTS {
        for step in STEPS {
            list.step(store(step, 96, 32, RowFormat::Plain(act), act), Data::Normal, step, true);
            list.step(store(step, 192, 64, RowFormat::F8R, act), Data::Normal, step, true);
        }
        let d = store(&batch::MIXED, 33, 8, RowFormat::Plain(act), act);
        list.add(d, Data::Small, Layout::Apart, Some(&batch::MIXED), true);
        for format in [RowFormat::Plain(act), RowFormat::F8R] {
            for step in [&batch::RELEASED_DECODE, &batch::RELEASED_CHUNK] {
                list.step(store(step, 512, 64, format, act), Data::Normal, step, false);
            }
        }
    }
}

fn store(step: &Batch, width: usize, rotary: usize, format: RowFormat, act: DType) -> Store {
    let (rows, seqs, ring, slots) = (step.rows, step.seqs, step.geometry.ring, step.geometry.slots);
    Store { rows, seqs, width, rotary, ring, slots, format, act }
}
