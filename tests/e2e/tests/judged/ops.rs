//! The cases: descriptors of small, odd sizes in both activation types.

use crate::inputs::{PAGES, POSITIONS, ROWS, SEQS, SLOTS};
use omnihal::op::attention::{self, Entries};
use omnihal::op::elementwise::{Arith, Binary, Cumsum, Func, Reduce, Reduction, Softmax, Unary};
use omnihal::op::{
    ActQuant, QuantKind, RowQuant, cache, compress, copy, embed, gemm, hyper, indexer, moe, norm, quant, rope, sample,
};
use omnihal::{DType, Op, RowFormat, SpaceShape, WeightFormat};

pub fn all() -> Vec<Op> {
    let mut ops = exact();
    for act in [DType::F32, DType::BF16] {
        ops.extend(products(act));
        ops.extend(rows(act));
        ops.extend(blocks(act));
        ops.extend(state(act));
    }
    ops
}

const FORMATS: [WeightFormat; 4] =
    [WeightFormat::Plain(DType::F32), WeightFormat::Plain(DType::BF16), WeightFormat::FP8_BLOCK, WeightFormat::FP4_ROW];

fn products(input: DType) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for weight in FORMATS {
        for (rows, inner, outer) in [(1, 96, 33), (7, 160, 130), (19, 256, 17)] {
            for output in [DType::F32, input] {
                let (a_quant, accumulate) = (ActQuant::None, false);
                ops.push(gemm::Linear { rows, inner, outer, input, weight, a_quant, output, accumulate }.into());
            }
        }
        let a_quant = ActQuant::F8G128;
        let (rows, inner, outer, output) = (5, 256, 40, input);
        ops.push(gemm::Linear { rows, inner, outer, input, weight, a_quant, output, accumulate: false }.into());
        ops.push(gemm::Grouped { rows: 6, groups: 3, inner: 96, outer: 21, input, weight, output: DType::F32 }.into());
    }
    for (transpose_a, transpose_b, accumulate) in [(false, false, false), (true, false, true), (false, true, false)] {
        let (batch, m, inner, n, output, alpha) = (3, 5, 37, 9, DType::F32, 0.3);
        let d = gemm::Batched { batch, m, inner, n, transpose_a, transpose_b, input, output, alpha, accumulate };
        ops.push(d.into());
    }
    ops
}

fn rows(act: DType) -> Vec<Op> {
    let (rows, heads, width) = (ROWS, 3, 64);
    let mut ops: Vec<Op> = Vec::new();
    for weight in [None, Some(DType::F32), Some(DType::BF16)] {
        ops.push(norm::Rms { rows, heads, width: 77, eps: 1e-6, weight, input: act, output: act }.into());
    }
    for inverse in [false, true] {
        ops.push(rope::Apply { rows, heads, width, rotary: 24, inverse, dtype: act }.into());
    }
    for (kind, group) in [(QuantKind::F8E4M3, 64), (QuantKind::F8E4M3, 32), (QuantKind::F4E2M1, 32)] {
        ops.push(quant::Qdq { rows, heads, width, group, kind, dtype: act }.into());
    }
    let funcs = [Func::Exp, Func::Sigmoid, Func::Silu, Func::Relu, Func::Abs, Func::SqrtSoftplus];
    for func in funcs {
        let shape = [5, 19].into();
        let (alpha, beta, gamma, delta) = (0.7, 0.1, 2.0, -0.3);
        ops.push(Unary { shape, func, alpha, beta, gamma, delta, input: act, output: act }.into());
    }
    for arith in [Arith::Add, Arith::Sub, Arith::Mul, Arith::Min, Arith::Max] {
        let (shape, a_shape, b_shape) = ([4, 3, 9].into(), [4, 1, 9].into(), [1, 3, 1].into());
        let d = Binary { shape, a_shape, b_shape, arith, eps: 0.0, scale: 1.0, a: act, b: DType::F32, output: act };
        ops.push(d.into());
    }
    for op in [Reduction::Sum, Reduction::Max, Reduction::MeanSquare] {
        ops.push(Reduce { pre: 3, len: 29, post: 2, op, alpha: 0.5, input: act, output: DType::F32 }.into());
    }
    ops.push(moe::Swiglu { rows, inter: 33, limit: 1.0, weighted: true, input: DType::F32, output: act }.into());
    ops
}

