//! The operators, one file a family.

mod cache;
mod copy;
mod elementwise;
mod embed;
pub mod fused;
mod gemm;
mod moe;
mod norm;
mod quant;
mod rope;
mod sample;

use crate::tensor::{Output, Reader, check_dense};
use omnihal::op::{ArgType, Role};
use omnihal::{Args, Error, Op, Result, View};

/// Evaluates one operator: reads its arguments, writes nothing.
pub fn run(op: &Op, args: &Args<'_>) -> Result<Vec<Output>> {
    op.check()?;
    for (i, expected) in op.arg_types().iter().enumerate().filter(|(_, a)| a.present) {
        check_argument(args.views.get(i).and_then(Option::as_ref), expected).map_err(|e| e.with_op(op.kind()))?;
    }
    match op {
        Op::EmbedLookup(d) => embed::lookup(d, args),
        Op::NormRms(d) => norm::rms(d, args),
        Op::GemmLinear(d) => gemm::linear(d, args),
        Op::GemmBatched(d) => gemm::batched(d, args),
        Op::GemmGrouped(d) => gemm::grouped(d, args),
        Op::QuantQdq(d) => quant::qdq(d, args),
        Op::QuantDequant(d) => quant::dequant(d, args),
        Op::RopeApply(d) => rope::apply(d, args),
        Op::MoeGroup(d) => moe::group(d, args),
        Op::CacheRows(d) => cache::rows(d, args),
        Op::SampleTopK(d) => sample::topk(d, args),
        Op::Unary(d) => elementwise::unary(d, args),
        Op::Binary(d) => elementwise::binary(d, args),
        Op::Where(d) => elementwise::choose(d, args),
        Op::Reduce(d) => elementwise::reduce(d, args),
        Op::Softmax(d) => elementwise::softmax(d, args),
        Op::Cumsum(d) => elementwise::cumsum(d, args),
        Op::Copy(d) => copy::copy(d, args),
        Op::Fill(d) => copy::fill(d, args),
        Op::Gather(d) => copy::gather(d, args),
        Op::Scatter(d) => copy::scatter(d, args),
        Op::Take(d) => copy::take(d, args),
        Op::Concat(d) => copy::concat(d, args),
        fused => fused::run(fused, args),
    }
}

/// Refuses an argument that the descriptor does not describe, so that no operator needs to look twice.
fn check_argument(view: Option<&View>, expected: &ArgType) -> Result<()> {
    let name = expected.name;
    let view = view.ok_or_else(|| Error::argument(format!("argument `{name}` is missing")))?;
    if view.format() != expected.format || view.shape != expected.shape {
        return Err(Error::argument(format!(
            "argument `{name}` is {} {:?}, expected {} {:?}",
            view.format(),
            view.shape,
            expected.format,
            expected.shape
        )));
    }
    if expected.role == Role::Write {
        check_dense(view)?;
    }
    Reader::new(view).map(|_| ())
}
