//! Packed rows give what plain rows of the same values give.

use super::{noisy, rope_table};
use crate::num::{Num, qdq};
use crate::rows::pack;
use crate::testing::{Bench, get, noise};
use omnihal::op::attention::{Entries, Sparse};
use omnihal::op::cache::Store;
use omnihal::op::indexer::Select;
use omnihal::op::{PageSpace, QuantKind};
use omnihal::{DType, RowFormat, View};

const HEAD: usize = 72;
const ROTARY: usize = 8;
const PAGES: PageSpace = PageSpace { pages: 4, entries: 2, table: 2 };

/// Rows whose first channels lie on the code grid and whose others are BF16.
fn grid_rows(name: &str, rows: usize, width: usize, rotary: usize, group: usize, kind: QuantKind) -> Vec<f64> {
    let row = |row: &[f64]| -> Vec<f64> {
        let codes: Vec<Num> = row[..width - rotary].iter().map(|&x| Num::exact(x)).collect();
        let rotated = row[width - rotary..].iter().map(|&x| crate::format::round(DType::BF16, x));
        codes.chunks(group).flat_map(|g| qdq(g, kind)).map(|x| x.v).chain(rotated).collect()
    };
    noise(name, rows * width).chunks(width).flat_map(row).collect()
}

fn stored(bench: &mut Bench, format: RowFormat, shape: [usize; 2], width: usize, rotary: usize, rows: &[f64]) -> View {
    let (dtype, len) = format.row(width, rotary);
    let packed: Vec<f64> = rows.chunks(width).flat_map(|row| pack(format, row, rotary)).collect();
    bench.put(dtype, [shape[0], shape[1], len], &packed)
}

#[test]
fn attention_and_store_treat_f8_rows_as_the_values_they_hold() {
    let grid = |name: &str, rows: usize| grid_rows(name, rows, HEAD, ROTARY, 64, QuantKind::F8E4M3);
    let mut results = Vec::new();
    for format in [RowFormat::Plain(DType::BF16), RowFormat::F8R] {
        let mut bench = Bench::new();
        let q = noisy(&mut bench, DType::BF16, &[1, 2, HEAD], "packed q");
        let kv = bench.put(DType::BF16, [1, HEAD], &grid("packed kv", 1));
        let ring = stored(&mut bench, format, [3, 2], HEAD, ROTARY, &grid("packed ring", 6));
        let pool = stored(&mut bench, format, [4, 2], HEAD, ROTARY, &grid("packed pool", 8));
        let (pt, idx) = (bench.ints([1, 2], &[2, 3]), bench.ints([1, 3], &[0, 1, -1]));
        let sink = bench.put(DType::F32, [2], &[0.0, 1.0]);
        let rope = rope_table(&mut bench, 4, ROTARY);
        let (toks, seqs) = (bench.ints([1, 4], &[3, 2, 0, 1]), bench.ints([1, 4], &[2, 3, 0, 1]));
        let o = bench.empty(DType::BF16, [1, 2, HEAD]);
        let d = Sparse {
            rows: 1,
            seqs: 1,
            heads: 2,
            head: HEAD,
            rotary: ROTARY,
            positions: 4,
            window: 2,
            scale: 0.1,
            entries: Entries::Listed(3),
            ratio: 2,
            pages: PAGES,
            ring: 2,
            slots: 3,
            format,
            inverse: true,
            act: DType::BF16,
        };
        bench.run(d, &[q, kv, ring, pool, pt, idx, sink, rope, toks, seqs, o].map(Some)).unwrap();
        let store =
            Store { rows: 1, seqs: 1, width: HEAD, rotary: ROTARY, ring: 2, slots: 3, format, act: DType::BF16 };
        bench.run(store, &[kv, ring, toks, seqs].map(Some)).unwrap();
        let len = ring.dim(2);
        let row = get(&ring)[5 * len..].to_vec();
        results.push((get(&o), crate::rows::unpack(format, &row, HEAD, ROTARY), get(&kv)));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[1].1, results[1].2);
}

#[test]
fn the_indexer_treats_f4_rows_as_the_values_they_hold() {
    let mut results = Vec::new();
    for format in [RowFormat::Plain(DType::F32), RowFormat::F4] {
        let mut bench = Bench::new();
        let keys = grid_rows("packed keys", 8, 32, 0, 32, QuantKind::F4E2M1);
        let d = Select {
            rows: 1,
            seqs: 1,
            heads: 2,
            width: 32,
            rotary: 0,
            keep: 3,
            ratio: 2,
            pages: PAGES,
            format,
            act: DType::F32,
            with_scores: true,
        };
        let (idx, scores) = (bench.empty(DType::I32, [1, 3]), bench.empty(DType::F32, [1, 3]));
        let views = [
            noisy(&mut bench, DType::F32, &[1, 2, 32], "packed qi"),
            bench.put(DType::F32, [1, 2], &[1.0, 0.5]),
            stored(&mut bench, format, [4, 2], 32, 0, &keys),
            bench.ints([1, 2], &[3, 2]),
            bench.ints([1, 4], &[7, 2, 0, 1]),
            idx,
            scores,
        ];
        bench.run(d, &views.map(Some)).unwrap();
        results.push((get(&idx), get(&scores)));
    }
    assert_eq!(results[0], results[1]);
}

#[test]
fn rows_of_broken_groups_are_refused_with_the_reason() {
    let mut bench = Bench::new();
    let store =
        Store { rows: 1, seqs: 1, width: 40, rotary: 0, ring: 1, slots: 1, format: RowFormat::F4, act: DType::F32 };
    let views = [
        bench.empty(DType::F32, [1, 40]),
        bench.empty(DType::U8, [1, 1, 21]),
        bench.ints([1, 4], &[0; 4]),
        bench.ints([1, 4], &[0; 4]),
    ];
    let error = bench.run(store, &views.map(Some)).unwrap_err();
    assert_eq!(error.kind(), omnihal::ErrorKind::Unsupported);
    assert!(error.to_string().contains("whole groups of 32"), "{error}");
}
