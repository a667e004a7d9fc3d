//! `moe.*`: routing and experts.

mod ffn;
mod route;

use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, Weight, params};
use crate::stream::Queue;
use omnihal::op::moe::{GroupArgs, SwigluArgs};
use omnihal::{Args, Op, Result};

params! {
    /// Parameters of `moe_group`.
    MoeGroup {
        idx: Rows,
        perm: Ptr,
        /// May be null, as may `inv`.
        src: Ptr,
        inv: Ptr,
        counts: Ptr,
        pairs: i32,
        choices: i32,
        /// Rows from here on have no experts.
        live: i32,
        first: i32,
        local: i32,
        reserved: i32,
    }
    /// Parameters of `moe_choose`.
    MoeRoute {
        logits: Rows,
        table: Rows,
        toks: Rows,
        idx: Rows,
        wt: Rows,
        /// Null if the table chooses.
        bias: Ptr,
        ids: Ptr,
        rows: i32,
        experts: i32,
        choices: i32,
        vocab: i32,
        scale: f32,
        reserved: i32,
    }
    /// Parameters of `moe_swiglu`.
    MoeSwiglu {
        x: Rows,
        y: Rows,
        wt: Ptr,
        inter: i32,
        limit: f32,
    }
    /// Parameters of `moe_up_*`, `moe_down_*` and `moe_combine`.
    MoeFfn {
        x: Rows,
        /// Absent: every row has expert 0.
        idx: Rows,
        wt: Rows,
        acc: Rows,
        y: Rows,
        w13: Weight,
        w2: Weight,
        /// Elements between rows and between matrices.
        w13_row: i64,
        w13_matrix: i64,
        w2_row: i64,
        w2_matrix: i64,
        /// Hidden values of each pair, of the type of `x`.
        hidden: Ptr,
        hidden_row: i64,
        /// Results of each pair, or null if they go to `y`.
        results: Ptr,
        /// Pairs sorted by expert, and their number for each.
        perm: Ptr,
        counts: Ptr,
        sorted: i32,
        rows: i32,
        choices: i32,
        first: i32,
        local: i32,
        width: i32,
        inter: i32,
        /// Pairs that a block takes at a time, and columns of them.
        height: i32,
        stage: i32,
        a_quant: i32,
        limit: f32,
        reserved: i32,
    }
}

/// Threads of a block, but for `moe_choose`.
const THREADS: u32 = 256;

/// Shared memory that a kernel may use without asking (CUDA C++ Programming Guide, "Shared Memory").
const SHARED_FREE: u32 = 48 << 10;

/// Room that kernels with much dynamic shared memory leave for their static one.
const SHARED_STATIC: u32 = 4 << 10;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::MoeGroup(d) => {
            fits(&[d.rows * d.choices, d.local + 1, d.first])?;
            Ok(Choice::new(group, &[modules.function("moe", "moe_group", 0)?]))
        }
        Op::MoeRoute(d) => route::plan(d, modules),
        Op::MoeSwiglu(d) => {
            fits(&[d.rows * d.inter.div_ceil(THREADS as usize), 2 * d.inter])?;
            Ok(Choice::new(swiglu, &[modules.function("moe", "moe_swiglu", 0)?]))
        }
        Op::MoeMlp(d) => ffn::plan_mlp(d, modules),
        Op::MoeExperts(d) => ffn::plan_experts(d, modules),
        other => unsupported(other),
    }
}

/// What to ask for where plans differ in how much shared memory they want of the same kernel: all there is, so that none takes it from another.
fn shared_limit(bytes: usize, modules: &Modules) -> Result<u32> {
    let most = modules.shared.saturating_sub(SHARED_STATIC);
    match u32::try_from(bytes) {
        Ok(bytes) if bytes <= SHARED_FREE - SHARED_STATIC => Ok(bytes),
        Ok(bytes) if bytes <= most => Ok(most),
        _ => Err(omnihal::Error::unsupported(format!(
            "a row of {bytes} bytes was asked, kernels keep it in the {most} bytes of shared memory that a block has"
        ))),
    }
}

fn group(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::MoeGroup(d), views) = (&plan.op, GroupArgs::new(args)?) else { return Ok(()) };
    let params = MoeGroup {
        idx: Rows::new(views.idx),
        perm: views.perm.into(),
        src: views.src.into(),
        inv: views.inv.into(),
        counts: views.counts.into(),
        pairs: int(d.rows * d.choices),
        choices: int(d.choices),
        live: int(d.rows.min(args.rows_hint)),
        first: int(d.first),
        local: int(d.local),
        reserved: 0,
    };
    queue.launch(plan.kernel(0)?, [d.local as u32 + 1, 1, 1], THREADS, 0, &params)
}

fn swiglu(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::MoeSwiglu(d), views) = (&plan.op, SwigluArgs::new(args)?) else { return Ok(()) };
    let params = MoeSwiglu {
        x: Rows::new(views.x),
        y: Rows::new(views.y),
        wt: Ptr::of(views.wt),
        inter: int(d.inter),
        limit: d.limit,
    };
    let blocks = d.rows.min(args.rows_hint) * d.inter.div_ceil(THREADS as usize);
    queue.launch(plan.kernel(0)?, [blocks as u32, 1, 1], THREADS, 0, &params)
}
