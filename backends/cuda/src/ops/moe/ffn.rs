//! `moe.mlp` and `moe.experts`: gate and up projections with what follows them, then the down projection, then the sum over a row's choices.

use super::{MoeFfn, MoeGroup, THREADS, shared_limit};
use crate::modules::{Function, Modules};
use crate::ops::{Choice, CudaPlan, fits, int};
use crate::params::{Ptr, Rows, Weight};
use crate::stream::Queue;
use omnihal::op::ActQuant;
use omnihal::op::moe::{Experts, ExpertsArgs, Mlp, MlpArgs};
use omnihal::{Accumulation, Args, DType, Determinism, Error, Op, Result, View, WeightFormat};

/// Channels that a warp of an up and of a down projection makes on tensor cores.
const UP_CHANNELS: usize = 16;
pub(super) const DOWN_CHANNELS: usize = 32;

/// Warps of a block.
const WARPS: usize = 8;

/// Columns of a step of a warp (`STEP` of `moe_mma.cuh`).
const STEP: usize = 128;

/// Up to as many pairs each block looks for those of its expert; more are sorted first. At most `FEW_PAIRS` of `moe_pairs.cuh`.
const UNSORTED_PAIRS: usize = 48;

/// Pairs of an expert on average up to which a block takes 8 at a time.
const FEW_PER_EXPERT: usize = 8;

/// Pairs of an expert from which each warp of a block has channels of its own, instead of a part of the columns.
const MANY_PER_EXPERT: usize = 64;

/// How a block of a projection on tensor cores works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    kind: Kind,
    /// Pairs at a time.
    pub height: usize,
    /// Columns of them in shared memory.
    pub stage: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 8 pairs, columns split among the warps.
    Few,
    /// 32 pairs, columns split.
    Some,
    /// 64 pairs, channels split.
    Many,
}

impl Tile {
    /// For up to `pairs` pairs of an expert and `cols` columns.
    pub(super) fn few(pairs: usize, cols: usize) -> Tile {
        // Three blocks on a multiprocessor.
        Tile::new(Kind::Few, pairs.min(8), cols, 72 << 10)
    }

    pub(super) fn some(pairs: usize, cols: usize) -> Tile {
        Tile::new(Kind::Some, pairs.min(32), cols, 72 << 10)
    }

    fn many(cols: usize) -> Tile {
        Tile { kind: Kind::Many, height: 64, stage: cols.min(4 * STEP) }
    }

    fn new(kind: Kind, height: usize, cols: usize, budget: usize) -> Tile {
        let height = height.max(1);
        // A step for every warp at a time.
        let unit = WARPS * STEP;
        let fit = (budget / height - ROW_PAD) / 2 / unit * unit;
        Tile { kind, height, stage: cols.min(fit.max(unit)) }
    }

    /// Pairs of a block.
    pub(super) fn pairs(&self) -> usize {
        match self.kind {
            Kind::Few => 8,
            Kind::Some => 32,
            Kind::Many => 64,
        }
    }

    /// Channels of a block whose warp makes this many.
    fn channels(&self, warp: usize) -> usize {
        match self.kind {
            Kind::Few | Kind::Some => warp,
            Kind::Many => warp * WARPS,
        }
    }

    /// Dynamic shared memory: activations, and afterwards the sums of all warps.
    pub(super) fn bytes(&self) -> u32 {
        let sums = match self.kind {
            Kind::Few | Kind::Some => WARPS * 2 * self.pairs() * 16 * 4,
            Kind::Many => 0,
        };
        (self.height * (2 * self.stage + ROW_PAD)).max(sums) as u32
    }
}

/// Bytes after a row of activations in shared memory (`row_pitch` of `moe_mma.cuh`).
const ROW_PAD: usize = 64;

fn code(format: WeightFormat) -> Result<&'static str> {
    match format.dtype() {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F8E4M3 => Ok("f8"),
        DType::F4E2M1X2 => Ok("f4"),
        other => Err(Error::unsupported(format!(
            "weights of {} were asked, kernels take F32, BF16, F8E4M3 and F4E2M1X2",
            other.name()
        ))),
    }
}

