//! indexer.query, select.

use super::{ACTS, List};
use crate::batch::{self, Batch};
use crate::case::{Data, Layout};
use omnihal::op::RowQuant;
use omnihal::op::indexer::{Query, Select};
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
    for act in ACTS {
        for step in STEPS {
            for (hadamard, quant) in [(false, RowQuant::None), (true, RowQuant::F4All), (true, RowQuant::None)] {
                list.step(query(step, (2, 32, 8), hadamard, quant, act), Data::Normal, step, true);
            }
            for keep in [1, 2, 6] {
                list.step(select(step, (2, 32, 8), keep, RowFormat::Plain(act), act), Data::Normal, step, true);
            }
            list.step(select(step, (4, 64, 16), 3, RowFormat::F4, act), Data::Normal, step, true);
        }
        let (decode, chunk) = (&batch::DECODE, &batch::CHUNK);
        list.add(query(decode, (3, 64, 64), true, RowQuant::F4All, act), Data::Wide, Layout::Apart, Some(decode), true);
        list.step(query(chunk, (1, 128, 64), true, RowQuant::None, act), Data::Small, chunk, true);
        list.step(query(chunk, (2, 64, 16), false, RowQuant::F4All, act), Data::Peaks, chunk, true);
        list.add(query(chunk, (2, 32, 8), true, RowQuant::None, act), Data::Nan, Layout::Apart, Some(chunk), true);
        let page = &batch::PAGE;
        for data in [Data::Whole, Data::Nan, Data::Zero] {
            list.step(select(page, (2, 32, 8), 3, RowFormat::Plain(act), act), data, page, true);
        }
        // Every visible entry is kept: one that should be absent cannot hide behind better ones.
        let all = page.geometry.pages.capacity();
        list.step(select(page, (2, 32, 8), all, RowFormat::Plain(act), act), Data::Whole, page, true);
        // Many ties, and scores of 0 where no head is positive.
        list.step(select(decode, (2, 32, 8), 4, RowFormat::Plain(act), act), Data::Whole, decode, true);
        list.add(
            select(decode, (3, 48, 8), 5, RowFormat::Plain(act), act),
            Data::Wide,
            Layout::Apart,
            Some(decode),
            true,
        );
        for step in [&batch::RELEASED_DECODE, &batch::RELEASED_CHUNK] {
            list.step(query(step, (64, 128, 64), true, RowQuant::F4All, act), Data::Normal, step, false);
            list.step(select(step, (64, 128, 64), 64, RowFormat::Plain(act), act), Data::Normal, step, false);
            list.step(select(step, (64, 128, 64), 64, RowFormat::F4, act), Data::Normal, step, false);
        }
    }
}

type Heads = (usize, usize, usize);

fn query(step: &Batch, (heads, width, rotary): Heads, hadamard: bool, quant: RowQuant, act: DType) -> Query {
    Query { rows: step.rows, heads, width, rotary, positions: step.geometry.positions, hadamard, quant, act }
}

fn select(step: &Batch, (heads, width, rotary): Heads, keep: usize, format: RowFormat, act: DType) -> Select {
    let (rows, seqs, pages, ratio) = (step.rows, step.seqs, step.geometry.pages, step.geometry.spaces[0].0);
    Select { rows, seqs, heads, width, rotary, keep, ratio, pages, format, act, with_scores: true }
}
