//! `moe.route`: logits as a product, then the choice.

use super::ffn::{self, Tile};
use super::{MoeFfn, MoeRoute, shared_limit};
use crate::modules::Modules;
use crate::ops::{Choice, CudaPlan, fits, int};
use crate::params::{Ptr, Rows, Weight};
use crate::stream::Queue;
use omnihal::op::moe::{Route, RouteArgs, Routing};
use omnihal::{Args, DType, Op, Result, WeightFormat};

/// Up to as many rows a warp makes a logit by itself, so that more multiprocessors have work.
const FEW_ROWS: usize = 2;

/// Rows of a block of `moe_choose`, a warp each.
const CHOOSE_ROWS: usize = 4;

pub(super) fn plan(d: &Route, modules: &Modules) -> Result<Choice> {
    let vocab = match d.routing {
        Routing::Hash(vocab) => vocab,
        Routing::Scored => 0,
    };
    fits(&[d.rows * d.experts, d.width, vocab])?;
    let format = WeightFormat::Plain(d.gate);
    let mut kernels = vec![
        modules.function("moe", "moe_choose", shared_limit(choose_bytes(d), modules)?)?,
        ffn::any(false, format, d.width, modules)?,
    ];
    let tile = tile_of(d);
    let tensor =
        d.rows > FEW_ROWS && ffn::on_tensor_cores(d.act, &[format], &[d.width]) && d.experts % ffn::DOWN_CHANNELS == 0;
    if tensor {
        kernels.push(ffn::tensor(false, tile, format, modules)?);
    }
    let mut choice = Choice::new(run, &kernels);
    choice.workspace = if d.with_logits { 0 } else { 4 * d.rows * d.experts };
    ffn::declare(&mut choice, tensor);
    Ok(choice)
}

fn tile_of(d: &Route) -> Tile {
    match d.rows {
        0..=8 => Tile::few(d.rows, d.width),
        _ => Tile::some(d.rows, d.width),
    }
}

fn choose_bytes(d: &Route) -> usize {
    4 * CHOOSE_ROWS * d.experts
}

fn run(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::MoeRoute(d), views) = (&plan.op, RouteArgs::new(args)?) else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint);
    let own = Rows {
        data: Ptr(args.workspace.addr),
        outer: d.experts as i64,
        inner: 0,
        dtype: DType::F32 as i32,
        reserved: 0,
    };
    let logits = views.logits.map_or(own, Rows::new);
    let tile = tile_of(d);
    // The down projection of one expert: from `width` columns to a channel for each expert.
    let product = MoeFfn {
        y: logits,
        w2: Weight::new(views.gate),
        w2_row: views.gate.strides[0] as i64,
        x: Rows::new(views.x),
        hidden: views.x.into(),
        hidden_row: views.x.strides[0] as i64,
        width: int(d.experts),
        inter: int(d.width),
        height: int(tile.height),
        stage: int(tile.stage),
        ..MoeFfn::one_expert(rows)
    };
    match plan.kernel(2) {
        Ok(kernel) if ffn::aligned(&[views.x, views.gate]) => {
            let blocks = d.experts / ffn::DOWN_CHANNELS * rows.div_ceil(tile.pairs());
            queue.launch(kernel, [blocks as u32, 1, 1], super::THREADS, tile.bytes(), &product)?;
        }
        _ => ffn::launch_any(plan.kernel(1)?, &product, d.experts, d.width, rows, queue)?,
    }
    let params = MoeRoute {
        logits,
        table: Rows::of(views.table),
        toks: Rows::new(views.toks),
        idx: Rows::new(views.idx),
        wt: Rows::new(views.wt),
        bias: Ptr::of(views.bias),
        ids: Ptr::of(views.ids),
        rows: int(rows),
        experts: int(d.experts),
        choices: int(d.choices),
        vocab: match d.routing {
            Routing::Hash(vocab) => int(vocab),
            Routing::Scored => 0,
        },
        scale: d.scale,
        reserved: 0,
    };
    queue.launch(
        plan.kernel(0)?,
        [rows.div_ceil(CHOOSE_ROWS) as u32, 1, 1],
        32 * CHOOSE_ROWS as u32,
        choose_bytes(d) as u32,
        &params,
    )
}
