//! attention.latent, query, sparse.

use super::{ACTS, EPS, List};
use crate::batch::{self, Batch};
use crate::case::{Data, Layout};
use omnihal::op::RowQuant;
use omnihal::op::attention::{Entries, Latent, Query, Sparse};
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
            let wide = if step.name == "chunk" { Data::Wide } else { Data::Normal };
            for quant in [RowQuant::None, RowQuant::F8Nope] {
                list.step(latent(step, (20, 96, 32), quant, DType::BF16, act), wide, step, true);
            }
            list.step(query(step, (3, 96, 32), act), wide, step, true);
            for (entries, ratio) in [(Entries::None, 0), (Entries::Listed(3), 4), (Entries::All, 8), (Entries::All, 4)]
            {
                list.step(
                    sparse(step, (3, 96, 32), (entries, ratio), RowFormat::Plain(act), act),
                    Data::Normal,
                    step,
                    true,
                );
            }
            list.step(
                sparse(step, (2, 192, 64), (Entries::Listed(5), 4), RowFormat::F8R, act),
                Data::Normal,
                step,
                true,
            );
        }
        edges(list, act);
        released(list, act);
    }
}

fn edges(list: &mut List, act: DType) {
    let step = &batch::MIXED;
    list.add(latent(step, (7, 64, 2), RowQuant::None, DType::F32, act), Data::Normal, Layout::Apart, Some(step), true);
    list.add(
        latent(step, (33, 160, 32), RowQuant::F8Nope, DType::F32, act),
        Data::Small,
        Layout::Dense,
        Some(step),
        true,
    );
    list.add(
        latent(step, (20, 320, 64), RowQuant::F8Nope, DType::BF16, act),
        Data::Groups,
        Layout::Dense,
        Some(step),
        true,
    );
    list.add(latent(step, (20, 96, 32), RowQuant::None, DType::BF16, act), Data::Zero, Layout::Dense, Some(step), true);
    list.add(query(step, (5, 40, 40), act), Data::Small, Layout::Apart, Some(step), true);
    list.add(query(step, (2, 40, 8), act), Data::Nan, Layout::Dense, Some(step), true);
    let plain = RowFormat::Plain(act);
    for (sizes, entries, data, layout) in [
        // Logits far apart: the largest must be subtracted, the sink's included.
        ((4, 64, 16), (Entries::Listed(8), 4), Data::Wide, Layout::Dense),
        ((1, 32, 32), (Entries::Listed(1), 4), Data::Normal, Layout::Dense),
        ((9, 48, 8), (Entries::All, 4), Data::Whole, Layout::Apart),
        ((2, 66, 2), (Entries::None, 0), Data::Small, Layout::Shifted),
    ] {
        list.add(sparse(step, sizes, entries, plain, act), data, layout, Some(step), true);
    }
    for page in [&batch::PAGE, &batch::DECODE] {
        // A page that is absent, entries that are listed twice, and what no row may see spoilt by NaN.
        for data in [Data::Whole, Data::Nan] {
            list.step(sparse(page, (3, 64, 24), (Entries::Listed(6), 4), plain, act), data, page, true);
            list.step(sparse(page, (3, 64, 24), (Entries::All, 4), plain, act), data, page, true);
        }
    }
    let forward = Sparse { inverse: false, scale: 1.0, ..sparse(step, (3, 64, 24), (Entries::All, 8), plain, act) };
    list.step(forward, Data::Normal, step, true);
}

fn released(list: &mut List, act: DType) {
    for step in [&batch::RELEASED_DECODE, &batch::RELEASED_CHUNK] {
        list.step(latent(step, (1024, 512, 64), RowQuant::F8Nope, DType::BF16, act), Data::Normal, step, false);
        list.step(query(step, (64, 512, 64), act), Data::Normal, step, false);
        for entries in [(Entries::None, 0), (Entries::Listed(64), 4), (Entries::All, 128)] {
            for format in [RowFormat::Plain(act), RowFormat::F8R] {
                list.step(sparse(step, (16, 512, 64), entries, format, act), Data::Normal, step, false);
            }
        }
    }
}

type Head = (usize, usize, usize);

fn latent(step: &Batch, (q_lora, head, rotary): Head, quant: RowQuant, weight: DType, act: DType) -> Latent {
    let positions = step.geometry.positions;
    Latent { rows: step.rows, q_lora, head, rotary, positions, eps: EPS, quant, weight, act }
}

fn query(step: &Batch, (heads, head, rotary): Head, act: DType) -> Query {
    Query { rows: step.rows, heads, head, rotary, positions: step.geometry.positions, eps: EPS, act }
}

fn sparse(
    step: &Batch,
    (heads, head, rotary): Head,
    (entries, ratio): (Entries, usize),
    format: RowFormat,
    act: DType,
) -> Sparse {
    let g = step.geometry;
    Sparse {
        rows: step.rows,
        seqs: step.seqs,
        heads,
        head,
        rotary,
        positions: g.positions,
        window: g.window,
        // The released models scale by head^-1/2.
        scale: (head as f32).sqrt().recip(),
        entries,
        ratio,
        pages: g.pages,
        ring: g.ring,
        slots: g.slots,
        format,
        inverse: true,
        act,
    }
}
