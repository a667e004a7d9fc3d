use super::{F32_NOISE, Table, bits, noisy, plain_rms, plain_rope, rope_table};
use crate::format::round;
use crate::testing::{Bench, assert_close, get, get_ints, oracle, oracle_f32};
use omnihal::op::attention::{Entries, Latent, Query, Sparse};
use omnihal::op::cache::{CopyRows, Store};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{Column, DType, RowFormat, Sequence, SpaceShape, StepShape, View};

const HEADS: usize = 3;
const HEAD: usize = 8;
const ROTARY: usize = 4;
const WINDOW: usize = 5;
const RING: usize = 7;
const LENGTH: usize = 14;
const RATIO: usize = 2;
const SCALE: f32 = 0.35;

fn sparse(rows: usize, entries: Entries, act: DType) -> Sparse {
    Sparse {
        rows,
        seqs: 2,
        heads: HEADS,
        head: HEAD,
        rotary: ROTARY,
        positions: LENGTH,
        window: WINDOW,
        scale: SCALE,
        entries,
        ratio: RATIO,
        pages: PageSpace { pages: 6, entries: 2, table: 4 },
        ring: RING,
        slots: 4,
        format: RowFormat::Plain(act),
        inverse: false,
        act,
    }
}

/// A sequence of queries, keys and entries.
struct Case {
    bench: Bench,
    act: DType,
    q: View,
    kv: View,
    pool: View,
    sink: View,
    rope: View,
}

/// Pages of entries 0..7: the third is missing.
const PAGES: [i32; 4] = [3, 2, 0, 5];

fn case(act: DType) -> Case {
    let mut bench = Bench::new();
    let q = noisy(&mut bench, act, &[LENGTH, HEADS, HEAD], "attention q");
    let kv = noisy(&mut bench, act, &[LENGTH, HEAD], "attention kv");
    let pool = noisy(&mut bench, act, &[6, 2, HEAD], "attention pool");
    // Pages that the sequence does not have may hold anything.
    for page in [0, 1, 4] {
        crate::testing::set(&pool.slice(0, page, 1).unwrap(), &[f64::NAN; 2 * HEAD]);
    }
    let sink = noisy(&mut bench, DType::F32, &[HEADS], "attention sink");
    let rope = rope_table(&mut bench, LENGTH, ROTARY);
    Case { bench, act, q, kv, pool, sink, rope }
}

impl Case {
    /// Output of rows fed in chunks, with the ring stored after each; `lists` gives the entries of a row, or all are used.
    fn feed(&mut self, chunks: &[usize], lists: Option<&dyn Fn(usize) -> Vec<i32>>, inverse: bool) -> Vec<f64> {
        let ring = self.bench.empty(self.act, [4, RING, HEAD]);
        let (mut first, mut out) = (0, Vec::new());
        for &chunk in chunks {
            let rows = chunk + 1;
            let space = SpaceShape { ratio: RATIO, overlap: false, closings: 1, table: 4, page_entries: 2, ring: 2 };
            let shape = StepShape {
                rows,
                seqs: 2,
                wanted: 1,
                tile: 1,
                window: WINDOW,
                ring: RING,
                drafts: 0,
                spaces: vec![SpaceShape { closings: SpaceShape::max_closings(RATIO, rows, 2), ..space }],
            };
            let ids = vec![1; chunk];
            let table = Table::new(
                &mut self.bench,
                &shape,
                &[Sequence { slot: 2, first, ids: &ids, pages: &[&PAGES], wanted: &[] }],
            );
            let (q, kv) = (self.bench.empty(self.act, [rows, HEADS, HEAD]), self.bench.empty(self.act, [rows, HEAD]));
            let values = |view: &View, width: usize| get(view)[first * width..(first + chunk) * width].to_vec();
            crate::testing::set(&q.slice(0, 0, chunk).unwrap(), &values(&self.q, HEADS * HEAD));
            crate::testing::set(&kv.slice(0, 0, chunk).unwrap(), &values(&self.kv, HEAD));
            let listed: Option<Vec<i32>> =
                lists.map(|l| (0..rows).flat_map(|row| l((first + row).min(LENGTH - 1))).collect());
            let idx = listed.as_ref().map(|l| self.bench.ints([rows, l.len() / rows], l));
            let o = self.bench.empty(self.act, [rows, HEADS, HEAD]);
            let entries = listed.as_ref().map_or(Entries::All, |l| Entries::Listed(l.len() / rows));
            let d = Sparse { inverse, ..sparse(rows, entries, self.act) };
            let (toks, seqs, pt) =
                (table.view(Column::Toks), table.view(Column::Seqs), table.view(Column::PageTable(2)));
            let step = [self.sink, self.rope, toks, seqs, o].map(Some);
            let views = [&[Some(q), Some(kv), Some(ring), Some(self.pool), Some(pt), idx][..], &step].concat();
            self.bench.run(d, &views).unwrap();
            let store = Store {
                rows,
                seqs: 2,
                width: HEAD,
                rotary: ROTARY,
                ring: RING,
                slots: 4,
                format: RowFormat::Plain(self.act),
                act: self.act,
            };
            self.bench.run(store, &[kv, ring, toks, seqs].map(Some)).unwrap();
            out.extend_from_slice(&get(&o)[..chunk * HEADS * HEAD]);
            first += chunk;
        }
        out
    }

