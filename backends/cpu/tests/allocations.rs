//! A run allocates nothing, on any thread.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

mod common;

use common::{Host, Random};
use omnihal::op::ActQuant;
use omnihal::op::gemm::{Batched, Grouped, Linear};
use omnihal::op::hyper::{Head, Post, Pre, mix};
use omnihal::op::moe::{Experts, Group, Mlp, Route, Routing, Swiglu};
use omnihal::op::norm::Rms;
use omnihal::{Args, DType, MemoryKind, Op, View, WeightFormat};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ACT: DType = DType::BF16;

fn linear(rows: usize, weight: WeightFormat, a_quant: ActQuant) -> Op {
    Linear { rows, inner: 128, outer: 300, input: ACT, weight, a_quant, output: ACT, accumulate: true }.into()
}

fn operators(rows: usize) -> Vec<Op> {
    let (bf16, fp4) = (WeightFormat::Plain(ACT), WeightFormat::FP4_ROW);
    let (inter, choices, local) = (128, 2, 4);
    let a_quant = ActQuant::F8G128;
    let eps = 1e-6;
    vec![
        linear(rows, bf16, ActQuant::None),
        linear(rows, WeightFormat::FP8_BLOCK, a_quant),
        Batched {
            batch: 3,
            m: rows,
            inner: 32,
            n: 20,
            transpose_a: false,
            transpose_b: false,
            input: ACT,
            output: ACT,
            alpha: 1.0,
            accumulate: false,
        }
        .into(),
        Grouped { rows, groups: 3, inner: 64, outer: 32, input: ACT, weight: fp4, output: ACT }.into(),
        Rms { rows, heads: 2, width: 64, eps, weight: Some(ACT), input: ACT, output: ACT }.into(),
        Pre { rows, streams: 4, width: 128, iters: 20, eps, hc_eps: eps, norm: Some(ACT), act: ACT }.into(),
        Post { rows, streams: 4, width: 128, act: ACT }.into(),
        Head { rows, wanted: 1, streams: 4, width: 128, eps, hc_eps: eps, norm: Some(ACT), act: ACT }.into(),
        Group { rows, choices, first: 0, local }.into(),
        Route {
            rows,
            width: 128,
            experts: 8,
            choices,
            routing: Routing::Scored,
            scale: 1.0,
            gate: ACT,
            act: ACT,
            with_logits: false,
        }
        .into(),
        Swiglu { rows, inter, limit: 10.0, weighted: false, input: ACT, output: ACT }.into(),
        Mlp { rows, width: 128, inter, w13: bf16, w2: bf16, limit: 10.0, a_quant, act: ACT }.into(),
        Experts {
            rows,
            width: 128,
            inter,
            choices,
            first: 0,
            local,
            w13: fp4,
            w2: fp4,
            limit: 10.0,
            a_quant,
            act: ACT,
            accumulate: true,
        }
        .into(),
    ]
}

#[test]
fn running_a_plan_allocates_nothing() {
    assert_eq!(mix(4), 24);
    for threads in [1, 3] {
        let host = Host::new(threads);
        for op in [1, 40].into_iter().flat_map(operators) {
            let mut random = Random::new("allocations");
            let mut keep = Vec::new();
            let views: Vec<Option<View>> = op
                .arg_types()
                .into_iter()
                .map(|arg| {
                    let tensor = match arg.format.dtype() {
                        DType::I32 => host.indices(arg.shape, &vec![1; arg.shape.elements()]),
                        _ => host.weight(arg.format, arg.shape, &mut random).0,
                    };
                    keep.push(tensor);
                    keep.last().and_then(|t| t.arg()).filter(|_| arg.present)
                })
                .collect();
            let plan = host.device.plan(&op).unwrap();
            let workspace = host.device.alloc(plan.workspace(), MemoryKind::Device).unwrap();
            let args = Args { views: &views, workspace: workspace.mem(), rows_hint: usize::MAX };
            let mut least = usize::MAX;
            for _ in 0..3 {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                // SAFETY: every buffer is alive, and the views are made from the operator's own argument types.
                unsafe { host.stream.run(&*plan, &args).unwrap() };
                least = least.min(ALLOCATIONS.load(Ordering::Relaxed) - before);
            }
            assert_eq!(least, 0, "{op:?} on {threads} threads");
        }
    }
}
