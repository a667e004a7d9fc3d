//! Sampling on the device: native and composed choose the same tokens, and leave the same state behind.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::op::sample::Pick;
use omnihal::{Buffer, Column, DType, Device, MemoryKind, Sequence, SpaceShape, StepShape, Stream, View};
use omnihal_runtime::{Operand, Program, ProgramSpec, Recipe, TierLimit, transfer};
use std::sync::Arc;

const ROWS: usize = 6;
const VOCAB: usize = 61;
const SLOTS: usize = 2 + ROWS;

/// Temperature, top-k, top-p, min-p, penalty, and u of each row.
const PARAMETERS: [([f32; 5], f32); ROWS] = [
    ([0.0, 0.0, 1.0, 0.0, 1.7], 0.3),
    ([1.0, 0.0, 1.0, 0.0, 1.0], 0.05),
    ([0.7, 5.0, 1.0, 0.0, 1.0], 0.93),
    ([1.3, 0.0, 0.6, 0.0, 1.0], 0.5),
    ([1.0, 0.0, 1.0, 0.2, 1.0], 0.8),
    ([0.9, 20.0, 0.9, 0.02, 1.4], 0.65),
];

fn f32s(device: &dyn Device, stream: &dyn Stream, dims: &[usize], values: &[f32]) -> (Buffer, View) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(device, stream, DType::F32, dims, &bytes)
}

fn tensor(device: &dyn Device, stream: &dyn Stream, dtype: DType, dims: &[usize], bytes: &[u8]) -> (Buffer, View) {
    let buffer = device.alloc(bytes.len(), MemoryKind::Device).unwrap();
    transfer::write(stream, &buffer, 0, bytes).unwrap();
    let view = View::contiguous(buffer.mem(), dtype, omnihal::Shape::new(dims)).unwrap();
    (buffer, view)
}

fn download(stream: &dyn Stream, buffer: &Buffer) -> Vec<u32> {
    let mut bytes = vec![0; buffer.len()];
    transfer::read(stream, buffer, 0, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Chosen tokens, log-probabilities, tokens stored last, and tokens marked as seen.
fn pick(device: &Arc<dyn Device>, limit: TierLimit) -> (Vec<u32>, Vec<f32>, Vec<u32>, Vec<u32>) {
    let stream = device.stream().unwrap();
    let logits: Vec<f32> = (0..ROWS * VOCAB).map(|i| ((i * 7919 + 13) % 1009) as f32 / 150.0 - 3.0).collect();
    let mut par = vec![0f32; ROWS * 8];
    for (row, (values, _)) in PARAMETERS.iter().enumerate() {
        par[row * 8..row * 8 + 5].copy_from_slice(values);
    }
    let u: Vec<f32> = PARAMETERS.iter().map(|(_, u)| *u).collect();
    let seen: Vec<f32> = (0..SLOTS * VOCAB).map(|i| f32::from(i % 3 == 0 && i >= 2 * VOCAB)).collect();
    let (logits_b, logits) = f32s(&**device, &*stream, &[ROWS, VOCAB], &logits);
    let (par_b, par) = f32s(&**device, &*stream, &[ROWS, 8], &par);
    let (u_b, u) = f32s(&**device, &*stream, &[ROWS], &u);
    let (seen_b, seen) = f32s(&**device, &*stream, &[SLOTS, VOCAB], &seen);
    let (last_b, last) = tensor(&**device, &*stream, DType::I32, &[SLOTS, 1], &[0; SLOTS * 4]);
    let space = SpaceShape { ratio: 4, overlap: true, closings: ROWS, table: 1, page_entries: 1, ring: 16 };
    let step =
        StepShape { rows: ROWS, seqs: ROWS, wanted: ROWS, tile: 1, window: 1, ring: 1, drafts: 0, spaces: vec![space] };
    let mut r = Recipe::new();
    let [out, toks] = [Column::Out, Column::Toks].map(|column| r.column(&step, column));
    let (tok, logprob) = (r.named("tok", DType::I32, [ROWS]), r.named("logprob", DType::F32, [ROWS]));
    let op = Pick { wanted: ROWS, vocab: VOCAB, candidates: 40, rows: ROWS, slots: SLOTS, drafts: 0, penalties: true };
    let [logits, par, u, seen, last] = [logits, par, u, seen, last].map(Operand::view);
    r.op(op, &[&logits, &par, &u, &out, &toks, &seen, &last, &tok, &logprob]);
    let keep = vec![logits_b, par_b, u_b, seen_b.clone(), last_b.clone()];
    let spec = ProgramSpec { recipe: &r.finish().unwrap(), step, limit, fallback: None, keep };
    let mut program = Program::build(device, &*stream, spec).unwrap();
    let arena = device.alloc(program.arena_bytes(), MemoryKind::Device).unwrap();
    program.bind(&arena).unwrap();
    let batch: Vec<Sequence<'_>> =
        (0..ROWS).map(|i| Sequence { slot: 2 + i, first: 7, ids: &[1], pages: &[&[]], wanted: &[0] }).collect();
    program.step_with(&*stream, &batch).unwrap();
    let kept = |name: &str| {
        let view = program.named(name).unwrap();
        let mut bytes = vec![0; ROWS * 4];
        transfer::read_view(&*stream, &arena, &view, &mut bytes).unwrap();
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    let logprob = kept("logprob").into_iter().map(f32::from_bits).collect();
    (kept("tok"), logprob, download(&*stream, &last_b), download(&*stream, &seen_b))
}

#[test]
fn native_and_composed_sampling_agree_on_every_backend() {
    let registry = omnihal_backends::registry();
    let judge = pick(&registry.open("reference").unwrap(), TierLimit::All);
    // The greedy row takes its largest logit; rows with cuts stay inside them.
    assert!(judge.0.iter().all(|&t| (t as usize) < VOCAB));
    assert!(judge.0.iter().collect::<std::collections::BTreeSet<_>>().len() > 2, "{:?}", judge.0);
    for (backend, limit) in [("reference", TierLimit::Core), ("cpu", TierLimit::All), ("cpu", TierLimit::Core)] {
        let found = pick(&registry.open(backend).unwrap(), limit);
        assert_eq!(found.0, judge.0, "{backend} {limit:?}: tokens");
        let worst = found.1.iter().zip(&judge.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A sum of 61 exponentials and its logarithm, each a few units in the last place of values below 8.
        assert!(worst <= 1e-5, "{backend} {limit:?}: log-probabilities differ by {worst}");
        // The null slot stays, the trash slot may hold anything.
        assert_eq!(found.2[2..], judge.2[2..], "{backend} {limit:?}: last");
        assert_eq!(found.3[2 * VOCAB..], judge.3[2 * VOCAB..], "{backend} {limit:?}: seen");
    }
}
