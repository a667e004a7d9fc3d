//! The operators of a DeepSeek-V4-Flash block (deepseek-v4.md 1), and what each must move and compute at least.

use omnihal::op::attention::{Entries, Sparse};
use omnihal::op::gemm::{Batched, Linear};
use omnihal::op::hyper::{Post, Pre};
use omnihal::op::indexer::Select;
use omnihal::op::moe::{Experts, Mlp, Route, Routing};
use omnihal::op::{ActQuant, PageSpace};
use omnihal::{DType, Op, RowFormat, WeightFormat};

/// Rows of a step: `tokens` each of `batch` sequences, which then hold `context` tokens.
#[derive(Clone, Copy)]
pub struct Step {
    pub batch: usize,
    pub tokens: usize,
    pub context: usize,
}

impl Step {
    pub fn rows(self) -> usize {
        self.batch * self.tokens
    }
}

/// A line of the table.
pub struct Entry {
    pub name: &'static str,
    pub ops: Vec<Op>,
    /// Bytes that must be moved, each once.
    pub bytes: f64,
    pub flops: f64,
    /// The arithmetic may be done in FP8.
    pub fp8: bool,
    /// Depends on the context.
    pub by_context: bool,
}

const BF16: DType = DType::BF16;
const PLAIN: WeightFormat = WeightFormat::Plain(BF16);
/// Entries of a page.
const PAGE: usize = 64;

fn product(factors: &[usize]) -> f64 {
    factors.iter().map(|&f| f as f64).product()
}

/// The sizes of Flash, divided.
struct Sizes {
    hidden: usize,
    heads: usize,
    head: usize,
    q_lora: usize,
    groups: usize,
    o_lora: usize,
    experts: usize,
    choices: usize,
    inter: usize,
    window: usize,
    keep: usize,
}

impl Sizes {
    fn flash(divide: usize) -> Sizes {
        Sizes {
            hidden: 4096 / divide,
            heads: 64 / divide.min(8),
            head: 512 / divide.min(4),
            q_lora: 1024 / divide,
            groups: 8,
            o_lora: 1024 / divide,
            experts: 256 / divide,
            choices: 6,
            inter: 2048 / divide,
            window: 128,
            keep: 512 / divide,
        }
    }
}

/// All lines of a step.
pub fn entries(step: Step, divide: usize) -> Vec<Entry> {
    let s = Sizes::flash(divide);
    let mut all = Vec::new();
    projections(&s, step, &mut all);
    experts(&s, step, &mut all);
    all.push(hyper(&s, step));
    all.extend(attention(&s, step));
    all
}

fn linear(
    name: &'static str,
    step: Step,
    inner: usize,
    outer: usize,
    weight: WeightFormat,
    a_quant: ActQuant,
) -> Entry {
    let rows = step.rows();
    let op = Linear { rows, inner, outer, input: BF16, weight, a_quant, output: BF16, accumulate: false };
    let bytes = weight.bytes(&[outer, inner].into()) as f64 + 2.0 * product(&[rows, inner + outer]);
    Entry {
        name,
        ops: vec![op.into()],
        bytes,
        flops: 2.0 * product(&[rows, inner, outer]),
        fp8: a_quant != ActQuant::None,
        by_context: false,
    }
}

fn projections(s: &Sizes, step: Step, all: &mut Vec<Entry>) {
    let (none, fp8) = (ActQuant::None, WeightFormat::FP8_BLOCK);
    let quantised = ActQuant::F8G128;
    let (wide, out) = (s.heads * s.head, s.groups * s.o_lora);
    all.push(linear("q_a fp8", step, s.hidden, s.q_lora, fp8, none));
    all.push(linear("q_b fp8", step, s.q_lora, wide, fp8, none));
    all.push(linear("o_b fp8", step, out, s.hidden, fp8, none));
    all.push(linear("q_b bf16", step, s.q_lora, wide, PLAIN, none));
    all.push(linear("o_b bf16", step, out, s.hidden, PLAIN, none));
    if s.q_lora % 128 == 0 {
        all.push(linear("q_b fp8 x fp8", step, s.q_lora, wide, fp8, quantised));
        all.push(linear("o_b fp8 x fp8", step, out, s.hidden, fp8, quantised));
    }
    let (batch, m, inner, n) = (s.groups, step.rows(), wide / s.groups, s.o_lora);
    let op = Batched {
        batch,
        m,
        inner,
        n,
        transpose_a: false,
        transpose_b: true,
        input: BF16,
        output: BF16,
        alpha: 1.0,
        accumulate: false,
    };
    let bytes = 2.0 * (product(&[batch, inner, n]) + product(&[batch, m, inner + n]));
    all.push(Entry {
        name: "o_a",
        ops: vec![op.into()],
        bytes,
        flops: 2.0 * product(&[batch, m, inner, n]),
        fp8: false,
        by_context: false,
    });
}

/// Experts that `rows` rows hit when each picks its own at random.
fn hit(s: &Sizes, rows: usize) -> f64 {
    let missed = (1.0 - s.choices as f64 / s.experts as f64).powi(rows as i32);
    s.experts as f64 * (1.0 - missed)
}