    /// Dense softmax attention of one head over its visible keys, written out.
    fn dense(&self, pos: usize, head: usize, entries: &[usize]) -> Vec<f64> {
        let (q, kv, pool) = (get(&self.q), get(&self.kv), get(&self.pool));
        let mut keys: Vec<&[f64]> = Vec::new();
        for s in 0..=pos {
            if pos - s < WINDOW {
                keys.push(&kv[s * HEAD..(s + 1) * HEAD]);
            }
        }
        for &j in entries {
            let row = PAGES[j / 2] as usize * 2 + j % 2;
            keys.push(&pool[row * HEAD..(row + 1) * HEAD]);
        }
        let q = &q[(pos * HEADS + head) * HEAD..][..HEAD];
        let weight = |key: &&[f64]| (q.iter().zip(*key).map(|(a, b)| a * b).sum::<f64>() * f64::from(SCALE)).exp();
        let total = keys.iter().map(weight).sum::<f64>() + get(&self.sink)[head].exp();
        let p = |key: &&[f64]| match self.act {
            DType::BF16 => round(DType::BF16, weight(key) / total),
            _ => weight(key) / total,
        };
        (0..HEAD).map(|c| keys.iter().map(|key| p(key) * key[c]).sum()).collect()
    }

    fn all_dense(&self, entries: impl Fn(usize) -> Vec<usize>) -> Vec<f64> {
        let rows = (0..LENGTH).flat_map(|pos| (0..HEADS).map(move |h| (pos, h)));
        rows.flat_map(|(pos, h)| self.dense(pos, h, &entries(pos))).collect()
    }
}

/// Entries that a position sees and that have a page.
fn present(pos: usize) -> Vec<usize> {
    (0..(pos + 1) / RATIO).filter(|j| PAGES[j / 2] > 0).collect()
}

#[test]
fn attention_over_all_entries_equals_a_dense_softmax() {
    let mut case = case(DType::F32);
    let o = case.feed(&[LENGTH], None, false);
    assert_close(&o, &case.all_dense(present), 2.0 * F32_NOISE);
}