fn blocks(act: DType) -> Vec<Op> {
    let (rows, streams, width, eps, hc_eps) = (ROWS, 4, 48, 1e-6, 1e-6);
    let mut ops: Vec<Op> = vec![hyper::Post { rows, streams, width, act }.into()];
    for norm in [None, Some(DType::BF16)] {
        ops.push(hyper::Pre { rows, streams, width, iters: 20, eps, hc_eps, norm, act }.into());
        ops.push(hyper::Head { rows, wanted: 3, streams, width, eps, hc_eps, norm, act }.into());
    }
    for (w13, w2) in [(FORMATS[1], FORMATS[0]), (FORMATS[2], FORMATS[2]), (FORMATS[3], FORMATS[3])] {
        for a_quant in [ActQuant::None, ActQuant::F8G128] {
            let (width, inter, limit) = (128, 128, 1.0);
            ops.push(moe::Mlp { rows, width, inter, w13, w2, limit, a_quant, act }.into());
            let (choices, first, local) = (2, 0, 4);
            let experts = |accumulate| moe::Experts {
                rows,
                width,
                inter,
                choices,
                first,
                local,
                w13,
                w2,
                limit,
                a_quant,
                act,
                accumulate,
            };
            ops.extend([false, true].map(|accumulate| Op::from(experts(accumulate))));
        }
    }
    for routing in [moe::Routing::Scored, moe::Routing::Hash(7)] {
        let (width, experts, choices, scale, gate) = (48, 9, 3, 1.5, DType::BF16);
        ops.push(moe::Route { rows, width, experts, choices, routing, scale, gate, act, with_logits: true }.into());
    }
    ops
}

fn state(act: DType) -> Vec<Op> {
    let (rows, seqs, slots, positions, eps, rotary) = (ROWS, SEQS, SLOTS, POSITIONS, 1e-6, 32);
    let (head, format) = (96, RowFormat::Plain(act));
    let mut ops: Vec<Op> = vec![
        attention::Query { rows, heads: 3, head, rotary, positions, eps, act }.into(),
        cache::Store { rows, seqs, width: head, rotary, ring: 12, slots, format, act }.into(),
    ];
    for quant in [RowQuant::None, RowQuant::F8Nope] {
        let (q_lora, weight) = (20, DType::BF16);
        ops.push(attention::Latent { rows, q_lora, head, rotary, positions, eps, quant, weight, act }.into());
    }
    for (entries, ratio) in [(Entries::None, 0), (Entries::Listed(3), 4), (Entries::All, 8), (Entries::All, 4)] {
        let d = attention::Sparse {
            rows,
            seqs,
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
            slots,
            format,
            inverse: true,
            act,
        };
        ops.push(d.into());
    }
    let quants = [(4, true, 16, RowQuant::None), (8, false, 24, RowQuant::F8Nope), (4, true, 16, RowQuant::F4All)];
    for (ratio, overlap, ring, quant) in quants {
        let (width, rotary) = if quant == RowQuant::F8Nope { (96, 32) } else { (64, 16) };
        let d = compress::Update {
            rows,
            seqs,
            closings: SpaceShape::max_closings(ratio, rows, seqs),
            ratio,
            overlap,
            width,
            rotary,
            positions,
            ring,
            slots,
            eps,
            hadamard: quant == RowQuant::F4All,
            quant,
            pages: PAGES,
            format,
            weight: DType::BF16,
            act,
        };
        ops.push(d.into());
    }
    for (hadamard, quant) in [(false, RowQuant::None), (true, RowQuant::F4All)] {
        ops.push(indexer::Query { rows, heads: 2, width: 32, rotary: 8, positions, hadamard, quant, act }.into());
    }
    let (heads, width, keep) = (2, 32, 2);
    let d = indexer::Select {
        rows,
        seqs,
        heads,
        width,
        rotary: 8,
        keep,
        ratio: 4,
        pages: PAGES,
        format,
        act,
        with_scores: true,
    };
    ops.push(d.into());
    ops
}

/// Operators whose results every device must give to the bit.
fn exact() -> Vec<Op> {
    let dtype = DType::F32;
    let mut ops: Vec<Op> = vec![
        embed::Lookup { rows: 5, vocab: 11, width: 13, copies: 4, table: DType::BF16, act: DType::BF16 }.into(),
        moe::Group { rows: 7, choices: 3, first: 1, local: 4 }.into(),
        cache::Rows { rows: 4, count: 9, tables: 2, table: 3, entries: 4 }.into(),
        sample::TopK { rows: 4, width: 50, keep: 7, largest: true, sorted: true }.into(),
        sample::TopK { rows: 4, width: 50, keep: 50, largest: false, sorted: true }.into(),
        copy::Copy { shape: [3, 17].into(), input: DType::F32, output: DType::BF16 }.into(),
        copy::Fill { shape: [3, 5].into(), value: 1.5, dtype }.into(),
        copy::Gather { rows: 9, width: 5, count: 14, dtype, trusted: false }.into(),
        copy::Scatter { rows: 9, width: 5, count: 4, dtype, trusted: false }.into(),
        copy::Take { rows: 4, width: 12, count: 6, dtype }.into(),
        copy::Concat { pre: 3, lens: [2, 3, 1, 0], post: 4, dtype }.into(),
        Softmax { pre: 3, len: 31, post: 2 }.into(),
        Cumsum { rows: 3, len: 21, exclusive: true }.into(),
        hyper::Sinkhorn { rows: 5, streams: 4, iters: 20, eps: 1e-6 }.into(),
    ];
    for (format, rows) in [(FORMATS[2], 130), (FORMATS[3], 3)] {
        for output in [DType::F32, DType::BF16] {
            ops.push(quant::Dequant { rows, width: 160, format, output }.into());
        }
    }
    ops
}
