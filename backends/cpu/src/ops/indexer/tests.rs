use crate::ops::cache::testing::{Array, Seed, assert_near, rounded, run};
use omnihal::op::indexer::{Query, Select};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{DType, RowFormat, View};

const HEADS: usize = 5;
const PAGE: usize = 4;
const RATIO: usize = 3;
/// Pages of two sequences; the second lacks its third page.
const TABLES: [[i32; 5]; 2] = [[3, 7, 2, 5, 8], [4, 6, 0, 9, 0]];

struct Case {
    width: usize,
    keep: usize,
    format: RowFormat,
    act: DType,
    /// Position and sequence of each row; a negative position is padding.
    rows: Vec<(i32, i32)>,
    pool: Array,
    q: Array,
    w: Array,
}

impl Case {
    fn new(name: &str, width: usize, keep: usize, act: DType, rows: &[(i32, i32)]) -> Case {
        let mut seed = Seed::of(name);
        let n = rows.len();
        let mut pool = Array::random(act, [10, PAGE, width], 0, &mut seed);
        // The null page is zero, what is beyond a sequence's entries is garbage.
        let mut keys = pool.values();
        keys[..PAGE * width].fill(0.0);
        keys[PAGE * width..2 * PAGE * width].fill(f32::NAN);
        pool.set(&keys);
        let (q, w) =
            (Array::random(act, [n, HEADS * width], 6, &mut seed), Array::random(DType::F32, [n, HEADS], 2, &mut seed));
        Case { width, keep, format: RowFormat::Plain(act), act, rows: rows.to_vec(), pool, q, w }
    }

    fn run(&self, threads: usize, with_scores: bool) -> (Vec<i32>, Vec<f32>) {
        let n = self.rows.len();
        let toks: Vec<i32> =
            self.rows.iter().flat_map(|&(p, s)| if p < 0 { [-1; 4] } else { [p, 2 + s, s, 1] }).collect();
        let (toks, pt) = (Array::indices([n, 4], &toks), Array::indices([2, 5], &TABLES.concat()));
        let (idx, scores) = (Array::garbage(DType::I32, [n, self.keep]), Array::garbage(DType::F32, [n, self.keep]));
        let op = Select {
            rows: n,
            seqs: 2,
            heads: HEADS,
            width: self.width,
            rotary: 2,
            keep: self.keep,
            ratio: RATIO,
            pages: PageSpace { pages: 10, entries: PAGE, table: 5 },
            format: self.format,
            act: self.act,
            with_scores,
        };
        let q: View = self.q.view().split(1, HEADS, self.width).unwrap();
        let others = [&self.w, &self.pool, &pt, &toks, &idx].map(|a| Some(a.view()));
        let views: Vec<_> = [Some(q)].into_iter().chain(others).chain([with_scores.then(|| scores.view())]).collect();
        run(threads, op, &views);
        (idx.ints(), scores.values())
    }

    /// Visible entries of a row that have a page, with their scores.
    fn scored(&self, t: usize) -> Vec<(usize, f64)> {
        let (position, seq) = self.rows[t];
        let (keys, q, w) = (self.pool.values(), self.q.values(), self.w.values());
        let width = self.width;
        let score = |j: usize| {
            let at = (TABLES[seq as usize][j / PAGE] as usize * PAGE + j % PAGE) * width;
            (0..HEADS).fold(0.0, |sum, h| {
                let q = &q[(t * HEADS + h) * width..][..width];
                let dot: f64 = keys[at..][..width].iter().zip(q).map(|(&k, &q)| k as f64 * q as f64).sum();
                sum + w[t * HEADS + h] as f64 * dot.max(0.0)
            }) / ((width * HEADS) as f64).sqrt()
        };
        (0..(position as usize + 1) / RATIO)
            .filter(|j| TABLES[seq as usize].get(j / PAGE).is_some_and(|&page| page > 0))
            .map(|j| (j, score(j)))
            .collect()
    }
}

fn rows() -> Vec<(i32, i32)> {
    let mut rows: Vec<_> = [0, 1, 2, 5, 13, 29, 35, 46, 59].map(|p| (p, 0)).to_vec();
    rows.extend([(-1, -1), (14, 1), (59, 1), (-1, -1)]);
    rows
}