#[test]
fn an_f32_evaluation_stays_within_bounds_that_are_not_loose() {
    let mut bench = Bench::new();
    let (rows, head) = (6, 32);
    let q = noisy(&mut bench, DType::F32, &[rows, 1, head], "bounds q");
    let kv = noisy(&mut bench, DType::F32, &[rows, head], "bounds kv");
    let (ring, sink) = (bench.empty(DType::F32, [3, rows, head]), bench.put(DType::F32, [1], &[0.5]));
    let rope = rope_table(&mut bench, rows, ROTARY);
    let toks: Vec<i32> = (0..rows as i32).flat_map(|pos| [pos, 2, 0, 1]).collect();
    let (toks, seqs) = (bench.ints([rows, 4], &toks), bench.ints([1, 4], &[2, 0, 0, rows as i32]));
    let o = bench.empty(DType::F32, [rows, 1, head]);
    let d = Sparse {
        seqs: 1,
        heads: 1,
        head,
        positions: rows,
        window: rows,
        ring: rows,
        slots: 3,
        ..sparse(rows, Entries::None, DType::F32)
    };
    let views = [&[q, kv, ring].map(Some)[..], &[None; 3], &[sink, rope, toks, seqs, o].map(Some)].concat();
    let judged = bench.judge(d, &views);
    let (q, kv) = (get(&q), get(&kv));
    for (i, num) in judged[0].nums().iter().enumerate() {
        let (row, c) = (i / head, i % head);
        let product = |s: usize| (0..head).map(|k| q[row * head + k] as f32 * kv[s * head + k] as f32).sum::<f32>();
        let weights: Vec<f32> = (0..=row).map(|s| (product(s) * SCALE).exp()).collect();
        let total = weights.iter().sum::<f32>() + 0.5f32.exp();
        let device: f32 = weights.iter().enumerate().map(|(s, w)| w / total * kv[s * head + c] as f32).sum();
        assert!((f64::from(device) - num.v).abs() <= num.bound(DType::F32), "element {i}: {num:?}, device {device}");
        assert!(num.e < 1e-3, "element {i}: {num:?}");
    }
}

#[test]
fn chunks_and_single_steps_give_the_same_bits_as_one_step() {
    let mut case = case(DType::F32);
    let whole = case.feed(&[LENGTH], None, true);
    for chunks in [vec![1; LENGTH], vec![2, 8, 1, 3]] {
        let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&case.feed(&chunks, None, true)), bits(&whole), "{chunks:?}");
    }
}

#[test]
fn invisible_repeated_and_pageless_entries_of_a_list_count_as_absent() {
    let mut case = case(DType::F32);
    // Entries 4 and 5 have no page; 6 becomes visible at position 13; 900 and -7 never exist.
    let o = case.feed(&[9, 5], Some(&|_| vec![0, 0, 3, 4, 6, 900, -7, -1]), false);
    let expected = case.all_dense(|pos| present(pos).into_iter().filter(|j| [0, 3, 6].contains(j)).collect());
    assert_close(&o, &expected, 2.0 * F32_NOISE);
}

#[test]
fn with_bf16_the_probabilities_are_rounded_and_the_denominator_is_not() {
    let mut case = case(DType::BF16);
    let o = case.feed(&[LENGTH], None, false);
    let expected: Vec<f64> = case.all_dense(present).into_iter().map(|x| round(DType::BF16, x)).collect();
    let wrong = o.iter().zip(&expected).filter(|(a, b)| a != b).count();
    // The two sums may round apart where the exact value lies near the middle of two numbers.
    assert!(wrong * 50 <= o.len(), "{wrong} of {}", o.len());
    assert_close(&o, &expected, 0.02);
}

#[test]
fn a_huge_sink_takes_all_the_mass_and_overflows_nothing() {
    let mut case = case(DType::F32);
    crate::testing::set(&case.sink, &[3e38, -3e38, 0.0]);
    let o = case.feed(&[LENGTH], None, false);
    assert!(o.chunks(HEAD).step_by(HEADS).flatten().all(|&x| x == 0.0));
    assert!(o.iter().all(|x| x.is_finite()));
}

#[test]
fn the_inverse_rotation_undoes_the_querys_angle() {
    let mut case = case(DType::F32);
    let plain = case.feed(&[LENGTH], None, false);
    let mut back = case.feed(&[LENGTH], None, true);
    for (i, head) in back.chunks_mut(HEAD).enumerate() {
        plain_rope(head, ROTARY, (i / HEADS) as f64);
    }
    assert_close(&back, &plain, 2.0 * F32_NOISE);
}

