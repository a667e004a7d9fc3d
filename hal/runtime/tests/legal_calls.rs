//! Every decomposition makes only calls that the validation layer accepts, on every operator that can be composed.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal::op::attention::{self, Entries};
use omnihal::op::{ActQuant, PageSpace, RowQuant, Tier, cache, compress, embed, hyper, indexer, moe, sample};
use omnihal::{
    Backend, DType, Device, MemoryKind, Op, OpKind, RowFormat, SpaceShape, StepShape, Stream, View, WeightFormat,
};
use omnihal_null::{Call, Calls, NullBackend};
use omnihal_runtime::layers::{ValidateOptions, validate_with};
use omnihal_runtime::{Operand, Program, ProgramSpec, Recipe, TierLimit};
use std::collections::BTreeSet;
use std::sync::Arc;

const ROWS: usize = 6;
const SEQS: usize = 2;
const WANTED: usize = 3;
const SLOTS: usize = 4;
const POSITIONS: usize = 64;
const PAGES: PageSpace = PageSpace { pages: 9, entries: 4, table: 3 };

fn step(tile: usize) -> StepShape {
    let space = |ratio, overlap, ring| SpaceShape {
        ratio,
        overlap,
        closings: SpaceShape::max_closings(ratio, ROWS, SEQS),
        table: PAGES.table,
        page_entries: PAGES.entries,
        ring,
    };
    StepShape {
        rows: ROWS,
        seqs: SEQS,
        wanted: WANTED,
        tile,
        window: 4,
        ring: 12,
        drafts: 1,
        spaces: vec![space(4, true, 16), space(8, false, 24)],
    }
}

fn hyper_ops(act: DType) -> Vec<Op> {
    let (rows, streams, width) = (ROWS, 4, 32);
    let norms = [None, Some(DType::BF16)];
    let mut ops: Vec<Op> = vec![
        hyper::Sinkhorn { rows, streams, iters: 3, eps: 1e-6 }.into(),
        hyper::Post { rows, streams, width, act }.into(),
    ];
    for norm in norms {
        ops.push(hyper::Pre { rows, streams, width, iters: 3, eps: 1e-6, hc_eps: 1e-6, norm, act }.into());
        ops.push(hyper::Head { rows, wanted: WANTED, streams, width, eps: 1e-6, hc_eps: 1e-6, norm, act }.into());
    }
    ops
}

fn attention_ops(act: DType) -> Vec<Op> {
    let (rows, head, rotary, positions, eps) = (ROWS, 96, 32, POSITIONS, 1e-6);
    let mut ops: Vec<Op> = vec![attention::Query { rows, heads: 3, head, rotary, positions, eps, act }.into()];
    for quant in [RowQuant::None, RowQuant::F8Nope] {
        let weight = DType::BF16;
        ops.push(attention::Latent { rows, q_lora: 16, head, rotary, positions, eps, quant, weight, act }.into());
    }
    for (entries, ratio) in [(Entries::None, 0), (Entries::Listed(5), 4), (Entries::All, 8)] {
        let sparse = attention::Sparse {
            rows,
            seqs: SEQS,
            heads: 3,
            head,
            rotary,
            positions,
            window: 4,
            scale: 0.1,
            entries,
            ratio,
            pages: PAGES,
            ring: 12,
            slots: SLOTS,
            format: RowFormat::Plain(act),
            inverse: true,
            act,
        };
        ops.push(sparse.into());
    }
    ops.push(
        cache::Store {
            rows,
            seqs: SEQS,
            width: head,
            rotary,
            ring: 12,
            slots: SLOTS,
            format: RowFormat::Plain(act),
            act,
        }
        .into(),
    );
    ops
}

fn compress_ops(act: DType) -> Vec<Op> {
    let mut ops = Vec::new();
    for (ratio, overlap, ring, quant) in
        [(4, true, 16, RowQuant::None), (8, false, 24, RowQuant::F8Nope), (4, true, 16, RowQuant::F4All)]
    {
        let (width, rotary) = if quant == RowQuant::F8Nope { (96, 32) } else { (64, 16) };
        let update = compress::Update {
            rows: ROWS,
            seqs: SEQS,
            closings: SpaceShape::max_closings(ratio, ROWS, SEQS),
            ratio,
            overlap,
            width,
            rotary,
            positions: POSITIONS,
            ring,
            slots: SLOTS,
            eps: 1e-6,
            hadamard: quant == RowQuant::F4All,
            quant,
            pages: PAGES,
            format: RowFormat::Plain(act),
            weight: DType::BF16,
            act,
        };
        ops.push(update.into());
    }
    for (hadamard, quant) in [(false, RowQuant::None), (true, RowQuant::F4All)] {
        ops.push(
            indexer::Query { rows: ROWS, heads: 2, width: 32, rotary: 8, positions: POSITIONS, hadamard, quant, act }
                .into(),
        );
    }
    for with_scores in [false, true] {
        let select = indexer::Select {
            rows: ROWS,
            seqs: SEQS,
            heads: 2,
            width: 32,
            rotary: 8,
            keep: 5,
            ratio: 4,
            pages: PAGES,
            format: RowFormat::Plain(act),
            act,
            with_scores,
        };
        ops.push(select.into());
    }
    ops
}

