//! The kernels, one family a file. A variant is a branch in its kernel.

pub mod attention;
pub mod cache;
pub mod compress;
pub mod copy;
pub mod elementwise;
pub mod embed;
pub mod gemm;
pub mod hyper;
pub mod indexer;
pub mod moe;
pub mod norm;
pub mod quant;
pub mod rope;
pub mod sample;

use crate::{Call, Variant};
use omnihal::{Accumulation, Determinism, Op};

/// The variants of each family.
pub const TABLES: [&[Variant]; 14] = [
    embed::VARIANTS,
    norm::VARIANTS,
    gemm::VARIANTS,
    quant::VARIANTS,
    rope::VARIANTS,
    attention::VARIANTS,
    compress::VARIANTS,
    indexer::VARIANTS,
    hyper::VARIANTS,
    moe::VARIANTS,
    cache::VARIANTS,
    sample::VARIANTS,
    elementwise::VARIANTS,
    copy::VARIANTS,
];

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op.kind().family() {
        "embed" => embed::run(call),
        "norm" => norm::run(call),
        "gemm" => gemm::run(call),
        "quant" => quant::run(call),
        "rope" => rope::run(call),
        "attention" => attention::run(call),
        "compress" => compress::run(call),
        "indexer" => indexer::run(call),
        "hyper" => hyper::run(call),
        "moe" => moe::run(call),
        "cache" => cache::run(call),
        "sample" => sample::run(call),
        "elementwise" => elementwise::run(call),
        _ => copy::run(call),
    }
}

/// Bytes of scratch memory that a call is given.
pub fn workspace(op: &Op) -> usize {
    match op {
        Op::GemmLinear(d) => d.rows * d.outer * 4,
        Op::GemmGrouped(d) => d.rows * d.outer * 4,
        Op::GemmBatched(d) => d.batch * d.m * d.n * 4,
        Op::AttentionSparse(_) | Op::IndexerSelect(_) | Op::MoeExperts(_) | Op::MoeMlp(_) => 4096,
        _ => 0,
    }
}

/// How the plan for an operator says that it adds up: plain f32, but for the honest variants that truncate as tensor cores do.
pub fn accumulation(op: &Op, variant: Option<&Variant>) -> Accumulation {
    match variant {
        Some(v) if v.ops.contains(&op.kind()) && v.id.ends_with("_tensor_core_14_bits") => {
            Accumulation::TensorCoreTrunc { bits: 14, promote: 128 }
        }
        _ => Accumulation::F32,
    }
}

/// How far the plan for an operator says that its bits can be relied on. A variant whose id ends with `_by_rows` splits its work by the
/// number of rows, so that a row's bits depend on its neighbours.
pub fn determinism(op: &Op, variant: Option<&Variant>) -> Determinism {
    match variant {
        Some(v) if v.ops.contains(&op.kind()) && v.id.ends_with("_by_rows") => Determinism::Repeatable,
        _ => Determinism::RowInvariant,
    }
}
