//! The fused operators.

use crate::tensor::Output;
use omnihal::{Args, Error, Op, Result};

/// Evaluates a fused operator.
pub fn run(op: &Op, args: &Args<'_>) -> Result<Vec<Output>> {
    let _ = args;
    Err(Error::unsupported("the judge does not know this operator").with_op(op.kind()))
}
