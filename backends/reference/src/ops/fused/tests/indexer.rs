use super::{noisy, rope_table};
use crate::testing::{Bench, assert_close, get, get_ints, oracle_f32};
use omnihal::op::indexer::{Query, Select};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{DType, RowFormat, View};

/// Runs `indexer.query` on rows at position 0, where the rotation changes nothing.
fn unrotated(values: &[f64], width: usize, hadamard: bool, quant: RowQuant) -> Vec<f64> {
    let mut bench = Bench::new();
    let rows = values.len() / width;
    let q = bench.put(DType::F32, [rows, 1, width], values);
    let rope = rope_table(&mut bench, 1, 4);
    let toks = bench.ints([rows, 4], &[0, 2, 0, 1].repeat(rows));
    let d = Query { rows, heads: 1, width, rotary: 4, positions: 1, hadamard, quant, act: DType::F32 };
    bench.run(d, &[q, rope, toks].map(Some)).unwrap();
    get(&q)
}

#[test]
fn the_hadamard_product_matches_the_oracle() {
    for width in [16, 64, 128] {
        let x = oracle_f32(&format!("hadamard{width}.x")).1;
        let y = oracle_f32(&format!("hadamard{width}.y")).1;
        assert_close(&unrotated(&x, width, true, RowQuant::None), &y, 2e-6);
    }
}

#[test]
fn fp4_rounding_matches_the_oracle() {
    let (shape, x) = oracle_f32("act.x");
    assert_eq!(unrotated(&x, shape[1], false, RowQuant::F4All), oracle_f32("act.fp4_g32").1);
}

const WIDTH: usize = 4;

/// Selects with two heads for positions `pos` of a sequence whose pages are 2, 3, 4 (two entries each, ratio 2).
fn select(keys: &[[f64; WIDTH]], q: [f64; 2 * WIDTH], w: [f64; 2], pos: &[i32], keep: usize) -> (Vec<i32>, Vec<f64>) {
    let mut bench = Bench::new();
    let rows = pos.len();
    let mut pool = vec![f64::NAN; 5 * 2 * WIDTH];
    keys.iter().enumerate().for_each(|(j, key)| pool[(4 + j) * WIDTH..(5 + j) * WIDTH].copy_from_slice(key));
    let d = Select {
        rows,
        seqs: 1,
        heads: 2,
        width: WIDTH,
        rotary: 2,
        keep,
        ratio: 2,
        pages: PageSpace { pages: 5, entries: 2, table: 3 },
        format: RowFormat::Plain(DType::F32),
        act: DType::F32,
        with_scores: true,
    };
    let toks: Vec<i32> = pos.iter().flat_map(|&p| if p < 0 { [-1; 4] } else { [p, 2, 0, 1] }).collect();
    let (idx, scores) = (bench.empty(DType::I32, [rows, keep]), bench.empty(DType::F32, [rows, keep]));
    let views: [View; 7] = [
        bench.put(DType::F32, [rows, 2, WIDTH], &q.repeat(rows)),
        bench.put(DType::F32, [rows, 2], &w.repeat(rows)),
        bench.put(DType::F32, [5, 2, WIDTH], &pool),
        bench.ints([1, 3], &[2, 3, 4]),
        bench.ints([rows, 4], &toks),
        idx,
        scores,
    ];
    bench.run(d, &views.map(Some)).unwrap();
    (get_ints(&idx), get(&scores))
}

const Q: [f64; 8] = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];

#[test]
fn the_best_entries_come_ascending_with_their_scores() {
    let keys = [[1.0, 0.0, 0.0, 0.0], [4.0, 1.0, 0.0, 0.0], [-9.0, 0.0, 0.0, 0.0], [3.0, -5.0, 0.0, 0.0]];
    let (idx, scores) = select(&keys, Q, [1.0, -2.0], &[7], 2);
    // Before the factor 8^-1/2: 1, 4 - 2, 0 (negative products count as 0), 3.
    assert_eq!(idx, [1, 3]);
    assert_close(&scores, &[2.0 / 8f64.sqrt(), 3.0 / 8f64.sqrt()], 1e-6);
}

#[test]
fn only_complete_entries_are_visible_and_the_rest_is_minus_one() {
    let keys = [[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]];
    let (idx, _) = select(&keys, Q, [1.0, 1.0], &[0, 1, 2, 3, 5, -1], 2);
    assert_eq!(idx, [-1, -1, 0, -1, 0, -1, 0, 1, 1, 2, -1, -1]);
}

#[test]
fn equal_scores_keep_the_lowest_entries_and_nan_ranks_last() {
    let same = [2.0, 0.0, 0.0, 0.0];
    let (idx, _) = select(&[same, same, same, same], Q, [1.0, 1.0], &[7], 2);
    assert_eq!(idx, [0, 1]);
    let (idx, _) = select(&[[f64::NAN; 4], same, [-1.0; 4], same], Q, [1.0, 1.0], &[7], 3);
    assert_eq!(idx, [1, 2, 3]);
    let (idx, _) = select(&[[f64::NAN; 4], same], Q, [1.0, 1.0], &[3], 3);
    assert_eq!(idx, [0, 1, -1], "with fewer entries than room, all of them");
}

#[test]
fn a_choice_inside_the_noise_is_not_judged() {
    let mut bench = Bench::new();
    let mut judge = |gap: f64| {
        let keys = [1.0 / 3.0, 1.0 / 3.0 + gap];
        let d = Select {
            rows: 1,
            seqs: 1,
            heads: 1,
            width: 1,
            rotary: 0,
            keep: 1,
            ratio: 2,
            pages: PageSpace { pages: 3, entries: 2, table: 1 },
            format: RowFormat::Plain(DType::F32),
            act: DType::F32,
            with_scores: false,
        };
        let views: [View; 6] = [
            bench.put(DType::F32, [1, 1, 1], &[1.0 / 7.0]),
            bench.put(DType::F32, [1, 1], &[1.0 / 9.0]),
            bench.put(DType::F32, [3, 2, 1], &[0.0, 0.0, 0.0, 0.0, keys[0], keys[1]]),
            bench.ints([1, 1], &[2]),
            bench.ints([1, 4], &[3, 2, 0, 1]),
            bench.empty(DType::I32, [1, 1]),
        ];
        let views = [&views.map(Some)[..], &[None]].concat();
        bench.judge(d, &views)[0].mask.clone().unwrap()
    };
    assert_eq!(judge(3e-8), [false]);
    assert_eq!(judge(1e-3), [true]);
}

#[test]
fn rotation_comes_before_the_hadamard_product() {
    let mut bench = Bench::new();
    let q = noisy(&mut bench, DType::F32, &[1, 1, 8], "indexer order");
    let mut expected = get(&q);
    super::plain_rope(&mut expected, 4, 3.0);
    let rope = rope_table(&mut bench, 4, 4);
    let toks = bench.ints([1, 4], &[3, 2, 0, 1]);
    let d = Query {
        rows: 1,
        heads: 1,
        width: 8,
        rotary: 4,
        positions: 4,
        hadamard: true,
        quant: RowQuant::None,
        act: DType::F32,
    };
    bench.run(d, &[q, rope, toks].map(Some)).unwrap();
    let sign = |i: usize, j: usize| if (i & j).count_ones() % 2 == 0 { 1.0 } else { -1.0 };
    let product: Vec<f64> =
        (0..8).map(|i| (0..8).map(|j| sign(i, j) * expected[j]).sum::<f64>() / 8f64.sqrt()).collect();
    assert_close(&get(&q), &product, 2e-6);
}