/// Toks of `rows` rows at positions 0.. of slot 2, and a table of the oracle's angles, one row a position.
fn oracle_rope(bench: &mut Bench, kind: &str) -> (View, View, Vec<f64>) {
    let (shape, bytes) = oracle("rope.pos");
    let positions: Vec<i64> = bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    let freq = oracle_f32(&format!("rope.inv_freq_{kind}")).1;
    let angles = positions.iter().flat_map(|&p| {
        freq.iter().flat_map(move |&f| {
            let angle = f64::from(p as f32 * f as f32);
            [angle.cos(), angle.sin()]
        })
    });
    let table = bench.put(DType::F32, [shape[0], 2 * freq.len()], &angles.collect::<Vec<_>>());
    let toks: Vec<i32> = (0..shape[0] as i32).flat_map(|row| [row, 2, 0, 1]).collect();
    (table, bench.ints([shape[0], 4], &toks), oracle_f32("rope.x").1)
}

#[test]
fn rotation_and_its_inverse_match_the_oracle() {
    for kind in ["main", "compress"] {
        let mut bench = Bench::new();
        let (rope, toks, x) = oracle_rope(&mut bench, kind);
        let (rows, width) = (toks.dim(0), x.len() / toks.dim(0));
        let q = bench.put(DType::F32, [rows, 1, width], &x);
        let query = omnihal::op::indexer::Query {
            rows,
            heads: 1,
            width,
            rotary: 64,
            positions: rows,
            hadamard: false,
            quant: RowQuant::None,
            act: DType::F32,
        };
        bench.run(query, &[q, rope, toks].map(Some)).unwrap();
        assert_close(&get(&q), &oracle_f32(&format!("rope.y_{kind}")).1, F32_NOISE);
        // One key and no mass in the sink: the output is the key, rotated back.
        let kv = bench.put(DType::F32, [rows, width], &get(&q));
        let (ring, sink) = (bench.empty(DType::F32, [3, 1, width]), bench.put(DType::F32, [1], &[-3e38]));
        let seqs = bench.ints([1, 4], &[2, 0, 0, rows as i32]);
        let o = bench.empty(DType::F32, [rows, 1, width]);
        let d = Sparse {
            rows,
            seqs: 1,
            heads: 1,
            head: width,
            rotary: 64,
            positions: rows,
            window: 1,
            ring: 1,
            slots: 3,
            inverse: true,
            ..sparse(rows, Entries::None, DType::F32)
        };
        let step = [sink, rope, toks, seqs, o].map(Some);
        bench.run(d, &[&[Some(q), Some(kv), Some(ring), None, None, None][..], &step].concat()).unwrap();
        assert_close(&get(&o), &oracle_f32(&format!("rope.back_{kind}")).1, 2.0 * F32_NOISE);
    }
}

#[test]
fn the_latent_is_split_normed_rotated_and_its_first_channels_put_on_the_code_grid() {
    let mut bench = Bench::new();
    let (q_lora, head) = (6, 68);
    let lat = noisy(&mut bench, DType::F32, &[3, q_lora + head], "latent");
    let q_norm = noisy(&mut bench, DType::F32, &[q_lora], "latent q gain");
    let kv_norm = noisy(&mut bench, DType::F32, &[head], "latent kv gain");
    let rope = rope_table(&mut bench, LENGTH, ROTARY);
    let toks = bench.ints([3, 4], &[9, 2, 0, 1, 10, 2, 0, 1, -1, -1, -1, -1]);
    let d = Latent {
        rows: 3,
        q_lora,
        head,
        rotary: ROTARY,
        positions: LENGTH,
        eps: 1e-6,
        quant: RowQuant::None,
        weight: DType::F32,
        act: DType::F32,
    };
    let mut run = |quant: RowQuant| {
        let (qr, kv) = (bench.empty(DType::F32, [3, q_lora]), bench.empty(DType::F32, [3, head]));
        bench.run(Latent { quant, ..d }, &[lat, q_norm, kv_norm, rope, toks, qr, kv].map(Some)).unwrap();
        (get(&qr), get(&kv))
    };
    let (qr, kv) = run(RowQuant::None);
    let (same, rounded) = run(RowQuant::F8Nope);
    let (lat, q_gain, kv_gain) = (get(&lat), get(&q_norm), get(&kv_norm));
    for (row, pos) in [(0, 9.0), (1, 10.0)] {
        let (q_part, kv_part) = lat[row * (q_lora + head)..(row + 1) * (q_lora + head)].split_at(q_lora);
        assert_close(&qr[row * q_lora..(row + 1) * q_lora], &plain_rms(q_part, &q_gain, 1e-6), F32_NOISE);
        let mut expected = plain_rms(kv_part, &kv_gain, 1e-6);
        plain_rope(&mut expected, ROTARY, pos);
        let own = row * head..(row + 1) * head;
        assert_close(&kv[own.clone()], &expected, 4.0 * F32_NOISE);
        let (nope, rotated) = rounded[own.clone()].split_at(64);
        assert_eq!(rotated, &kv[own][64..]);
        let largest = nope.iter().fold(0f64, |a, x| a.max(x.abs()));
        let scale = 2f64.powi((largest / 448.0).log2().ceil() as i32);
        assert!(nope.iter().all(|x| round(DType::F8E4M3, x / scale) * scale == *x));
    }
    assert_eq!(qr, same);
}