#[test]
fn the_best_visible_entries_are_kept_in_ascending_order() {
    for (act, width, keep) in [(DType::F32, 12, 6), (DType::BF16, 33, 3), (DType::F32, 64, 20), (DType::F32, 8, 1)] {
        let case = Case::new(&format!("select {width}"), width, keep, act, &rows());
        let (idx, scores) = case.run(2, true);
        for (t, _) in case.rows.iter().enumerate().filter(|(_, r)| r.0 >= 0) {
            let mut all = case.scored(t);
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(keep);
            all.sort_by_key(|e| e.0);
            let found = &idx[t * keep..][..keep];
            let expected: Vec<i32> = all.iter().map(|e| e.0 as i32).chain([-1; 20]).take(keep).collect();
            assert_eq!(found, expected, "row {t}");
            assert_near(&scores[t * keep..][..all.len()], &all.iter().map(|e| e.1).collect::<Vec<_>>(), 1e-6);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others_or_on_threads() {
    let case = Case::new("select alone", 24, 5, DType::BF16, &rows());
    let (idx, scores) = case.run(1, true);
    for threads in 1..=3 {
        let (again, same) = case.run(threads, true);
        let unscored = case.run(threads, false).0;
        for (t, &row) in case.rows.iter().enumerate().filter(|(_, r)| r.0 >= 0) {
            let at = t * 5..t * 5 + 5;
            assert_eq!((&again[at.clone()], &unscored[at.clone()]), (&idx[at.clone()], &idx[at.clone()]));
            // The same row alone: threads share its entries instead of the rows.
            let view = |a: &Array, width: usize| a.values()[t * width..(t + 1) * width].to_vec();
            let mut alone = Case::new("select alone", 24, 5, DType::BF16, &[row]);
            alone.q.set(&view(&case.q, 24 * HEADS));
            alone.w.set(&view(&case.w, HEADS));
            alone.pool = case.pool.clone();
            let (single, score) = alone.run(threads, true);
            assert_eq!(single, idx[at.clone()]);
            let kept = single.iter().filter(|&&j| j >= 0).count();
            for found in [&score[..kept], &same[at.start..][..kept]] {
                assert!(found.iter().zip(&scores[at.clone()]).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
}

#[test]
fn ties_go_to_the_lowest_entry_and_nan_comes_last() {
    let mut case = Case::new("ties", 8, 4, DType::F32, &[(59, 0)]);
    let page = |j: usize| (TABLES[0][j / PAGE] as usize * PAGE + j % PAGE) * 8;
    let mut keys = case.pool.values();
    (0..20).for_each(|j| keys[page(j)..][..8].fill(0.25));
    keys[page(1)] = f32::NAN;
    keys[page(17)..][..8].fill(0.5);
    case.pool.set(&keys);
    case.q.set(&[1.0; 8 * HEADS]);
    case.w.set(&[1.0; HEADS]);
    assert_eq!(case.run(1, false).0, [0, 2, 3, 17]);
    assert_eq!(case.run(3, false).0, [0, 2, 3, 17]);
    // Negative weights: now the larger key is the worst number, and still before NaN.
    case.w.set(&[-1.0; HEADS]);
    case.keep = 19;
    let kept: Vec<i32> = (0..20).filter(|&j| j != 1).collect();
    assert_eq!(case.run(2, false).0, kept);
}

#[test]
fn packed_keys_score_like_the_numbers_they_stand_for() {
    let mut case = Case::new("packed", 32, 6, DType::F32, &rows());
    let mut keys = case.pool.values();
    keys.chunks_mut(32).for_each(|row| crate::ops::attention::row::quantise(RowQuant::F4All, 0, row));
    case.pool.set(&keys);
    let plain = case.run(2, true);
    let (dtype, len) = RowFormat::F4.row(32, 2);
    case.pool = Array::garbage(dtype, [10, PAGE, len]);
    let stored = crate::ops::cache::stored::Stored::new(&case.pool.view(), RowFormat::F4, 32, 2);
    for (row, values) in keys.chunks(32).enumerate().filter(|(_, values)| !values[0].is_nan()) {
        // SAFETY: the row lies in the pool just made.
        unsafe { stored.store(row / PAGE, row % PAGE, values, crate::simd::kernels()) };
    }
    case.format = RowFormat::F4;
    let packed = case.run(2, true);
    for (t, _) in case.rows.iter().enumerate().filter(|(_, r)| r.0 >= 0) {
        assert_eq!(plain.0[t * 6..][..6], packed.0[t * 6..][..6]);
        let kept = plain.0[t * 6..][..6].iter().filter(|&&j| j >= 0).count();
        assert_eq!(plain.1[t * 6..][..kept], packed.1[t * 6..][..kept]);
    }
}

#[test]
fn queries_are_rotated_then_spread_by_hadamard_then_rounded() {
    let (heads, width, rotary, positions) = (3, 32, 6, 4);
    let mut seed = Seed::of("indexer query");
    for (act, quant, limit) in
        [(DType::F32, RowQuant::None, 1e-6), (DType::BF16, RowQuant::None, 0.02), (DType::F32, RowQuant::F4All, 0.25)]
    {
        let q = Array::random(act, [2, heads * width], 1, &mut seed);
        let rope = Array::random(DType::F32, [positions, rotary], 0, &mut seed);
        let toks = Array::indices([2, 4], &[3, 2, 0, 1, 1, 2, 1, 1]);
        let before = q.values();
        let op = Query { rows: 2, heads, width, rotary, positions, hadamard: true, quant, act };
        run(2, op, &[Some(q.view().split(1, heads, width).unwrap()), Some(rope.view()), Some(toks.view())]);
        let mut expected = Vec::new();
        for (i, x) in before.chunks(width).enumerate() {
            let cs = &rope.values()[[3, 1][i / heads] * rotary..][..rotary];
            let mut x: Vec<f64> = x.iter().map(|&v| v as f64).collect();
            for (pair, cs) in x[width - rotary..].chunks_mut(2).zip(cs.chunks(2)) {
                let (c, s) = (cs[0] as f64, cs[1] as f64);
                (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[0] * s + pair[1] * c);
            }
            let sign = |i: usize, k: usize| if (i & k).count_ones() % 2 == 0 { 1.0 } else { -1.0 };
            let spread =
                |i: usize| x.iter().enumerate().map(|(k, v)| sign(i, k) * v).sum::<f64>() / (width as f64).sqrt();
            expected.extend((0..width).map(|i| rounded(act, spread(i))));
        }
        assert_near(&q.values(), &expected, limit);
        if quant == RowQuant::F4All {
            let distinct: std::collections::BTreeSet<u32> =
                q.values()[..32].iter().map(|v| v.abs().to_bits()).collect();
            assert!(distinct.len() <= 8, "more values than an E2M1 group can have");
        }
    }
}