/// The kernel for any layout, over `cols` columns.
pub(super) fn any(up: bool, format: WeightFormat, cols: usize, modules: &Modules) -> Result<Function> {
    let name = format!("moe_{}_any_{}", if up { "up" } else { "down" }, code(format)?);
    modules.function("moe", &name, shared_limit(4 * cols, modules)?)
}

/// The kernel on tensor cores.
pub(super) fn tensor(up: bool, tile: Tile, format: WeightFormat, modules: &Modules) -> Result<Function> {
    let kind = match tile.kind {
        Kind::Few => "few",
        Kind::Some => "some",
        Kind::Many => "many",
    };
    let name = format!("moe_{}_{kind}_{}", if up { "up" } else { "down" }, code(format)?);
    modules.function("moe", &name, shared_limit(tile.bytes() as usize, modules)?)
}

/// Tensor cores take bf16 activations, weights that bf16 holds exactly, and whole steps.
pub(super) fn on_tensor_cores(act: DType, formats: &[WeightFormat], cols: &[usize]) -> bool {
    let exact = |format: &WeightFormat| match format {
        WeightFormat::Plain(dtype) => *dtype == DType::BF16,
        // Scales of single FP4 groups are folded into the codes, which only powers of two can be.
        WeightFormat::Blocked { data: DType::F4E2M1X2, scale, block } => *scale == DType::E8M0 && *block == (1, 32),
        WeightFormat::Blocked { data, block, .. } => *data == DType::F8E4M3 && block.1 == STEP,
    };
    act == DType::BF16 && formats.iter().all(exact) && cols.iter().all(|cols| cols % STEP == 0)
}

/// The layout and the number of rows pick the order of sums. On tensor cores 16 exact products are added to an f32 at once, without rounding to nearest.
pub(super) fn declare(choice: &mut Choice, tensor: bool) {
    choice.determinism = Determinism::Repeatable;
    if tensor {
        choice.accumulation = Accumulation::TensorCoreTrunc { bits: 22, promote: 128 };
    }
}

/// Addresses and row strides that 16-byte loads can use.
pub(super) fn aligned(views: &[&View]) -> bool {
    views.iter().all(|view| {
        let outer = &view.strides[..view.shape.rank().max(1) - 1];
        view.addr().is_multiple_of(16) && outer.iter().all(|stride| (stride * view.dtype.bits()).is_multiple_of(128))
    })
}

/// A block makes 8 channels of a pair.
pub(super) fn launch_any(
    kernel: Function,
    params: &MoeFfn,
    channels: usize,
    cols: usize,
    pairs: usize,
    queue: &Queue<'_>,
) -> Result<()> {
    queue.launch(kernel, [(pairs * channels.div_ceil(WARPS)) as u32, 1, 1], THREADS, 4 * cols as u32, params)
}

/// What both operators have in common.
struct Shape {
    rows: usize,
    choices: usize,
    first: usize,
    local: usize,
    width: usize,
    inter: usize,
    w13: WeightFormat,
    w2: WeightFormat,
    act: DType,
    routed: bool,
}

impl From<&Mlp> for Shape {
    fn from(d: &Mlp) -> Shape {
        let Mlp { rows, width, inter, w13, w2, act, .. } = *d;
        Shape { rows, choices: 1, first: 0, local: 1, width, inter, w13, w2, act, routed: false }
    }
}

impl From<&Experts> for Shape {
    fn from(d: &Experts) -> Shape {
        let Experts { rows, width, inter, choices, first, local, w13, w2, act, .. } = *d;
        Shape { rows, choices, first, local, width, inter, w13, w2, act, routed: true }
    }
}

/// Places in the workspace, in bytes.
struct Parts {
    results: usize,
    perm: usize,
    counts: usize,
    end: usize,
}

impl Shape {
    fn pairs(&self) -> usize {
        self.rows * self.choices
    }

    fn tensor(&self) -> bool {
        on_tensor_cores(self.act, &[self.w13, self.w2], &[self.width, self.inter])
    }

    fn sorted(&self) -> bool {
        self.tensor() && self.routed && self.pairs() > UNSORTED_PAIRS
    }

