//! Operators by family, and what all of them share: plans, scratch memory, typed access to views.

mod attention;
mod cache;
mod compress;
mod copy;
mod elementwise;
mod embed;
mod gemm;
mod hyper;
mod indexer;
mod moe;
mod norm;
mod quant;
mod rope;
mod sample;
mod tensor;

pub(crate) use tensor::{Scratch, Shared, Tensor};

use crate::pool::Pool;
use crate::simd::Kernels;
use omnihal::{Accumulation, Args, Determinism, Error, Op, Plan, Result};

/// What a kernel may use beside its arguments.
pub(crate) struct Ctx<'a> {
    /// The threads of the device.
    pub pool: &'a Pool,
    /// The vector kernels of this host.
    pub simd: &'static Kernels,
}

/// Runs one operator. Allocates nothing, and formats only on the failing path.
pub(crate) type Kernel = fn(&Op, &Args<'_>, &Ctx<'_>) -> Result<()>;

/// A kernel and the scratch memory it needs for the number of threads that it was chosen for.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    pub kernel: Kernel,
    /// Bytes.
    pub workspace: usize,
}

impl Choice {
    pub(crate) fn new(kernel: Kernel, workspace: usize) -> Result<Choice> {
        Ok(Choice { kernel, workspace })
    }
}

/// A checked operator with its kernel.
pub(crate) struct CpuPlan {
    pub(crate) op: Op,
    pub(crate) kernel: Kernel,
    pub(crate) workspace: usize,
}

impl CpuPlan {
    pub(crate) fn new(op: Op, choice: Choice) -> CpuPlan {
        CpuPlan { op, kernel: choice.kernel, workspace: choice.workspace }
    }
}

impl Plan for CpuPlan {
    fn op(&self) -> &Op {
        &self.op
    }

    fn workspace(&self) -> usize {
        self.workspace
    }

    fn determinism(&self) -> Determinism {
        Determinism::RowInvariant
    }

    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

/// Picks the kernel of an operator, or says why there is none.
pub(crate) fn choose(op: &Op, threads: usize) -> Result<Choice> {
    match op.kind().family() {
        "embed" => embed::plan(op, threads),
        "norm" => norm::plan(op, threads),
        "gemm" => gemm::plan(op, threads),
        "quant" => quant::plan(op, threads),
        "rope" => rope::plan(op, threads),
        "attention" => attention::plan(op, threads),
        "compress" => compress::plan(op, threads),
        "indexer" => indexer::plan(op, threads),
        "hyper" => hyper::plan(op, threads),
        "moe" => moe::plan(op, threads),
        "cache" => cache::plan(op, threads),
        "sample" => sample::plan(op, threads),
        "elementwise" => elementwise::plan(op, threads),
        "copy" => copy::plan(op, threads),
        _ => unsupported(op),
    }
}

/// The answer to an operator that no kernel takes.
pub(crate) fn unsupported(op: &Op) -> Result<Choice> {
    Err(Error::unsupported(format!("the cpu backend has no kernel for {}", op.kind().name())))
}

/// Elements of work that are worth handing to another thread: a few microseconds.
const TASK_ELEMENTS: usize = 8192;

/// Calls `task(row, thread)` for each row, on as many threads as `elements` elements a row are worth.
pub(crate) fn each_row(ctx: &Ctx<'_>, rows: usize, elements: usize, task: &(dyn Fn(usize, usize) + Sync)) {
    let grain = TASK_ELEMENTS.div_ceil(elements.max(1));
    ctx.pool.ranges(rows, grain, &|range, thread| range.for_each(|row| task(row, thread)));
}
