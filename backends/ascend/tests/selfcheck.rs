//! Fused operators of the vendor's: used when they pass their self-check, and composed, with the reason, when they do not.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::PageSpace;
use omnihal::op::attention::{Entries, Query, Sparse};
use omnihal::op::hyper::{Post, Pre};
use omnihal::op::indexer::Select;
use omnihal::op::moe::{Route, Routing, Swiglu};
use omnihal::{DType, Device, Op, RowFormat, Support};
use stand_in::StandIn;

fn pre() -> Op {
    let norm = Some(DType::F32);
    Pre { rows: 2, streams: 4, width: 128, iters: 20, eps: 1e-6, hc_eps: 1e-6, norm, act: DType::BF16 }.into()
}

fn post() -> Op {
    Post { rows: 2, streams: 4, width: 128, act: DType::BF16 }.into()
}

fn route(routing: Routing) -> Op {
    let (gate, act) = (DType::F32, DType::BF16);
    Route { rows: 2, width: 64, experts: 16, choices: 4, routing, scale: 1.5, gate, act, with_logits: true }.into()
}

fn swiglu() -> Op {
    Swiglu { rows: 2, inter: 32, limit: 10.0, weighted: true, input: DType::F32, output: DType::BF16 }.into()
}

fn refusal(device: &dyn Device, op: &Op) -> String {
    match device.supports(op) {
        Support::No(why) => why,
        other => format!("{other:?}"),
    }
}

fn query() -> Op {
    Query { rows: 2, heads: 2, head: 64, rotary: 16, positions: 32, eps: 1e-6, act: DType::BF16 }.into()
}

fn sparse(entries: Entries, ratio: usize, page: usize) -> Op {
    let pages = PageSpace { pages: 8, table: 4, entries: page };
    let format = RowFormat::Plain(DType::BF16);
    let (rows, seqs, heads, head, rotary, positions, window) = (2, 1, 8, 512, 64, 256, 128);
    let (scale, ring, slots, inverse, act) = (0.044, 136, 4, true, DType::BF16);
    Sparse {
        rows,
        seqs,
        heads,
        head,
        rotary,
        positions,
        window,
        scale,
        entries,
        ratio,
        pages,
        ring,
        slots,
        format,
        inverse,
        act,
    }
    .into()
}

fn select() -> Op {
    let pages = PageSpace { pages: 8, table: 4, entries: 64 };
    let format = RowFormat::Plain(DType::BF16);
    let (rows, seqs, heads, width, rotary, keep, ratio) = (2, 1, 32, 128, 64, 64, 4);
    let (act, with_scores) = (DType::BF16, false);
    Select { rows, seqs, heads, width, rotary, keep, ratio, pages, format, act, with_scores }.into()
}