    /// How the up and the down projection work.
    fn tiles(&self) -> [Tile; 2] {
        let mean = if self.sorted() { self.pairs() / self.local.max(1) } else { self.rows };
        [(self.width, self.inter, UP_CHANNELS), (self.inter, self.width, DOWN_CHANNELS)].map(
            |(cols, channels, warp)| {
                let most = self.rows.max(1);
                match mean {
                    // A row seldom has an expert twice.
                    _ if self.routed && !self.sorted() => Tile::few(most, cols),
                    0..=FEW_PER_EXPERT => Tile::few(most, cols),
                    MANY_PER_EXPERT.. if channels.is_multiple_of(warp * WARPS) => Tile::many(cols),
                    _ => Tile::some(most, cols),
                }
            },
        )
    }

    /// Groups of pairs that there may be, each of one expert.
    fn groups(&self, tile: Tile, rows: usize) -> usize {
        let pairs = rows * self.choices;
        match (self.sorted(), self.routed) {
            (true, _) => pairs.min(self.local + pairs / tile.pairs()),
            (false, true) => pairs,
            (false, false) => pairs.div_ceil(tile.pairs()),
        }
    }

    fn parts(&self) -> Parts {
        let align = |bytes: usize| bytes.next_multiple_of(256);
        let results = align(self.pairs() * self.inter * self.act.bits() / 8);
        let perm = results + if self.routed { align(4 * self.pairs() * self.width) } else { 0 };
        let counts = perm + if self.sorted() { align(4 * self.pairs()) } else { 0 };
        Parts { results, perm, counts, end: counts + if self.sorted() { align(4 * self.local) } else { 0 } }
    }
}

pub(super) fn plan_mlp(d: &Mlp, modules: &Modules) -> Result<Choice> {
    plan(&d.into(), mlp, modules)
}

pub(super) fn plan_experts(d: &Experts, modules: &Modules) -> Result<Choice> {
    plan(&d.into(), experts, modules)
}

fn plan(s: &Shape, enqueue: crate::ops::Enqueue, modules: &Modules) -> Result<Choice> {
    fits(&[s.pairs() * s.width.max(s.inter), 2 * s.inter, s.first, s.local + 1])?;
    let mut kernels = vec![
        any(true, s.w13, s.width, modules)?,
        any(false, s.w2, s.inter, modules)?,
        modules.function("moe", "moe_combine", 0)?,
        modules.function("moe", "moe_group", 0)?,
    ];
    if s.tensor() {
        let [up, down] = s.tiles();
        kernels.extend([tensor(true, up, s.w13, modules)?, tensor(false, down, s.w2, modules)?]);
    }
    let mut choice = Choice::new(enqueue, &kernels);
    choice.workspace = s.parts().end;
    declare(&mut choice, s.tensor());
    Ok(choice)
}

impl MoeFfn {
    /// Every row has expert 0; nothing else is there yet.
    pub(super) fn one_expert(rows: usize) -> MoeFfn {
        let none = Weight { data: Ptr(0), scale: Ptr(0), dtype: 0, scale_dtype: 0, block_rows: 1, block_cols: 1 };
        MoeFfn {
            x: Rows::absent(),
            idx: Rows::absent(),
            wt: Rows::absent(),
            acc: Rows::absent(),
            y: Rows::absent(),
            w13: none,
            w2: none,
            w13_row: 0,
            w13_matrix: 0,
            w2_row: 0,
            w2_matrix: 0,
            hidden: Ptr(0),
            hidden_row: 0,
            results: Ptr(0),
            perm: Ptr(0),
            counts: Ptr(0),
            sorted: 0,
            rows: int(rows),
            choices: 1,
            first: 0,
            local: 1,
            width: 0,
            inter: 0,
            height: 0,
            stage: 0,
            a_quant: 0,
            limit: 0.0,
            reserved: 0,
        }
    }
}

/// Elements between the rows and between the matrices of a weight.
fn strides(weight: &View) -> (i64, i64) {
    let rank = weight.shape.rank();
    (weight.strides[rank - 2] as i64, if rank > 2 { weight.strides[rank - 3] as i64 } else { 0 })
}

