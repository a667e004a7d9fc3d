//! Whole blocks of state against plain f64 code, and the same bits for any chunking, neighbours, capacity and number of threads.

mod block;
mod latent;
mod plain;

use block::{Block, Feed};
use omnihal::op::RowQuant;
use omnihal::op::attention::Entries;
use omnihal::{DType, RowFormat};

const WHOLE: &[usize] = &[23];
const ODD: &[usize] = &[1, 4, 2, 7, 3, 5, 1];
const ONES: &[usize] = &[1; 23];

fn blocks() -> Vec<Block> {
    let base = Block {
        heads: 3,
        head: 20,
        rotary: 6,
        window: 5,
        ratio: 3,
        overlap: true,
        entries: Entries::All,
        quant: RowQuant::None,
        format: RowFormat::Plain(DType::F32),
        act: DType::F32,
    };
    let bf16 = RowFormat::Plain(DType::BF16);
    vec![
        base,
        Block { overlap: false, ratio: 7, heads: 5, head: 72, rotary: 8, ..base },
        Block { entries: Entries::None, window: 30, ..base },
        Block { entries: Entries::Listed(4), ratio: 2, heads: 4, head: 16, ..base },
        Block { format: bf16, act: DType::BF16, head: 80, rotary: 16, ..base },
        Block { format: bf16, act: DType::BF16, entries: Entries::Listed(3), heads: 9, head: 33, rotary: 2, ..base },
        Block { quant: RowQuant::F8Nope, format: bf16, act: DType::BF16, head: 72, rotary: 8, ..base },
        Block { quant: RowQuant::F8Nope, format: RowFormat::F8R, act: DType::BF16, head: 72, rotary: 8, ..base },
    ]
}

#[test]
fn a_sequence_attends_like_plain_code_over_its_whole_history() {
    for (number, block) in blocks().into_iter().enumerate() {
        let name = format!("plain {number}");
        let found = block.feed(&name, &Feed { chunks: ODD, threads: 2, rows: 9, table: 4, neighbour: false });
        // Probabilities carry 8 bits in BF16, entries and results too. Where a rounding border lies between f32 and f64, an E4M3
        // code of one channel moves by a step of 1/16 of its value.
        let limit = if block.act == DType::F32 { 3e-6 } else { 0.03 };
        super::super::cache::testing::assert_near(&found.outputs(), &block.expected(&name), limit);
    }
}

#[test]
fn bits_do_not_depend_on_chunks_neighbours_capacity_or_threads() {
    for (number, block) in blocks().into_iter().enumerate() {
        let name = format!("bits {number}");
        let first = block.feed(&name, &Feed { chunks: WHOLE, threads: 1, rows: 23, table: 4, neighbour: false });
        let others = [
            Feed { chunks: WHOLE, threads: 3, rows: 40, table: 7, neighbour: true },
            Feed { chunks: ODD, threads: 1, rows: 12, table: 4, neighbour: false },
            Feed { chunks: ODD, threads: 2, rows: 31, table: 5, neighbour: true },
            Feed { chunks: ONES, threads: 1, rows: 1, table: 4, neighbour: false },
            Feed { chunks: ONES, threads: 3, rows: 5, table: 6, neighbour: true },
        ];
        for feed in &others {
            let found = block.feed(&name, feed);
            assert!(first.bits() == found.bits(), "block {number}, {feed:?}");
            assert!(first.pool == found.pool, "pool of block {number}, {feed:?}");
        }
    }
}

#[test]
fn a_packed_cache_gives_the_bits_of_a_bf16_cache() {
    let all = blocks();
    let feed = Feed { chunks: ODD, threads: 2, rows: 12, table: 4, neighbour: false };
    let [plain, packed] = [&all[6], &all[7]].map(|block| block.feed("packed", &feed).bits());
    assert!(plain == packed);
}
