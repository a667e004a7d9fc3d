//! What the block tests of the attention family do not see: absent pages, the state itself, the indexer's format.

use crate::ops::cache::stored::Stored;
use crate::ops::cache::testing::{Array, Seed, run};
use omnihal::op::compress::Update;
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{DType, RowFormat};

const WIDTH: usize = 32;
const COLUMNS: usize = 2 * WIDTH;

/// Rows of one sequence from position 0, windows of 4, with the given page table of pages of 2 entries.
struct Case {
    rows: usize,
    ring: usize,
    pages: [i32; 3],
    quant: RowQuant,
    format: RowFormat,
}

/// Projections, biases, state and pool after the run.
fn run_case(case: &Case, threads: usize) -> (Vec<f32>, Vec<f32>, Array, Array) {
    let (capacity, closings) = (16, 7);
    let mut seed = Seed::of("compress");
    let proj = Array::random(DType::F32, [capacity, COLUMNS], 7, &mut seed);
    let ape = Array::random(DType::F32, [4, COLUMNS], 0, &mut seed);
    let norm = Array::random(DType::BF16, [WIDTH], 0, &mut seed);
    let rope = Array::random(DType::F32, [capacity, 8], 0, &mut seed);
    let (dtype, len) = case.format.row(WIDTH, 8);
    let (state, pool) = (Array::garbage(DType::F32, [3, case.ring, COLUMNS]), Array::garbage(dtype, [6, 2, len]));
    let toks: Vec<i32> =
        (0..capacity).flat_map(|t| if t < case.rows { [t as i32, 2, 0, 0] } else { [-1; 4] }).collect();
    let close: Vec<i32> = (0..closings).flat_map(|j| if j < case.rows / 4 { [0, j as i32] } else { [-1; 2] }).collect();
    let (pt, toks) = (Array::indices([1, 3], &case.pages), Array::indices([capacity, 4], &toks));
    let (seqs, close) = (Array::indices([1, 4], &[2, 0, 0, case.rows as i32]), Array::indices([closings, 2], &close));
    let op = Update {
        rows: capacity,
        seqs: 1,
        closings,
        ratio: 4,
        overlap: false,
        width: WIDTH,
        rotary: 8,
        positions: capacity,
        ring: case.ring,
        slots: 3,
        eps: 1e-6,
        hadamard: true,
        quant: case.quant,
        pages: PageSpace { pages: 6, entries: 2, table: 3 },
        format: case.format,
        weight: DType::BF16,
        act: DType::BF16,
    };
    let views = [&proj, &ape, &norm, &rope, &state, &pool, &pt, &toks, &seqs, &close].map(|a| Some(a.view()));
    run(threads, op, &views);
    (proj.values(), ape.values(), state, pool)
}

fn entry(pool: &Array, format: RowFormat, page: usize, inner: usize) -> Vec<f32> {
    let mut row = vec![0.0; WIDTH];
    // SAFETY: page and place lie in the pool of `run_case`.
    unsafe { Stored::new(&pool.view(), format, WIDTH, 8).load(page, inner, &mut row, crate::simd::kernels()) };
    row
}

#[test]
fn entries_without_a_page_are_dropped_and_nothing_else_is_touched() {
    let format = RowFormat::Plain(DType::F32);
    let case = Case { rows: 15, ring: 8, pages: [4, 0, 5], quant: RowQuant::None, format };
    let (.., pool) = run_case(&case, 2);
    // Entries 0, 1 and 2: the third has no page.
    assert!(entry(&pool, format, 4, 0).iter().chain(&entry(&pool, format, 4, 1)).all(|v| v.is_finite()));
    for (page, inner) in [(0, 0), (0, 1), (1, 0), (2, 1), (3, 0), (5, 0), (5, 1)] {
        assert!(entry(&pool, format, page, inner).iter().all(|v| v.is_nan()), "page {page} row {inner}");
    }
}

#[test]
fn the_state_keeps_biased_projections_of_the_last_rows() {
    let format = RowFormat::Plain(DType::F32);
    for rows in [3, 8, 15] {
        let case = Case { rows, ring: 8, pages: [4, 2, 5], quant: RowQuant::None, format };
        let (proj, ape, state, _) = run_case(&case, 3);
        let state = state.values();
        assert!(state[..2 * 8 * COLUMNS].iter().all(|v| v.is_nan()), "slots 0 and 1");
        for place in 0..8 {
            let found = &state[(2 * 8 + place) * COLUMNS..][..COLUMNS];
            let Some(t) = (0..rows).rev().find(|t| t % 8 == place) else {
                assert!(found.iter().all(|v| v.is_nan()));
                continue;
            };
            let sum = |c: usize| proj[t * COLUMNS + c] + ape[t % 4 * COLUMNS + c];
            assert!(found.iter().enumerate().all(|(c, &v)| v == sum(c)), "{rows} rows, place {place}");
        }
    }
}

#[test]
fn indexer_keys_lie_on_the_e2m1_grid_and_packing_loses_nothing() {
    let case = |format| Case { rows: 16, ring: 8, pages: [4, 2, 5], quant: RowQuant::F4All, format };
    let plain = RowFormat::Plain(DType::BF16);
    let (.., wide) = run_case(&case(plain), 1);
    for threads in 1..=3 {
        let (.., packed) = run_case(&case(RowFormat::F4), threads);
        for (page, inner) in [(4, 0), (4, 1), (2, 0), (2, 1)] {
            let row = entry(&wide, plain, page, inner);
            assert_eq!(row, entry(&packed, RowFormat::F4, page, inner));
            let amax = row.iter().fold(0f32, |m, v| m.max(v.abs()));
            let scale = (amax / 6.0).log2().ceil().exp2();
            let grid = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
            assert!(row.iter().all(|v| grid.contains(&(v.abs() / scale))), "{row:?}");
        }
    }
}

#[test]
fn a_packed_pool_is_refused_without_the_rounding_that_makes_it_exact() {
    let device = crate::CpuBackend::open_with(1).unwrap();
    let pages = PageSpace { pages: 6, entries: 2, table: 3 };
    let op = Update {
        rows: 4,
        seqs: 1,
        closings: 1,
        ratio: 4,
        overlap: false,
        width: 64,
        rotary: 2,
        positions: 4,
        ring: 4,
        slots: 3,
        eps: 1e-6,
        hadamard: false,
        quant: RowQuant::None,
        pages,
        format: RowFormat::F4,
        weight: DType::F32,
        act: DType::F32,
    };
    assert!(device.plan(&op.into()).is_err());
    assert!(device.plan(&Update { quant: RowQuant::F4All, ..op }.into()).is_ok());
}
