//! Choices from rows that are longer than those of the conformance cases, over the stand-in driver: cut into parts, cut while they stream, sorted in the workspace.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::PageSpace;
use omnihal::op::indexer::Select;
use omnihal::op::sample::{Pick, TopK};
use omnihal::{Args, DType, Device, Mem, MemoryKind, Op, RowFormat, View};
use stand_in::StandIn;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Small whole numbers: every sum is exact, and many are equal.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    fn whole(&mut self, count: usize, most: i64) -> Vec<f32> {
        (0..count).map(|_| (self.below(2 * most as u64 + 1) as i64 - most) as f32).collect()
    }
}

fn floats(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn halves(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

fn ints(x: &[i32]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn to_ints(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Runs an operator on arguments given as bytes, and gives all of them back as they are afterwards.
fn run(device: &dyn Device, op: impl Into<Op>, args: &[Option<Vec<u8>>]) -> Vec<Vec<u8>> {
    let op = op.into();
    let (plan, stream) = (device.plan(&op).unwrap(), device.stream().unwrap());
    let buffers: Vec<_> =
        args.iter().map(|a| a.as_ref().map(|a| device.alloc(a.len(), MemoryKind::Device).unwrap())).collect();
    let types = op.arg_types();
    let mut views = Vec::new();
    for ((buffer, bytes), ty) in buffers.iter().zip(args).zip(&types) {
        let (Some(buffer), Some(bytes)) = (buffer, bytes) else {
            views.push(None);
            continue;
        };
        let omnihal::WeightFormat::Plain(dtype) = ty.format else { panic!("{} has scales", ty.name) };
        views.push(Some(View::contiguous(buffer.mem(), dtype, ty.shape).unwrap()));
        // SAFETY: the buffer outlives the stream.
        unsafe { stream.write(buffer.mem(), bytes).unwrap() };
    }
    let scratch = device.alloc(plan.workspace().max(1), MemoryKind::Device).unwrap();
    let workspace = Mem { len: plan.workspace(), ..scratch.mem() };
    // SAFETY: as above; the views are of the operator's types.
    unsafe { stream.run(&*plan, &Args { workspace, ..Args::new(&views) }).unwrap() };
    let read = |buffer: &Option<omnihal::Buffer>| {
        buffer.as_ref().map_or_else(Vec::new, |buffer| {
            let mut bytes = vec![0; buffer.len()];
            // SAFETY: as above.
            unsafe { stream.read(buffer.mem(), &mut bytes, LIMIT).unwrap() };
            bytes
        })
    };
    buffers.iter().map(read).collect()
}

/// Places by number, largest first, lowest place first among equals.
fn order(x: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]).then(a.cmp(&b)));
    order
}

#[test]
fn long_rows_give_what_sorting_them_whole_gives() {
    let driver = StandIn::stage(&["indexer", "sample"]);
    let device = driver.open();
    for (format, act) in [
        (RowFormat::Plain(DType::F32), DType::F32),
        (RowFormat::Plain(DType::BF16), DType::BF16),
        (RowFormat::F4, DType::BF16),
        (RowFormat::F4, DType::F32),
    ] {
        select(&*device, format, act);
    }
    topk(&*device, 20_000, 700);
    topk(&*device, 5_000, 4_500);
    for (vocab, candidates) in [(20_000, 300), (9_000, 5_000)] {
        pick(&*device, vocab, candidates);
    }
}

const WIDTH: usize = 32;
const HEADS: usize = 4;
const ENTRIES: usize = 2048;

/// One row that sees many entries, some of them on pages that the table does not have.
fn select(device: &dyn Device, format: RowFormat, act: DType) {
    let mut draw = Draw(7);
    let (q, w) = (draw.whole(HEADS * WIDTH, 3), draw.whole(HEADS, 2));
    let pages = PageSpace { pages: 514, entries: 4, table: 512 };
    let keys: Vec<f32> = draw.whole(pages.rows() * WIDTH, 2);
    let pool = match format {
        RowFormat::Plain(DType::F32) => floats(&keys),
        RowFormat::Plain(_) => halves(&keys),
        // Codes of whole numbers, scale 1.
        _ => keys.chunks(WIDTH).flat_map(packed).collect(),
    };
    let table: Vec<i32> = (0..512).map(|i| if i % 97 == 5 { 0 } else { 2 + (i * 5 % 512) }).collect();
    let keep = 20;
    let d = Select {
        rows: 1,
        seqs: 1,
        heads: HEADS,
        width: WIDTH,
        rotary: 8,
        keep,
        ratio: 4,
        pages,
        format,
        act,
        with_scores: true,
    };
    let encode = |x: &[f32]| if act == DType::F32 { floats(x) } else { halves(x) };
    let toks = [4 * ENTRIES as i32 - 1, 2, 0, 0];
    let args = [encode(&q), floats(&w), pool, ints(&table), ints(&toks), vec![0; 4 * keep], vec![0; 4 * keep]];
    let after = run(device, d, &args.map(Some));

    let score = |entry: usize| {
        let page = table[entry / 4] as usize;
        let key = &keys[(4 * page + entry % 4) * WIDTH..][..WIDTH];
        let head = |h: usize| {
            let dot: f32 = q[h * WIDTH..][..WIDTH].iter().zip(key).map(|(a, b)| a * b).sum();
            w[h] * dot.max(0.0)
        };
        if page == 0 { f32::NEG_INFINITY } else { (0..HEADS).map(head).sum() }
    };
    let scores: Vec<f32> = (0..ENTRIES).map(score).collect();
    let mut expected: Vec<i32> = order(&scores)[..keep].iter().map(|&i| i as i32).collect();
    expected.sort_unstable();
    assert_eq!(to_ints(&after[5]), expected, "{format:?}, {act:?}");
    let factor = 1.0 / ((WIDTH * HEADS) as f32).sqrt();
    assert_eq!(to_floats(&after[6]), expected.iter().map(|&i| scores[i as usize] * factor).collect::<Vec<_>>());
}

fn packed(key: &[f32]) -> Vec<u8> {
    let code = |x: f32| [0, 2, 4][x.abs() as usize] | if x < 0.0 { 8 } else { 0 };
    key.chunks(2).map(|pair| code(pair[0]) | code(pair[1]) << 4).chain([127; WIDTH / 32]).collect()
}

fn topk(device: &dyn Device, width: usize, keep: usize) {
    let x = Draw(width as u64).whole(width, 1000);
    let d = TopK { rows: 1, width, keep, largest: true, sorted: true };
    let after = run(device, d, &[floats(&x), vec![0; 4 * keep], vec![0; 4 * keep]].map(Some));
    let expected = order(&x);
    assert_eq!(to_ints(&after[2]), expected[..keep].iter().map(|&i| i as i32).collect::<Vec<_>>(), "{keep} of {width}");
    assert_eq!(to_floats(&after[1]), expected[..keep].iter().map(|&i| x[i]).collect::<Vec<_>>());
}

/// Three rows: the best, a draw from all candidates, a draw after cuts.
fn pick(device: &dyn Device, vocab: usize, candidates: usize) {
    let mut draw = Draw(candidates as u64);
    let logits: Vec<f32> = (0..3 * vocab).map(|_| draw.below(1 << 20) as f32 / (1 << 17) as f32).collect();
    let seen: Vec<f32> = (0..4 * vocab).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
    let pars = [[0.0, 0.0, 1.0, 0.0, 1.5], [0.7, 0.0, 1.0, 0.0, 1.5], [1.3, 250.0, 0.1, 0.05, 1.0]];
    let par: Vec<f32> = pars.iter().flat_map(|p| p.iter().copied().chain([0.0; 3])).collect();
    let u = [0.0, 0.61, 0.35];
    let d = Pick { wanted: 3, vocab, candidates, rows: 3, slots: 4, drafts: 1, penalties: true };
    let toks: Vec<i32> = (0..3).flat_map(|t| [t, 2 + i32::from(t == 2), 0, 1]).collect();
    let args = [
        floats(&logits),
        floats(&par),
        floats(&u),
        ints(&[0, 1, 2]),
        ints(&toks),
        floats(&seen),
        ints(&[-9; 8]),
        vec![0; 12],
        vec![0; 12],
    ];
    let after = run(device, d, &args.map(Some));
    let (tok, logprob) = (to_ints(&after[7]), to_floats(&after[8]));
    for (i, p) in pars.iter().enumerate() {
        let slot = 2 + usize::from(i == 2);
        let (token, log) = drawn(&logits[i * vocab..][..vocab], &seen[slot * vocab..][..vocab], *p, u[i], candidates);
        assert_eq!(tok[i], token as i32, "row {i}, {candidates} of {vocab}");
        assert!((f64::from(logprob[i]) - log).abs() < 1e-4, "row {i}: {} for {log}", logprob[i]);
        assert_eq!(to_floats(&after[5])[slot * vocab + token], 1.0);
    }
    assert_eq!(to_ints(&after[6]), [-9, -9, -9, -9, tok[0], tok[1], tok[2], -9]);
}

/// The draw in f64, straight from the declaration.
fn drawn(
    x: &[f32],
    seen: &[f32],
    [temperature, top_k, top_p, min_p, penalty]: [f32; 5],
    u: f32,
    n: usize,
) -> (usize, f64) {
    let number = |(&x, &seen): (&f32, &f32)| match (temperature == 0.0, seen != 0.0) {
        (true, _) => x,
        (false, true) => (if x > 0.0 { x / penalty } else { x * penalty }) / temperature,
        (false, false) => x / temperature,
    };
    let x: Vec<f32> = x.iter().zip(seen).map(number).collect();
    let total: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
    let share = |id: usize| f64::from(x[id]).exp() / total;
    let mut kept = order(&x);
    kept.truncate(n);
    let log = |id: usize| (id, share(id).ln());
    if temperature == 0.0 {
        return log(kept[0]);
    }
    if top_k >= 1.0 {
        kept.truncate(top_k as usize);
    }
    let before = |kept: &[usize], n: usize| kept[..n].iter().map(|&id| share(id)).sum::<f64>();
    if top_p < 1.0 {
        kept.truncate((1..kept.len()).find(|&n| before(&kept, n) >= f64::from(top_p)).unwrap_or(kept.len()));
    }
    let least = f64::from(min_p) * share(kept[0]);
    kept.retain(|&id| share(id) >= least);
    let all = before(&kept, kept.len());
    let mut sum = 0.0;
    let found = kept.iter().find(|&&id| {
        sum += share(id);
        sum / all > f64::from(u)
    });
    log(*found.unwrap_or(&kept[kept.len() - 1]))
}
