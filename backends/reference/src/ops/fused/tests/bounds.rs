//! Plain f32 evaluations stay within the bounds, and the bounds are of the size of f32 noise.

use super::{Table, noisy, rope_table};
use crate::num::Num;
use crate::testing::{Bench, get};
use omnihal::op::attention::Query;
use omnihal::op::compress::Update;
use omnihal::op::moe::Mlp;
use omnihal::op::{ActQuant, PageSpace, RowQuant};
use omnihal::{Column, DType, RowFormat, Sequence, SpaceShape, StepShape, View, WeightFormat};

fn f32s(view: &View) -> Vec<f32> {
    get(view).into_iter().map(|x| x as f32).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Fails unless each f32 result is within its bound, and each bound within `limit` of the largest value.
fn assert_within(nums: &[Num], device: &[f32], limit: f64) {
    assert_eq!(nums.len(), device.len());
    let largest = nums.iter().fold(0f64, |a, x| a.max(x.v.abs()));
    for (i, (num, &device)) in nums.iter().zip(device).enumerate() {
        assert!((num.v - f64::from(device)).abs() <= num.bound(DType::F32), "element {i}: {num:?}, device {device}");
        assert!(num.e <= limit * largest, "element {i}: {num:?}, largest {largest}");
    }
}

fn rms_f32(x: &[f32], gain: &[f32]) -> Vec<f32> {
    let factor = 1.0 / (dot(x, x) / x.len() as f32 + 1e-6).sqrt();
    x.iter().zip(gain).map(|(x, g)| x * factor * g).collect()
}

fn rope_f32(x: &mut [f32], cs: &[f32]) {
    let start = x.len() - cs.len();
    for (pair, cs) in x[start..].chunks_exact_mut(2).zip(cs.chunks_exact(2)) {
        (pair[0], pair[1]) = (pair[0] * cs[0] - pair[1] * cs[1], pair[0] * cs[1] + pair[1] * cs[0]);
    }
}

#[test]
fn of_the_shared_expert() {
    let mut bench = Bench::new();
    let (width, inter) = (48, 40);
    let x = noisy(&mut bench, DType::F32, &[3, width], "bounds mlp x");
    let w13 = noisy(&mut bench, DType::F32, &[2 * inter, width], "bounds mlp w13");
    let w2 = noisy(&mut bench, DType::F32, &[width, inter], "bounds mlp w2");
    let y = bench.empty(DType::F32, [3, width]);
    let plain = WeightFormat::Plain(DType::F32);
    let (a_quant, act) = (ActQuant::None, DType::F32);
    let d = Mlp { rows: 3, width, inter, w13: plain, w2: plain, limit: 10.0, a_quant, act };
    let judged = bench.judge(d, &[x, w13, w2, y].map(Some));
    let (x, w13, w2) = (f32s(&x), f32s(&w13), f32s(&w2));
    let device = x.chunks(width).flat_map(|x| {
        let up: Vec<f32> = w13.chunks(width).map(|w| dot(x, w)).collect();
        let hidden: Vec<f32> = (0..inter)
            .map(|i| {
                let g = up[i].min(10.0);
                g / (1.0 + (-g).exp()) * up[inter + i].clamp(-10.0, 10.0)
            })
            .collect();
        w2.chunks(inter).map(|w| dot(&hidden, w)).collect::<Vec<_>>()
    });
    assert_within(judged[0].nums(), &device.collect::<Vec<_>>(), 1e-4);
}

#[test]
fn of_a_query_head() {
    let mut bench = Bench::new();
    let q = noisy(&mut bench, DType::F32, &[2, 3, 32], "bounds query");
    let rope = rope_table(&mut bench, 40, 8);
    let toks = bench.ints([2, 4], &[30, 2, 0, 1, 31, 2, 0, 1]);
    let d = Query { rows: 2, heads: 3, head: 32, rotary: 8, positions: 40, eps: 1e-6, act: DType::F32 };
    let judged = bench.judge(d, &[q, rope, toks].map(Some));
    let (q, cs) = (f32s(&q), f32s(&rope));
    let device = q.chunks(32).enumerate().flat_map(|(i, head)| {
        let mut out = rms_f32(head, &[1.0; 32]);
        rope_f32(&mut out, &cs[(30 + i / 3) * 8..(31 + i / 3) * 8]);
        out
    });
    assert_within(judged[0].nums(), &device.collect::<Vec<_>>(), 1e-5);
}

#[test]
fn of_a_compressed_entry() {
    let mut bench = Bench::new();
    let (width, ratio) = (16, 8);
    let proj = noisy(&mut bench, DType::F32, &[ratio, 2 * width], "bounds proj");
    let ape = noisy(&mut bench, DType::F32, &[ratio, 2 * width], "bounds ape");
    let gain = noisy(&mut bench, DType::F32, &[width], "bounds gain");
    let rope = rope_table(&mut bench, ratio, 4);
    let (state, pool) = (bench.empty(DType::F32, [3, ratio, 2 * width]), bench.empty(DType::F32, [3, 1, width]));
    let space = SpaceShape { ratio, overlap: false, closings: 1, table: 1, page_entries: 1, ring: ratio };
    let shape =
        StepShape { rows: ratio, seqs: 1, wanted: 1, tile: 1, window: 1, ring: 1, drafts: 0, spaces: vec![space] };
    let sequence = Sequence { slot: 2, first: 0, ids: &[1; 8], pages: &[&[2]], wanted: &[] };
    let table = Table::new(&mut bench, &shape, &[sequence]);
    let step = [Column::PageTable(8), Column::Toks, Column::Seqs, Column::Close(8)].map(|c| table.view(c));
    let d = Update {
        rows: ratio,
        seqs: 1,
        closings: 1,
        ratio,
        overlap: false,
        width,
        rotary: 4,
        positions: ratio,
        ring: ratio,
        slots: 3,
        eps: 1e-6,
        hadamard: false,
        quant: RowQuant::None,
        pages: PageSpace { pages: 3, entries: 1, table: 1 },
        format: RowFormat::Plain(DType::F32),
        weight: DType::F32,
        act: DType::F32,
    };
    let views = [proj, ape, gain, rope, state, pool, step[0], step[1], step[2], step[3]];
    let judged = bench.judge(d, &views.map(Some));
    let (proj, ape, gain) = (f32s(&proj), f32s(&ape), f32s(&gain));
    let row = |t: usize, c: usize| proj[t * 2 * width + c] + ape[t * 2 * width + c];
    let pooled: Vec<f32> = (0..width)
        .map(|c| {
            let gates: Vec<f32> = (0..ratio).map(|t| row(t, width + c).exp()).collect();
            let total: f32 = gates.iter().sum();
            gates.iter().enumerate().map(|(t, g)| g / total * row(t, c)).sum()
        })
        .collect();
    let mut entry = rms_f32(&pooled, &gain);
    rope_f32(&mut entry, &f32s(&rope)[..4]);
    assert_within(judged[1].nums(), &entry, 1e-4);
}
