//! Launch arithmetic: whatever the sizes, strides and addresses, every launch stays within what the driver takes.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::attention::{Entries, Latent, Query, Sparse};
use omnihal::op::compress::Update;
use omnihal::op::copy::{Concat, Copy, Fill, Gather, Scatter};
use omnihal::op::elementwise::{Cumsum, Reduce, Reduction, Softmax};
use omnihal::op::embed::Lookup;
use omnihal::op::gemm::{Batched, Grouped, Linear};
use omnihal::op::hyper::{Head, Post, Pre};
use omnihal::op::indexer::Select;
use omnihal::op::moe::{Experts, Group, Mlp, Route, Routing, Swiglu};
use omnihal::op::norm::Rms;
use omnihal::op::quant::Qdq;
use omnihal::op::sample::TopK;
use omnihal::op::{ActQuant, PageSpace, QuantKind, RowQuant};
use omnihal::{Args, DType, Device, Mem, Op, Quant, RowFormat, Stream, View, WeightFormat};
use proptest::prelude::*;
use stand_in::StandIn;
use std::time::Duration;

/// Sizes from which a step of a released model is drawn.
#[derive(Clone, Debug)]
struct Sizes {
    rows: usize,
    seqs: usize,
    width: usize,
    heads: usize,
    act: DType,
    weight: WeightFormat,
    context: usize,
    a_quant: ActQuant,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let weights = prop_oneof![
        Just(WeightFormat::Plain(DType::BF16)),
        Just(WeightFormat::Plain(DType::F32)),
        Just(WeightFormat::FP8_BLOCK),
        Just(WeightFormat::FP4_ROW)
    ];
    let act = prop_oneof![Just(DType::F32), Just(DType::BF16)];
    let a_quant = prop_oneof![Just(ActQuant::None), Just(ActQuant::F8G128)];
    (1usize..5000, 1usize..64, 1usize..60, 1usize..130, act, weights, 1usize..1_048_576, a_quant).prop_map(
        |(rows, seqs, width, heads, act, weight, context, a_quant)| Sizes {
            rows,
            seqs: seqs.min(rows),
            width: 128 * width,
            heads,
            act,
            weight,
            context,
            a_quant,
        },
    )
}

/// Operators of those sizes.
fn ops(s: &Sizes) -> Vec<Op> {
    let (rows, width, act, weight, a_quant, seqs, heads) =
        (s.rows, s.width, s.act, s.weight, s.a_quant, s.seqs, s.heads);
    let (f32, bf16, rotary, positions, eps) = (DType::F32, DType::BF16, 64, 1 << 20, 1e-6);
    let table = s.context.div_ceil(256);
    let pages = PageSpace { pages: 2 + table, entries: 64, table };
    let format = RowFormat::Plain(act);
    let limit = 10.0;
    let sparse = |entries| Sparse {
        rows,
        seqs,
        heads,
        head: 512,
        rotary,
        positions,
        window: 128,
        scale: 0.1,
        entries,
        ratio: 4,
        pages,
        ring: 144,
        slots: 66,
        format,
        inverse: true,
        act,
    };
    let update = Update {
        rows,
        seqs,
        closings: rows / 4 + seqs,
        ratio: 4,
        overlap: true,
        width: 512,
        rotary,
        positions,
        ring: 16,
        slots: 66,
        eps,
        hadamard: false,
        quant: RowQuant::None,
        pages,
        format,
        weight: f32,
        act,
    };
    vec![
        Rms { rows, heads, width, eps, weight: Some(f32), input: act, output: act }.into(),
        Linear { rows, inner: width, outer: 33 * heads, input: act, weight, a_quant, output: act, accumulate: false }
            .into(),
        Batched {
            batch: heads,
            m: rows,
            inner: width,
            n: 64,
            transpose_a: false,
            transpose_b: true,
            input: act,
            output: act,
            alpha: 1.0,
            accumulate: false,
        }
        .into(),
        Grouped { rows, groups: 4, inner: width, outer: 2 * heads, input: act, weight, output: act }.into(),
        Experts {
            rows,
            width,
            inter: 128,
            choices: 2,
            first: 0,
            local: 4,
            w13: weight,
            w2: weight,
            limit,
            a_quant,
            act,
            accumulate: true,
        }
        .into(),
        Mlp { rows, width, inter: 128, w13: weight, w2: weight, limit, a_quant, act }.into(),
        Route {
            rows,
            width,
            experts: 256,
            choices: 6,
            routing: Routing::Scored,
            scale: 1.5,
            gate: bf16,
            act,
            with_logits: false,
        }
        .into(),
        Group { rows, choices: 6, first: 0, local: 256 }.into(),
        Swiglu { rows, inter: width, limit, weighted: true, input: act, output: act }.into(),
        Pre { rows, streams: 4, width, iters: 20, eps, hc_eps: eps, norm: Some(f32), act }.into(),
        Post { rows, streams: 4, width, act }.into(),
        Head { rows, wanted: seqs, streams: 4, width, eps, hc_eps: eps, norm: Some(f32), act }.into(),
        Latent { rows, q_lora: width, head: 512, rotary, positions, eps, quant: RowQuant::None, weight: f32, act }
            .into(),
        Query { rows, heads, head: 512, rotary, positions, eps, act }.into(),
        sparse(Entries::None).into(),
        sparse(Entries::Listed(pages.capacity().min(512))).into(),
        sparse(Entries::All).into(),
        Select {
            rows,
            seqs,
            heads: 64,
            width: 128,
            rotary,
            keep: pages.capacity().min(512),
            ratio: 4,
            pages,
            format,
            act,
            with_scores: false,
        }
        .into(),
        update.into(),
        Lookup { rows, vocab: 1000, width, copies: 4, table: bf16, act }.into(),
        Qdq { rows, heads, width, group: 128, kind: QuantKind::F8E4M3, dtype: act }.into(),
        TopK { rows: seqs, width: 129_280, keep: 1024, largest: true, sorted: true }.into(),
        Copy { shape: [rows, heads, width].into(), input: act, output: f32 }.into(),
        Fill { shape: [rows, width].into(), value: 1.0, dtype: act }.into(),
        Gather { rows: 1000, width, count: rows, dtype: act, trusted: false }.into(),
        Scatter { rows: 1000, width, count: rows, dtype: act, trusted: false }.into(),
        Concat { pre: rows, lens: [heads, 1, 0, 0], post: width, dtype: act }.into(),
        Reduce { pre: rows, len: width, post: heads, op: Reduction::Sum, alpha: 1.0, input: act, output: f32 }.into(),
        Softmax { pre: rows, len: width, post: heads }.into(),
        Cumsum { rows: seqs, len: 129_280, exclusive: true }.into(),
    ]
}

