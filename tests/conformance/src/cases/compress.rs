//! compress.update.

use super::{ACTS, EPS, List};
use crate::batch::{self, Batch};
use crate::case::{Data, Layout};
use omnihal::op::RowQuant;
use omnihal::op::compress::Update;
use omnihal::{DType, RowFormat, SpaceShape};

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
        let plain = RowFormat::Plain(act);
        for step in STEPS {
            list.step(update(step, 0, (96, 32), RowQuant::None, plain, DType::BF16, act), Data::Normal, step, true);
            list.step(update(step, 1, (96, 32), RowQuant::F8Nope, plain, DType::F32, act), Data::Normal, step, true);
            list.step(update(step, 0, (64, 16), RowQuant::F4All, plain, DType::BF16, act), Data::Normal, step, true);
            list.step(
                update(step, 1, (96, 32), RowQuant::F8Nope, RowFormat::F8R, DType::F32, act),
                Data::Normal,
                step,
                true,
            );
            list.step(
                update(step, 0, (64, 16), RowQuant::F4All, RowFormat::F4, DType::BF16, act),
                Data::Normal,
                step,
                true,
            );
        }
        // Gates far apart: the softmax must subtract the largest.
        let d = update(&batch::BORDER, 0, (33, 8), RowQuant::None, plain, DType::F32, act);
        list.step(d, Data::Wide, &batch::BORDER, true);
        let d = update(&batch::CHUNK, 1, (17, 2), RowQuant::None, plain, DType::F32, act);
        list.step(d, Data::Whole, &batch::CHUNK, true);
        let d = update(&batch::PAGE, 0, (40, 8), RowQuant::None, plain, DType::F32, act);
        list.add(d, Data::Whole, Layout::Apart, Some(&batch::PAGE), true);
        list.step(d, Data::Zero, &batch::PAGE, true);
        let d = update(&batch::DECODE, 0, (40, 8), RowQuant::None, plain, DType::F32, act);
        list.step(d, Data::Whole, &batch::DECODE, true);
        for step in [&batch::RELEASED_DECODE, &batch::RELEASED_CHUNK] {
            for space in [0, 1] {
                list.step(
                    update(step, space, (512, 64), RowQuant::F8Nope, plain, DType::BF16, act),
                    Data::Normal,
                    step,
                    false,
                );
            }
            list.step(update(step, 0, (128, 64), RowQuant::F4All, plain, DType::BF16, act), Data::Normal, step, false);
        }
    }
}

fn update(
    step: &Batch,
    space: usize,
    (width, rotary): (usize, usize),
    quant: RowQuant,
    format: RowFormat,
    weight: DType,
    act: DType,
) -> Update {
    let g = step.geometry;
    let (ratio, overlap, ring) = g.spaces[space];
    Update {
        rows: step.rows,
        seqs: step.seqs,
        closings: SpaceShape::max_closings(ratio, step.rows, step.seqs),
        ratio,
        overlap,
        width,
        rotary,
        positions: g.positions,
        ring,
        slots: g.slots,
        eps: EPS,
        hadamard: quant == RowQuant::F4All,
        quant,
        pages: g.pages,
        format,
        weight,
        act,
    }
}