fn experts(s: &Sizes, step: Step, all: &mut Vec<Entry>) {
    let (rows, act, limit, a_quant) = (step.rows(), BF16, 10.0, ActQuant::None);
    let (width, inter) = (s.hidden, s.inter);
    let route = Route {
        rows,
        width,
        experts: s.experts,
        choices: s.choices,
        routing: Routing::Scored,
        scale: 1.0,
        gate: BF16,
        act,
        with_logits: false,
    };
    let bytes = 2.0 * (product(&[s.experts, width]) + product(&[rows, width]));
    all.push(Entry {
        name: "router",
        ops: vec![route.into()],
        bytes,
        flops: 2.0 * product(&[rows, width, s.experts]),
        fp8: false,
        by_context: false,
    });
    let fp8 = WeightFormat::FP8_BLOCK;
    let mlp = Mlp { rows, width, inter, w13: fp8, w2: fp8, limit, a_quant, act };
    let weights = (fp8.bytes(&[2 * inter, width].into()) + fp8.bytes(&[width, inter].into())) as f64;
    let flops = 6.0 * product(&[rows, width, inter]);
    all.push(Entry {
        name: "shared expert fp8",
        ops: vec![mlp.into()],
        bytes: weights + 4.0 * product(&[rows, width]),
        flops,
        fp8: false,
        by_context: false,
    });
    let fp4 = WeightFormat::FP4_ROW;
    let routed = Experts {
        rows,
        width,
        inter,
        choices: s.choices,
        first: 0,
        local: s.experts,
        w13: fp4,
        w2: fp4,
        limit,
        a_quant,
        act,
        accumulate: false,
    };
    let one = (fp4.bytes(&[2 * inter, width].into()) + fp4.bytes(&[width, inter].into())) as f64;
    let bytes = hit(s, rows) * one + 4.0 * product(&[rows, width]);
    all.push(Entry {
        name: "experts fp4",
        ops: vec![routed.into()],
        bytes,
        flops: flops * s.choices as f64,
        fp8: false,
        by_context: false,
    });
}

fn hyper(s: &Sizes, step: Step) -> Entry {
    let (rows, width, streams, act) = (step.rows(), s.hidden, 4, BF16);
    let pre = Pre { rows, width, streams, iters: 20, eps: 1e-6, hc_eps: 1e-6, norm: Some(BF16), act };
    let post = Post { rows, streams, width, act };
    let bytes = 4.0 * product(&[24, streams, width]) + 2.0 * product(&[rows, width, 2 * streams + 2]);
    let flops = 2.0 * product(&[rows, width, streams * 24 + 2 * streams + streams * streams]);
    Entry {
        name: "mhc pre+sinkhorn+post",
        ops: vec![pre.into(), post.into()],
        bytes,
        flops,
        fp8: false,
        by_context: false,
    }
}

fn attention(s: &Sizes, step: Step) -> Vec<Entry> {
    let (rows, act, rotary) = (step.rows(), BF16, 64);
    let space = |ratio: usize, page: usize| {
        let table = step.context.div_ceil(ratio).div_ceil(page);
        PageSpace { pages: 2 + table * step.batch, entries: page, table }
    };
    let sparse = |entries, ratio: usize, pages| Sparse {
        rows,
        seqs: step.batch,
        heads: s.heads,
        head: s.head,
        rotary,
        positions: step.context,
        window: s.window,
        scale: (s.head as f32).powf(-0.5),
        entries,
        ratio,
        pages,
        ring: s.window + 16,
        slots: 2 + step.batch,
        format: RowFormat::F8R,
        inverse: true,
        act,
    };
    let row = RowFormat::F8R.bytes(s.head, rotary) as f64;
    let ends = 4.0 * product(&[rows, s.heads, s.head]);
    let attend = |name, op: Sparse, entries: usize, shared: bool| {
        let keys = s.window + entries;
        // Rows of one sequence share what they read where each reads all.
        let read = if shared { (step.batch * keys) as f64 } else { (rows * keys) as f64 };
        Entry {
            name,
            ops: vec![op.into()],
            bytes: read * row + ends,
            flops: 4.0 * product(&[rows, s.heads, s.head, keys]),
            fp8: false,
            by_context: true,
        }
    };
    let kept = s.keep.min(step.context / 4);
    let csa = space(4, PAGE);
    let mut all = vec![
        attend("attention csa", sparse(Entries::Listed(kept), 4, csa), kept, false),
        attend("attention hca", sparse(Entries::All, 128, space(128, 16)), step.context / 128, true),
    ];
    let (heads, width) = (64, 128);
    let visible = step.context / 4;
    for (name, format) in [("indexer fp4 keys", RowFormat::F4), ("indexer bf16 keys", RowFormat::Plain(BF16))] {
        let op = Select {
            rows,
            seqs: step.batch,
            heads,
            width,
            rotary: 64,
            keep: kept,
            ratio: 4,
            pages: csa,
            format,
            act,
            with_scores: false,
        };
        let bytes = (step.batch * visible * format.bytes(width, 64)) as f64 + 2.0 * product(&[rows, heads, width]);
        all.push(Entry {
            name,
            ops: vec![op.into()],
            bytes,
            flops: 2.0 * product(&[rows, heads, width + 1, visible]),
            fp8: false,
            by_context: true,
        });
    }
    all
}
