//! `rope.apply`.

use super::walk::{self, RUN, THREADS, aligned};
use super::{Choice, CudaPlan, fits, unsupported};
use crate::modules::Modules;
use crate::params::{Rows, params};
use crate::stream::Queue;
use omnihal::op::rope::ApplyArgs;
use omnihal::{Args, DType, Error, Op, Result};

params! {
    /// Parameters of `rope_apply`: `runs` of eight channels in the `rotary` ones from `start` on.
    RopeApply {
        x: Rows,
        cs: Rows,
        count: u64,
        runs: u64,
        heads: u64,
        start: i64,
        rotary: i64,
        sign: f32,
        whole: i32,
        cs_whole: i32,
        reserved: i32,
    }
}

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::RopeApply(d) if matches!(d.dtype, DType::F32 | DType::BF16) => {
            fits(&[d.rows * d.heads, d.width])?;
            Ok(Choice::new(run, &[modules.function("rope", "rope_apply", 0)?]))
        }
        Op::RopeApply(d) => {
            Err(Error::unsupported(format!("vectors of type {} were asked to be rotated; use F32 or BF16", d.dtype)))
        }
        other => unsupported(other),
    }
}

fn run(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::RopeApply(d), views) = (&plan.op, ApplyArgs::new(args)?) else { return Ok(()) };
    let (runs, start) = (d.rotary.div_ceil(RUN), d.width - d.rotary);
    let params = RopeApply {
        x: Rows::new(views.x),
        cs: Rows::new(views.cs),
        count: (d.rows.min(args.rows_hint) * d.heads * runs) as u64,
        runs: runs as u64,
        heads: d.heads as u64,
        start: start as i64,
        rotary: d.rotary as i64,
        sign: if d.inverse { -1.0 } else { 1.0 },
        whole: i32::from(aligned(views.x) && d.dtype.bytes(start).is_multiple_of(16)),
        cs_whole: i32::from(aligned(views.cs)),
        reserved: 0,
    };
    queue.launch(plan.kernel(0)?, [walk::blocks(params.count), 1, 1], THREADS, 0, &params)
}