#[test]
fn a_fused_operator_runs_after_it_agreed_with_its_composition_and_each_mistake_is_told() {
    let cann = StandIn::stage_fused("Ascend950PR_9599", true);
    for op in [pre(), post(), route(Routing::Scored), route(Routing::Hash(9)), swiglu(), query(), select()] {
        let device = cann.open();
        assert_eq!(device.supports(&op), Support::Native, "{op:?}");
    }
    for name in [
        "aclnnMhcPreSinkhorn",
        "aclnnMhcPost",
        "aclnnMoeGatingTopKV2",
        "aclnnClippedSwiglu",
        "aclnnInplacePartialRotaryMul",
    ] {
        assert!(cann.calls(name) > 0, "{name}");
    }
    // A second look at the same form checks nothing anew.
    let device = cann.open();
    device.plan(&pre()).unwrap();
    let calls = cann.calls("aclnnMhcPreSinkhorn");
    device.plan(&pre()).unwrap();
    assert_eq!(cann.calls("aclnnMhcPreSinkhorn"), calls);

    // With CANN's own wrong, the package's is taken where it has one.
    for (op, first, second) in [
        (pre(), "MhcPreSinkhorn:transposed-weight", "HcPre:transposed-weight"),
        (pre(), "MhcPreSinkhorn:rows-first", "HcPre:rows-first"),
        (pre(), "MhcPreSinkhorn:arity", "HcPre:arity"),
        (post(), "MhcPost:transposed-mix", "HcPost:transposed-mix"),
        (post(), "MhcPost:arity", "HcPost:arity"),
        (route(Routing::Scored), "MoeGatingTopKV2:sum-of-all", "MoeGatingTopKHash:sum-of-all"),
        (route(Routing::Scored), "MoeGatingTopKV2:bias-in-weights", "MoeGatingTopKHash:bias-in-weights"),
        (route(Routing::Scored), "MoeGatingTopKV2:ties-last", "MoeGatingTopKHash:ties-last"),
        (route(Routing::Hash(9)), "MoeGatingTopKV2:arity", "MoeGatingTopKHash:arity"),
    ] {
        cann.wrong(first);
        assert_eq!(cann.open().supports(&op), Support::Native, "{first}: the other package's is right");
        cann.wrong(&format!("{first},{second}"));
        let why = refusal(&*cann.open(), &op);
        assert_eq!(why.matches("failed its self-check").count(), 2, "{first}: {why}");
    }
    for mistake in ["ClippedSwiglu:halves-swapped", "ClippedSwiglu:unclipped", "ClippedSwiglu:arity"] {
        cann.wrong(mistake);
        let why = refusal(&*cann.open(), &swiglu());
        assert!(why.contains("aclnnClippedSwiglu of CANN 9.1: failed its self-check"), "{mistake}: {why}");
    }
    // The package has a rotation of the same name, and the same mistake.
    for mistake in ["InplacePartialRotaryMul:halves", "InplacePartialRotaryMul:arity"] {
        cann.wrong(mistake);
        let why = refusal(&*cann.open(), &query());
        assert_eq!(why.matches("failed its self-check").count(), 2, "{mistake}: {why}");
    }
    for mistake in
        ["LightningIndexerV2:without-relu", "LightningIndexerV2:weights-ignored", "LightningIndexerV2:unmasked"]
    {
        cann.wrong(mistake);
        let why = refusal(&*cann.open(), &select());
        assert!(why.contains("aclnnLightningIndexerV2 of CANN 9.1: failed its self-check"), "{mistake}: {why}");
    }
    cann.wrong("");
    let forms = [sparse(Entries::None, 4, 64), sparse(Entries::Listed(512), 4, 64), sparse(Entries::All, 128, 16)];
    for op in &forms {
        assert_eq!(cann.open().supports(op), Support::Native, "{op:?}");
    }
    let calls = ["aclnnSparseFlashMla", "aclnnSparseFlashMlaMetadata"].map(|name| cann.calls(name));
    assert_eq!(calls, [3, 3]);
    for (op, mistake) in [
        (&forms[0], "SparseFlashMla:missing-sink"),
        (&forms[0], "SparseFlashMla:window-too-short"),
        (&forms[0], "InplacePartialRotaryMul:halves"),
        (&forms[1], "SparseFlashMla:missing-sink"),
        (&forms[1], "SparseFlashMlaMetadata:arity"),
        (&forms[2], "SparseFlashMla:entries-unmasked"),
        (&forms[2], "SparseFlashMla:arity"),
    ] {
        cann.wrong(mistake);
        let why = refusal(&*cann.open(), op);
        assert!(why.contains("aclnnSparseFlashMla of CANN 9.1: failed its self-check"), "{mistake}: {why}");
    }
    cann.wrong("");
    // A failure that is not the stand-in's arithmetic counts as well.
    cann.fail("aclnnClippedSwigluGetWorkspaceSize", 0, 561_003);
    assert!(refusal(&*cann.open(), &swiglu()).contains("561003"));
    assert_eq!(cann.broken(), "");
}
