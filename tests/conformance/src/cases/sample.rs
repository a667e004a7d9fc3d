//! sample.topk, pick.

use super::List;
use crate::batch;
use crate::case::{Data, Layout};
use omnihal::op::sample::{Pick, TopK};

pub(super) fn add(list: &mut List) {
    for (rows, width, keep) in [(1, 1, 1), (4, 50, 7), (4, 50, 50), (3, 257, 8), (2, 1025, 64), (5, 33, 1)] {
        for largest in [true, false] {
            for data in [Data::Normal, Data::Whole, Data::Special, Data::Small] {
                let d = TopK { rows, width, keep, largest, sorted: true };
                list.add(d, data, Layout::Dense, None, largest || keep == 7);
            }
            list.add(TopK { rows, width, keep, largest, sorted: true }, Data::Whole, Layout::Apart, None, false);
        }
    }
    // The indexer's and the router's choices at the released models' sizes.
    for (width, keep) in [(4096, 512), (4096, 1024), (256, 6), (384, 6)] {
        list.add(TopK { rows: 2, width, keep, largest: true, sorted: true }, Data::Normal, Layout::Dense, None, false);
    }
    for step in [&batch::MIXED, &batch::DECODE, &batch::FRESH, &batch::ALONE] {
        for (vocab, candidates) in [(50, 8), (300, 64), (17, 17)] {
            for penalties in [false, true] {
                let (wanted, rows, slots) = (step.wanted, step.rows, step.geometry.slots);
                let d = Pick { wanted, vocab, candidates, rows, slots, drafts: 1, penalties };
                list.step(d, Data::Normal, step, vocab < 300);
                list.step(d, Data::Whole, step, false);
            }
        }
    }
}