#[test]
fn each_query_head_is_normed_alone_then_rotated_and_padding_is_left_alone() {
    let mut bench = Bench::new();
    let q = noisy(&mut bench, DType::F32, &[2, HEADS, HEAD], "query");
    let before = get(&q);
    let rope = rope_table(&mut bench, LENGTH, ROTARY);
    let toks = bench.ints([2, 4], &[11, 2, 0, 1, -1, -1, -1, -1]);
    let d = Query { rows: 2, heads: HEADS, head: HEAD, rotary: ROTARY, positions: LENGTH, eps: 1e-6, act: DType::F32 };
    bench.run(d, &[q, rope, toks].map(Some)).unwrap();
    let mut expected: Vec<f64> = before.chunks(HEAD).flat_map(|h| plain_rms(h, &[1.0; HEAD], 1e-6)).collect();
    expected.chunks_mut(HEAD).for_each(|h| plain_rope(h, ROTARY, 11.0));
    assert_close(&get(&q)[..HEADS * HEAD], &expected[..HEADS * HEAD], 2.0 * F32_NOISE);
    assert_eq!(get(&q)[HEADS * HEAD..], before[HEADS * HEAD..]);
}

#[test]
fn a_chunk_longer_than_the_ring_leaves_its_last_rows() {
    let mut bench = Bench::new();
    let kv = noisy(&mut bench, DType::F32, &[6, 2], "store");
    let ring = bench.empty(DType::F32, [3, 4, 2]);
    let toks: Vec<i32> = (5..10).flat_map(|pos| [pos, 2, 0, 1]).chain([-1; 4]).collect();
    let (toks, seqs) = (bench.ints([6, 4], &toks), bench.ints([1, 4], &[2, 5, 0, 5]));
    let d = Store {
        rows: 6,
        seqs: 1,
        width: 2,
        rotary: 0,
        ring: 4,
        slots: 3,
        format: RowFormat::Plain(DType::F32),
        act: DType::F32,
    };
    let judged = bench.judge(d, &[kv, ring, toks, seqs].map(Some));
    assert_eq!(judged[0].nums().len(), 4 * 2, "no row is written that a later one overwrites");
    bench.run(d, &[kv, ring, toks, seqs].map(Some)).unwrap();
    let (ring, kv) = (get(&ring), get(&kv));
    // Positions 8, 9, 6, 7 lie in ring rows 0..4.
    assert_eq!(ring[16..], [&kv[6..8], &kv[8..10], &kv[2..4], &kv[4..6]].concat());
    assert!(ring[..16].iter().all(|x| x.is_nan()));
}

#[test]
fn rows_are_copied_as_they_were_and_negative_indices_skip() {
    let mut bench = Bench::new();
    let t = bench.ints([5, 2], &[0, 0, 10, 11, 20, 21, 30, 31, 40, 41]);
    let (from, to) = (bench.ints([4], &[1, -1, 2, 1]), bench.ints([4], &[3, 4, -1, 0]));
    let d = CopyRows { rows: 5, width: 2, count: 4, dtype: DType::I32 };
    bench.run(d, &[t, from, to].map(Some)).unwrap();
    assert_eq!(get_ints(&t), [10, 11, 10, 11, 20, 21, 10, 11, 40, 41]);
    assert_eq!(bits(&t).len(), 10);
}