fn moe_ops(act: DType) -> Vec<Op> {
    let (rows, width, choices, limit) = (ROWS, 128, 2, 7.0);
    let plain = WeightFormat::Plain(DType::BF16);
    let mut ops: Vec<Op> = Vec::new();
    for (routing, with_logits) in [(moe::Routing::Scored, true), (moe::Routing::Hash(50), false)] {
        let (experts, scale, gate) = (8, 1.5, DType::BF16);
        ops.push(moe::Route { rows, width, experts, choices, routing, scale, gate, act, with_logits }.into());
    }
    for weighted in [false, true] {
        ops.push(moe::Swiglu { rows, inter: 24, limit, weighted, input: act, output: act }.into());
    }
    for a_quant in [ActQuant::None, ActQuant::F8G128] {
        ops.push(moe::Mlp { rows, width, inter: 128, w13: plain, w2: plain, limit, a_quant, act }.into());
        let accumulate = a_quant == ActQuant::None;
        let (first, local, w13, w2) = (2, 4, plain, plain);
        ops.push(
            moe::Experts { rows, width, inter: 128, choices, first, local, w13, w2, limit, a_quant, act, accumulate }
                .into(),
        );
    }
    ops
}

fn other_ops() -> Vec<Op> {
    let mut ops: Vec<Op> = vec![
        embed::Ids { rows: ROWS, slots: SLOTS, drafts: 1 }.into(),
        cache::CopyRows { rows: SLOTS, width: 40, count: 3, dtype: DType::F32 }.into(),
    ];
    for penalties in [false, true] {
        let pick =
            sample::Pick { wanted: WANTED, vocab: 50, candidates: 20, rows: ROWS, slots: SLOTS, drafts: 1, penalties };
        ops.push(pick.into());
    }
    ops
}

fn fused_ops() -> Vec<Op> {
    let by_type = |act| [hyper_ops(act), attention_ops(act), compress_ops(act), moe_ops(act)].concat();
    [by_type(DType::F32), by_type(DType::BF16), other_ops()].concat()
}

/// Memory of its own for each argument.
fn operands(device: &dyn Device, op: &Op, keep: &mut Vec<omnihal::Buffer>) -> Vec<Operand> {
    let present = op.arg_types().into_iter().filter(|t| t.present);
    present
        .map(|t| {
            let buffer = device.alloc(t.format.bytes(&t.shape), MemoryKind::Device).unwrap();
            let view = View::contiguous(buffer.mem(), t.format.dtype(), t.shape).unwrap();
            keep.push(buffer);
            Operand::view(view)
        })
        .collect()
}

fn run(device: &Arc<dyn Device>, stream: &dyn Stream, op: &Op, tile: usize, limit: TierLimit) -> omnihal::Result<()> {
    let (mut recipe, mut keep) = (Recipe::new(), Vec::new());
    let operands = operands(&**device, op, &mut keep);
    recipe.op(*op, &operands.iter().collect::<Vec<_>>());
    let recipe = recipe.finish()?;
    let mut program =
        Program::build(device, stream, ProgramSpec { recipe: &recipe, step: step(tile), limit, fallback: None, keep })?;
    let arena = device.alloc(program.arena_bytes().max(1), MemoryKind::Device)?;
    program.bind(&arena)?;
    program.run(stream, ROWS)
}

fn runs(calls: &Calls) -> BTreeSet<OpKind> {
    let kinds = calls.journal().into_iter().filter_map(|call| match call {
        Call::Run(kind) => Some(kind),
        _ => None,
    });
    kinds.collect()
}

#[test]
fn composed_operators_make_only_legal_calls_of_core_operators() {
    let mut failures = Vec::new();
    for (op, tile) in fused_ops().into_iter().flat_map(|op| [(op, 1), (op, 4)]) {
        let backend = NullBackend::new();
        let calls = backend.calls();
        let device = validate_with(backend.open(0).unwrap(), ValidateOptions { live: true, poison: true });
        let stream = device.stream().unwrap();
        if let Err(error) = run(&device, &*stream, &op, tile, TierLimit::Core) {
            failures.push(format!("tile {tile}: {error}\n    in {op:?}"));
            continue;
        }
        let kinds = runs(&calls);
        assert!(!kinds.is_empty() && kinds.iter().all(|k| k.spec().tier == Tier::Core), "{op:?} ran {kinds:?}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn native_operators_are_called_legally_too() {
    for op in fused_ops() {
        let backend = NullBackend::new();
        let calls = backend.calls();
        let device = validate_with(backend.open(0).unwrap(), ValidateOptions { live: true, poison: true });
        let stream = device.stream().unwrap();
        run(&device, &*stream, &op, 1, TierLimit::All).unwrap();
        assert_eq!(runs(&calls), BTreeSet::from([op.kind()]));
    }
}

#[test]
fn every_operator_that_can_be_composed_is_tried() {
    let tried: BTreeSet<_> = fused_ops().iter().map(Op::kind).collect();
    let fused = OpKind::ALL.iter().filter(|k| k.spec().tier == Tier::Fused);
    let missing: Vec<_> = fused.filter(|k| !tried.contains(k)).map(|k| k.name()).collect();
    assert_eq!(missing, ["quant.quantize"]);
}