/// A view at an address that need not be aligned beyond its element, its rows `gap` elements apart.
fn view(arg: &omnihal::op::ArgType, offset: usize, gap: usize) -> View {
    let dtype = arg.format.dtype();
    let mem = Mem { addr: 0x7000_0000_0000, len: usize::MAX >> 8 };
    let mut view = View::contiguous(mem, dtype, arg.shape).unwrap();
    view.offset = offset * dtype.bits().max(8) / 8;
    if arg.name == "lat" || arg.name == "q" {
        view.strides[0] += gap;
    }
    if let (WeightFormat::Blocked { scale, block, .. }, Some(shape)) = (arg.format, arg.format.scale_shape(&arg.shape))
    {
        view.quant = Some(Quant { mem, dtype: scale, block, shape });
    }
    view
}

fn run(device: &dyn Device, stream: &dyn Stream, op: &Op, offset: usize, gap: usize) -> Result<(), TestCaseError> {
    // What is refused is refused with words, before any launch.
    let Ok(plan) = device.plan(op) else { return Ok(()) };
    let views: Vec<_> = op.arg_types().iter().map(|arg| arg.present.then(|| view(arg, offset, gap))).collect();
    let mut args = Args::new(&views);
    args.workspace = Mem { addr: 0x6000_0000_0000, len: plan.workspace() };
    // SAFETY: the driver runs no kernel: nothing is read or written.
    unsafe { stream.run(&*plan, &args) }.map_err(|error| TestCaseError::fail(format!("{op:?}: {error}")))
}

#[test]
fn every_launch_stays_within_the_drivers_limits() {
    // SAFETY: the test has started no thread yet.
    unsafe { std::env::set_var("FAKE_CUDA_DRY", "1") };
    let families: Vec<_> = omnihal_cuda::kernels::families().collect();
    let driver = StandIn::stage(&families);
    let device = driver.open();
    let stream = device.stream().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&(sizes(), 0usize..9, 0usize..9), |(sizes, offset, gap)| {
            for op in ops(&sizes).iter().filter(|op| op.check().is_ok()) {
                run(&*device, &*stream, op, offset, gap)?;
            }
            stream.sync(Duration::from_secs(60)).map_err(|error| TestCaseError::fail(error.to_string()))
        })
        .unwrap();
    assert!(driver.calls("cuLaunchKernel") > 1000);
}
