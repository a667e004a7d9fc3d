//! The fused operators, one file a family.

mod attention;
mod cache;
mod choice;
mod compress;
mod embed;
mod hyper;
mod indexer;
mod moe;
mod quant;
mod result;
mod sample;
mod sinkhorn;
mod step;
mod stored;
#[cfg(test)]
mod tests;
mod vector;

use crate::tensor::Output;
use omnihal::{Args, Error, Op, Result};
use stored::RowShape;

/// Why the judge does not evaluate a fused operator with this descriptor; `None` if it does, and for core operators.
pub fn unsupported(op: &Op) -> Option<String> {
    let (format, width, rotary) = match op {
        Op::CompressUpdate(d) => (d.format, d.width, d.rotary),
        Op::IndexerSelect(d) => (d.format, d.width, d.rotary),
        Op::AttentionSparse(d) => (d.format, d.head, d.rotary),
        Op::CacheStore(d) => (d.format, d.width, d.rotary),
        _ => return None,
    };
    RowShape { format, width, rotary }.unsupported()
}

/// Evaluates a fused operator.
pub fn run(op: &Op, args: &Args) -> Result<Vec<Output>> {
    if let Some(reason) = unsupported(op) {
        return Err(Error::unsupported(reason).with_op(op.kind()));
    }
    let outputs = match op {
        Op::EmbedIds(d) => embed::ids(d, args),
        Op::QuantQuantize(d) => quant::quantize(d, args),
        Op::HyperPre(d) => hyper::pre(d, args),
        Op::HyperSinkhorn(d) => hyper::sinkhorn(d, args),
        Op::HyperPost(d) => hyper::post(d, args),
        Op::HyperHead(d) => hyper::head(d, args),
        Op::CompressUpdate(d) => compress::update(d, args),
        Op::IndexerQuery(d) => indexer::query(d, args),
        Op::IndexerSelect(d) => indexer::select(d, args),
        Op::AttentionLatent(d) => attention::latent(d, args),
        Op::AttentionQuery(d) => attention::query(d, args),
        Op::AttentionSparse(d) => attention::sparse(d, args),
        Op::CacheStore(d) => cache::store(d, args),
        Op::CacheCopyRows(d) => cache::copy_rows(d, args),
        Op::MoeRoute(d) => moe::route(d, args),
        Op::MoeSwiglu(d) => moe::swiglu(d, args),
        Op::MoeMlp(d) => moe::mlp(d, args),
        Op::MoeExperts(d) => moe::experts(d, args),
        Op::SamplePick(d) => sample::pick(d, args),
        core => Err(Error::unsupported(format!("`{}` is not a fused operator", core.kind().name()))),
    };
    outputs.map_err(|e| e.with_op(op.kind()))
}
