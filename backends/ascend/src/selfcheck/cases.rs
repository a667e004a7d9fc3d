//! Small legal inputs for every fused operator. Sizes that the vendor fixes are those of the model.

use omnihal::op::PageSpace;
use omnihal::op::attention::{Entries, Query, Sparse};
use omnihal::op::hyper::{Post, Pre};
use omnihal::op::indexer::Select;
use omnihal::op::moe::{Route, Routing, Swiglu};
use omnihal::{Column, DType, Op, OpKind, RowFormat, SpaceShape, StepShape};

/// Rows of a check; the last is padding.
const ROWS: usize = 5;
/// Rows that are not.
pub(super) const REAL: usize = 4;
/// Rows, the first ones, that are far enough on to see entries.
pub(super) const FAR: usize = 3;
/// Entries that they list are below this.
pub(super) const ENTRIES: usize = 120;

/// What an argument is filled with.
#[derive(Clone, Debug)]
pub(super) enum Fill {
    /// Numbers drawn from around 0, up to this size.
    Drawn(f32),
    /// Whole numbers below this, drawn.
    Below(i32),
    /// The same numbers twice: rows in pairs.
    Pairs(f32),
    /// Entries that the row sees, ascending, -1 behind the last.
    Ascending,
    /// The page tables of the only ratio.
    Pages,
    /// A column of the step table.
    Column(Column),
}

/// One check.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The operator, small.
    pub(super) op: Op,
    /// The step that its columns belong to.
    pub(super) step: StepShape,
    /// Position of the first row of each sequence, and its rows.
    pub(super) sequences: Vec<(usize, usize)>,
    /// Products in the longest sum.
    pub(super) products: usize,
    /// The operator rounds to bf16 on its way.
    pub(super) rounds_inside: bool,
    fill: fn(&str) -> Fill,
}

fn step(rows: usize) -> StepShape {
    StepShape { rows, seqs: 2, wanted: 1, tile: 1, window: 4, ring: 8, drafts: 0, spaces: Vec::new() }
}

fn case(op: impl Into<Op>, products: usize, fill: fn(&str) -> Fill) -> Case {
    Case {
        op: op.into(),
        step: step(ROWS),
        sequences: vec![(3, FAR), (0, REAL - FAR)],
        products,
        rounds_inside: false,
        fill,
    }
}

impl Case {
    /// The check of the form that an operator has.
    pub(super) fn of(op: &Op) -> Option<Self> {
        Some(match *op {
            Op::HyperPre(d) => {
                let small = Pre { rows: ROWS, width: 256, norm: None, ..d };
                case(small, d.streams * 256, |name| match name {
                    "x" | "scale" => Fill::Drawn(1.0),
                    // So far apart that the iterations do not settle: their order shows.
                    "base" => Fill::Drawn(6.0),
                    _ => Fill::Drawn(0.1),
                })
            }
            Op::HyperPost(d) => case(Post { rows: ROWS, width: 256, ..d }, d.streams + 1, |_| Fill::Drawn(1.0)),
            Op::MoeRoute(d) => {
                // An odd number of choices among equal pairs: the last is decided by the order of equals.
                let routing = if d.routing == Routing::Scored { Routing::Scored } else { Routing::Hash(7) };
                let small = Route {
                    rows: ROWS,
                    width: 64,
                    experts: 32,
                    choices: 3,
                    routing,
                    scale: 1.5,
                    with_logits: false,
                    ..d
                };
                case(small, 64, |name| match name {
                    "x" => Fill::Drawn(1.0),
                    "gate" | "bias" => Fill::Pairs(0.5),
                    "table" => Fill::Below(32),
                    "ids" => Fill::Below(7),
                    _ => Fill::Column(Column::Toks),
                })
            }
            Op::MoeSwiglu(d) => {
                let small = Swiglu { rows: ROWS, inter: 64, limit: 1.0, ..d };
                case(small, 1, |name| if name == "x" { Fill::Drawn(3.0) } else { Fill::Drawn(1.0) })
            }
            Op::AttentionQuery(d) => {
                let small = Query { rows: ROWS, heads: 3, positions: 16, ..d };
                case(small, d.head, |name| match name {
                    "toks" => Fill::Column(Column::Toks),
                    _ => Fill::Drawn(1.0),
                })
            }
            Op::AttentionSparse(d) => sparse(d),
            Op::IndexerSelect(d) => select(d),
            _ => return None,
        })
    }

    /// What an argument is filled with.
    pub(super) fn fill(&self, argument: &str) -> Fill {
        (self.fill)(argument)
    }
}

