//! The operators, one file a family.

pub mod fused;

use crate::tensor::Output;
use omnihal::{Args, Error, Op, Result};

/// Evaluates one operator: reads its arguments, writes nothing.
pub fn run(op: &Op, args: &Args<'_>) -> Result<Vec<Output>> {
    check_arguments(op, args)?;
    fused::run(op, args)
}

/// Refuses arguments that the descriptor does not describe, so that no operator needs to look twice.
fn check_arguments(op: &Op, args: &Args<'_>) -> Result<()> {
    op.check()?;
    for (i, expected) in op.arg_types().iter().enumerate().filter(|(_, a)| a.present) {
        let view =
            args.views.get(i).and_then(Option::as_ref).ok_or_else(|| {
                Error::argument(format!("argument `{}` is missing", expected.name)).with_op(op.kind())
            })?;
        if view.format() != expected.format || view.shape != expected.shape {
            return Err(Error::argument(format!(
                "argument `{}` is {} {:?}, expected {} {:?}",
                expected.name,
                view.format(),
                view.shape,
                expected.format,
                expected.shape
            ))
            .with_op(op.kind()));
        }
        crate::tensor::Reader::new(view).map_err(|e| e.with_op(op.kind()))?;
    }
    Ok(())
}