fn mlp(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::MoeMlp(d), views) = (&plan.op, MlpArgs::new(args)?) else { return Ok(()) };
    let s = Shape::from(d);
    let params = MoeFfn {
        x: Rows::new(views.x),
        y: Rows::new(views.y),
        a_quant: (d.a_quant == ActQuant::F8G128).into(),
        limit: d.limit,
        ..weights(&s, views.w13, views.w2, args)
    };
    launch(plan, &s, params, aligned(&[views.x, views.w13, views.w2]), queue)
}

fn experts(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::MoeExperts(d), views) = (&plan.op, ExpertsArgs::new(args)?) else { return Ok(()) };
    let s = Shape::from(d);
    let params = MoeFfn {
        x: Rows::new(views.x),
        idx: Rows::new(views.idx),
        wt: Rows::new(views.wt),
        acc: Rows::of(views.acc),
        y: Rows::new(views.y),
        results: Ptr(args.workspace.addr + s.parts().results as u64),
        choices: int(d.choices),
        first: int(d.first),
        local: int(d.local),
        a_quant: (d.a_quant == ActQuant::F8G128).into(),
        limit: d.limit,
        ..weights(&s, views.w13, views.w2, args)
    };
    launch(plan, &s, params, aligned(&[views.x, views.w13, views.w2]), queue)?;
    let blocks = params.rows as usize * d.width.div_ceil(THREADS as usize);
    queue.launch(plan.kernel(2)?, [blocks as u32, 1, 1], THREADS, 0, &params)
}

/// Sizes, weights and hidden values.
fn weights(s: &Shape, w13: &View, w2: &View, args: &Args<'_>) -> MoeFfn {
    let ((w13_row, w13_matrix), (w2_row, w2_matrix)) = (strides(w13), strides(w2));
    MoeFfn {
        w13: Weight::new(w13),
        w2: Weight::new(w2),
        w13_row,
        w13_matrix,
        w2_row,
        w2_matrix,
        hidden: Ptr(args.workspace.addr),
        hidden_row: s.inter as i64,
        width: int(s.width),
        inter: int(s.inter),
        ..MoeFfn::one_expert(s.rows.min(args.rows_hint))
    }
}

/// The two projections, after sorting where there are many pairs.
fn launch(plan: &CudaPlan, s: &Shape, mut params: MoeFfn, aligned: bool, queue: &Queue<'_>) -> Result<()> {
    let rows = params.rows as usize;
    let (Ok(up), Ok(down), true) = (plan.kernel(4), plan.kernel(5), aligned) else {
        let pairs = rows * s.choices;
        launch_any(plan.kernel(0)?, &params, s.inter, s.width, pairs, queue)?;
        return launch_any(plan.kernel(1)?, &params, s.width, s.inter, pairs, queue);
    };
    if s.sorted() {
        let (parts, base) = (s.parts(), params.hidden.0);
        params.sorted = 1;
        params.perm = Ptr(base + parts.perm as u64);
        params.counts = Ptr(base + parts.counts as u64);
        let group = MoeGroup {
            idx: params.idx,
            perm: params.perm,
            src: Ptr(0),
            inv: Ptr(0),
            counts: params.counts,
            pairs: int(rows * s.choices),
            choices: params.choices,
            live: params.rows,
            first: params.first,
            local: params.local,
            reserved: 0,
        };
        queue.launch(plan.kernel(3)?, [s.local as u32 + 1, 1, 1], THREADS, 0, &group)?;
    }
    let [up_tile, down_tile] = s.tiles();
    let mut project = |kernel, tile: Tile, channels: usize, warp: usize| {
        params.height = int(tile.height);
        params.stage = int(tile.stage);
        let blocks = channels / tile.channels(warp) * s.groups(tile, rows);
        queue.launch(kernel, [blocks as u32, 1, 1], THREADS, tile.bytes(), &params)
    };
    project(up, up_tile, s.inter, UP_CHANNELS)?;
    project(down, down_tile, s.width, DOWN_CHANNELS)
}