/// Rows that see more entries than are kept, and one that sees none.
fn select(d: Select) -> Case {
    let (rows, table, ratio) = (ROWS, 2, d.ratio);
    let pages = PageSpace { pages: 2 + table, table, ..d.pages };
    let small = Select { rows, seqs: 2, keep: 24, pages, ..d };
    let space = SpaceShape { ratio, overlap: true, closings: 2, table, page_entries: pages.entries, ring: 2 * ratio };
    let step = StepShape { rows, seqs: 2, wanted: 1, tile: 1, window: 4, ring: 8, drafts: 0, spaces: vec![space] };
    let fill = |name: &str| match name {
        "toks" => Fill::Column(Column::Toks),
        "pt" => Fill::Pages,
        _ => Fill::Drawn(1.0),
    };
    let sequences = vec![(pages.capacity() * ratio - 8, FAR), (2, REAL - FAR)];
    Case { op: small.into(), step, sequences, products: d.width * d.heads, rounds_inside: false, fill }
}

/// Rows behind several entries and behind none.
fn sparse(d: Sparse) -> Case {
    let (rows, slots, positions, heads) = (ROWS, 4, 1024, 2);
    let ring = d.window + 8;
    let table = 2;
    let ratio = if d.entries == Entries::None { 4 } else { d.ratio };
    let first = table * d.pages.entries.max(1) * ratio - 8;
    let first = if d.entries == Entries::None { 300 } else { first.min(900) };
    let pages = PageSpace { pages: 2 + 2 * table, table, ..d.pages };
    let small = Sparse { rows, seqs: 2, heads, positions, scale: 0.044, ratio, pages, ring, slots, ..d };
    let space =
        SpaceShape { ratio, overlap: false, closings: 2, table, page_entries: pages.entries.max(1), ring: ratio };
    let spaces = if d.entries == Entries::None { Vec::new() } else { vec![space] };
    let step = StepShape { rows, seqs: 2, wanted: 1, tile: 1, window: d.window, ring, drafts: 0, spaces };
    let fill = |name: &str| match name {
        "toks" => Fill::Column(Column::Toks),
        "seqs" => Fill::Column(Column::Seqs),
        "pt" => Fill::Pages,
        "idx" => Fill::Ascending,
        "sink" => Fill::Drawn(3.0),
        _ => Fill::Drawn(1.0),
    };
    let sequences = vec![(first, FAR), (2, REAL - FAR)];
    Case { op: small.into(), step, sequences, products: d.head + d.window, rounds_inside: true, fill }
}

/// The forms of an operator in which the model has it, for a look at all of them.
pub(super) fn usual(kind: OpKind) -> Vec<Op> {
    let (rows, act, eps, hc_eps) = (1, DType::BF16, 1e-6, 1e-6);
    match kind {
        OpKind::HyperPre => {
            vec![Pre { rows, streams: 4, width: 4096, iters: 20, eps, hc_eps, norm: None, act }.into()]
        }
        OpKind::HyperPost => vec![Post { rows, streams: 4, width: 4096, act }.into()],
        OpKind::MoeRoute => {
            let route = |routing| Route {
                rows,
                width: 4096,
                experts: 256,
                choices: 6,
                routing,
                scale: 1.5,
                gate: DType::BF16,
                act,
                with_logits: false,
            };
            vec![route(Routing::Scored).into(), route(Routing::Hash(129_280)).into()]
        }
        OpKind::MoeSwiglu => {
            let gate = |weighted| Swiglu { rows, inter: 2048, limit: 10.0, weighted, input: DType::F32, output: act };
            vec![gate(false).into(), gate(true).into()]
        }
        OpKind::AttentionQuery => {
            vec![Query { rows, heads: 64, head: 512, rotary: 64, positions: 1 << 16, eps, act }.into()]
        }
        OpKind::IndexerSelect => {
            let pages = PageSpace { pages: 64, table: 32, entries: 64 };
            let format = RowFormat::Plain(DType::BF16);
            let (seqs, heads, width, rotary, keep, ratio, with_scores) = (1, 64, 128, 64, 512, 4, false);
            vec![Select { rows, seqs, heads, width, rotary, keep, ratio, pages, format, act, with_scores }.into()]
        }
        OpKind::AttentionSparse => {
            let attention = |entries, ratio, page_entries| Sparse {
                rows,
                seqs: 1,
                heads: 64,
                head: 512,
                rotary: 64,
                positions: 1 << 16,
                window: 128,
                scale: 512f32.powf(-0.5),
                entries,
                ratio,
                pages: PageSpace { pages: 64, table: 32, entries: page_entries },
                ring: 136,
                slots: 4,
                format: RowFormat::Plain(DType::BF16),
                inverse: true,
                act,
            };
            let listed = attention(Entries::Listed(512), 4, 64).into();
            vec![attention(Entries::None, 4, 16).into(), listed, attention(Entries::All, 128, 16).into()]
        }
        _ => Vec::new(),
    }
}
