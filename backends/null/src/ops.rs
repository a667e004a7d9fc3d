//! Plans.
//!
//! A real backend has a folder `ops/` with one file for each family of the catalogue. There, `supports` answers for the full
//! descriptor (types, formats and sizes, not only the operator's name), and making a plan chooses the kernel, sizes its
//! workspace and prepares everything that a run would otherwise have to do.

use omnihal::{Accumulation, Determinism, Error, Op, Plan, Result, Support};
use std::any::Any;

/// A way to run one operator: here, not at all.
pub(crate) struct NullPlan {
    op: Op,
}

impl Plan for NullPlan {
    fn op(&self) -> &Op {
        &self.op
    }

    fn determinism(&self) -> Determinism {
        Determinism::RowInvariant
    }

    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

/// Every descriptor that makes sense at all is accepted.
pub(crate) fn supports(op: &Op) -> Support {
    match op.check() {
        Ok(()) => Support::Native,
        Err(error) => Support::No(error.to_string()),
    }
}

/// Makes a plan. Its refusals are those of [`supports`].
pub(crate) fn plan(op: &Op) -> Result<NullPlan> {
    op.check()?;
    Ok(NullPlan { op: *op })
}

/// Gives this backend its own plan back. A plan of another backend means nothing here and is refused.
pub(crate) fn own(plan: &dyn Plan) -> Result<&NullPlan> {
    (plan as &dyn Any)
        .downcast_ref()
        .ok_or_else(|| Error::argument("the plan was made by another device: plan the operator on this one"))
}
