//! embed.lookup, embed.ids.

use super::{ACTS, List};
use crate::batch;
use crate::case::{Data, Layout};
use omnihal::op::embed::{Ids, Lookup};

pub(super) fn add(list: &mut List) {
    for table in ACTS {
        for act in ACTS {
            for (rows, vocab, width, copies) in [(1, 2, 1, 1), (5, 11, 13, 4), (3, 130, 64, 2)] {
                list.plain(Lookup { rows, vocab, width, copies, table, act });
            }
            let small = Lookup { rows: 6, vocab: 9, width: 40, copies: 4, table, act };
            // Ids that 16 bits do not hold.
            list.add(
                Lookup { rows: 9, vocab: 70_000, width: 2, copies: 1, table, act },
                Data::Normal,
                Layout::Dense,
                None,
                table == act,
            );
            list.add(small, Data::Small, Layout::Apart, None, true);
            list.add(small, Data::Wide, Layout::Shifted, None, false);
            // Flash and Pro: hidden size, streams.
            for width in [4096, 7168] {
                list.add(
                    Lookup { rows: 3, vocab: 37, width, copies: 4, table, act },
                    Data::Normal,
                    Layout::Dense,
                    None,
                    false,
                );
            }
        }
    }
    for step in [&batch::MIXED, &batch::DECODE, &batch::CHUNK, &batch::FRESH, &batch::ALONE, &batch::EMPTY] {
        for drafts in [0, 1] {
            list.step(Ids { rows: step.rows, slots: step.geometry.slots, drafts }, Data::Normal, step, true);
        }
    }
}
