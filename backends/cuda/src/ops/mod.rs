//! Operators by family: which kernel a descriptor gets, and how its launches are made from the arguments of a run.

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
mod topk;
mod walk;

use crate::blas::Matmul;
use crate::modules::{Function, Modules};
use crate::params::{self, Struct};
use crate::stream::Queue;
use omnihal::{Accumulation, Args, Determinism, Error, Op, Plan, Result};
use std::any::Any;
use std::sync::Arc;

/// Makes the launches of one run. Allocates nothing, and formats only on the failing path.
pub(crate) type Enqueue = fn(&CudaPlan, &Args<'_>, &Queue<'_>) -> Result<()>;

/// Kernels that one plan may have.
pub(crate) const MAX_KERNELS: usize = 8;

/// How an operator is run.
#[derive(Clone)]
pub(crate) struct Choice {
    pub enqueue: Enqueue,
    /// Its kernels, in the order that `enqueue` knows.
    pub kernels: [Option<Function>; MAX_KERNELS],
    /// Bytes of scratch memory.
    pub workspace: usize,
    pub determinism: Determinism,
    pub accumulation: Accumulation,
    /// Whatever the launches need beside descriptor and arguments, such as the number of splits.
    pub tuning: [u32; 8],
    /// The product that cuBLASLt takes where its arguments allow it.
    pub blas: Option<Arc<Matmul>>,
}

impl Choice {
    /// Rows by themselves, summed in f32: what most operators promise.
    pub(crate) fn new(enqueue: Enqueue, kernels: &[Function]) -> Choice {
        let mut all = [None; MAX_KERNELS];
        all.iter_mut().zip(kernels).for_each(|(to, from)| *to = Some(*from));
        Choice {
            enqueue,
            kernels: all,
            workspace: 0,
            determinism: Determinism::RowInvariant,
            accumulation: Accumulation::F32,
            tuning: [0; 8],
            blas: None,
        }
    }
}

/// A checked operator with its kernels.
pub(crate) struct CudaPlan {
    pub(crate) op: Op,
    pub(crate) enqueue: Enqueue,
    choice: Choice,
    /// Keeps the kernels loaded.
    _modules: Arc<Modules>,
}

impl CudaPlan {
    pub(crate) fn new(op: Op, choice: Choice, modules: &Arc<Modules>) -> CudaPlan {
        CudaPlan { op, enqueue: choice.enqueue, choice, _modules: modules.clone() }
    }

    /// Kernel `index` of the choice.
    pub(crate) fn kernel(&self, index: usize) -> Result<Function> {
        self.choice.kernels.get(index).copied().flatten().ok_or_else(|| Error::argument("the plan has no such kernel"))
    }

    /// cuBLASLt's product, if the plan has one.
    pub(crate) fn blas(&self) -> Option<&Matmul> {
        self.choice.blas.as_deref()
    }

    /// The numbers that the choice left for the launches.
    pub(crate) fn tuning(&self) -> &[u32; 8] {
        &self.choice.tuning
    }
}

impl Plan for CudaPlan {
    fn op(&self) -> &Op {
        &self.op
    }

    fn workspace(&self) -> usize {
        self.choice.workspace
    }

    fn determinism(&self) -> Determinism {
        self.choice.determinism
    }

    fn accumulation(&self) -> Accumulation {
        self.choice.accumulation
    }
}

/// Gives this backend its own plan back.
pub(crate) fn own(plan: &dyn Plan) -> Result<&CudaPlan> {
    let other = || Error::argument("a plan of another device was given to a cuda stream; plan it on this device");
    (plan as &dyn Any).downcast_ref::<CudaPlan>().ok_or_else(other)
}

/// What the `params*.h` are made of: file name and structures.
pub(crate) const STRUCTS: &[(&str, &[Struct])] = &[
    ("params.h", params::STRUCTS),
    ("params_attention.h", attention::STRUCTS),
    ("params_cache.h", cache::STRUCTS),
    ("params_compress.h", compress::STRUCTS),
    ("params_copy.h", copy::STRUCTS),
    ("params_elementwise.h", elementwise::STRUCTS),
    ("params_embed.h", embed::STRUCTS),
    ("params_gemm.h", gemm::STRUCTS),
    ("params_hyper.h", hyper::STRUCTS),
    ("params_indexer.h", indexer::STRUCTS),
    ("params_moe.h", moe::STRUCTS),
    ("params_norm.h", norm::STRUCTS),
    ("params_quant.h", quant::STRUCTS),
    ("params_rope.h", rope::STRUCTS),
    ("params_sample.h", sample::STRUCTS),
];

/// Picks the kernels of an operator, or says why there are none.
pub(crate) fn choose(op: &Op, modules: &Modules) -> Result<Choice> {
    match op.kind().family() {
        "attention" => attention::plan(op, modules),
        "cache" => cache::plan(op, modules),
        "compress" => compress::plan(op, modules),
        "copy" => copy::plan(op, modules),
        "elementwise" => elementwise::plan(op, modules),
        "embed" => embed::plan(op, modules),
        "gemm" => gemm::plan(op, modules),
        "hyper" => hyper::plan(op, modules),
        "indexer" => indexer::plan(op, modules),
        "moe" => moe::plan(op, modules),
        "norm" => norm::plan(op, modules),
        "quant" => quant::plan(op, modules),
        "rope" => rope::plan(op, modules),
        "sample" => sample::plan(op, modules),
        _ => unsupported(op),
    }
}

/// The answer to an operator that no kernel takes.
pub(crate) fn unsupported(op: &Op) -> Result<Choice> {
    Err(Error::unsupported(format!("the cuda backend has no kernel for {}", op.kind().name())))
}

/// A count as a kernel takes it.
pub(crate) fn int(count: usize) -> i32 {
    // Descriptors whose counts do not fit are refused by `fits`.
    count as i32
}

/// Refuses counts that 32-bit arithmetic in a kernel could not hold.
pub(crate) fn fits(counts: &[usize]) -> Result<()> {
    match counts.iter().find(|&&count| count > i32::MAX as usize) {
        None => Ok(()),
        Some(count) => {
            Err(Error::unsupported(format!("a count of {count} was asked, kernels take up to {}", i32::MAX)))
        }
    }
}
