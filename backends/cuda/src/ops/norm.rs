//! `norm.rms`.

use super::walk::{RUN, aligned};
use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Rows, params};
use crate::stream::Queue;
use omnihal::op::norm::RmsArgs;
use omnihal::{Args, Op, Result};

params! {
    /// Parameters of `rms_norm`.
    RmsNorm {
        x: Rows,
        weight: Rows,
        y: Rows,
        heads: i32,
        width: i32,
        eps: f32,
        whole: i32,
        weight_whole: i32,
        y_whole: i32,
    }
}

/// The largest block of `rms_norm`.
const MAX_THREADS: usize = 1024;

/// Threads of a block, one block a vector: a thread for each run of eight, in whole warps.
fn threads(width: usize) -> u32 {
    width.div_ceil(RUN).next_multiple_of(32).min(MAX_THREADS) as u32
}

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::NormRms(d) => {
            fits(&[d.rows * d.heads, d.width])?;
            Ok(Choice::new(run, &[modules.function("norm", "rms_norm", 0)?]))
        }
        other => unsupported(other),
    }
}

fn run(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::NormRms(d), views) = (&plan.op, RmsArgs::new(args)?) else { return Ok(()) };
    let params = RmsNorm {
        x: Rows::new(views.x),
        weight: Rows::of(views.weight),
        y: Rows::new(views.y),
        heads: int(d.heads),
        width: int(d.width),
        eps: d.eps,
        whole: i32::from(aligned(views.x)),
        weight_whole: i32::from(views.weight.is_some_and(aligned)),
        y_whole: i32::from(aligned(views.y)),
    };
    let vectors = (d.rows.min(args.rows_hint) * d.heads) as u32;
    queue.launch(plan.kernel(0)?, [vectors, 1, 1], threads(d.width), 0, &params)
}
