//! The check that a fused operator of the vendor's passes before a device runs it: small drawn inputs through it and through its composition of plain operators, on the same device.
//!
//! A difference beyond the bound, or any failure, and the operator is composed instead; the reason is what the placement shows. A check is done once for a device, a vendor's operator and a
//! form of it (its types, and what else decides which call is made).

mod bound;
mod cases;
mod run;

use crate::context::Context;
use crate::device::{AscendDevice, FusedMode};
use crate::ops::fused::{ALL, Fused};
use cases::Case;
use omnihal::{Device, Error, Op, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The catalogue's operator.
    pub op: &'static str,
    /// The vendor's.
    pub by: String,
    /// Why it is not used; `None` if it passed.
    pub refused: Option<String>,
}

/// The checks of a device so far, by operator and form.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<BTreeMap<String, Check>>);

impl Checks {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<Check> {
        // An entry is inserted whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The result of a check, which is made if it was not made before. Others wait for it meanwhile.
    fn once(&self, key: String, make: impl FnOnce() -> Check) -> Check {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert_with(make).clone()
    }
}

/// The first of an operator's candidates that passes.
pub(crate) fn first_that_passes(
    context: &Arc<Context>,
    op: &Op,
    candidates: &[&'static Fused],
) -> Result<&'static Fused> {
    let mut refusals = Vec::new();
    for &fused in candidates {
        match check(context, op, fused).refused {
            None => return Ok(fused),
            Some(why) => refusals.push(format!("{}: {why}", fused.name())),
        }
    }
    Err(Error::unsupported(refusals.join("; ")))
}

fn check(context: &Arc<Context>, op: &Op, fused: &'static Fused) -> Check {
    let done = |refused| Check { op: op.kind().name(), by: fused.name(), refused };
    let Some(case) = Case::of(op) else { return done(Some("there is no self-check for it".to_owned())) };
    let key = format!("{} {:?}", fused.name(), case.op);
    context.checks.once(key, || {
        let refused = compare(context, &case, fused).err().map(|why| format!("failed its self-check: {why}"));
        if let Some(why) = &refused {
            tracing::warn!(operator = fused.name(), why, "composed instead");
        }
        done(refused)
    })
}

/// Runs both and compares.
fn compare(context: &Arc<Context>, case: &Case, fused: &'static Fused) -> std::result::Result<(), String> {
    let device = |mode| Arc::new(AscendDevice::of(context.clone(), mode)) as Arc<dyn Device>;
    let on = |device, what: &str| run::outputs(&device, case).map_err(|error| format!("{what}: {error}"));
    let vendors = on(device(FusedMode::Only(fused)), "its run")?;
    let composed = on(device(FusedMode::Off), "the run of its composition")?;
    vendors.iter().zip(&composed).try_for_each(|(got, expected)| bound::within(case, got, expected))
}

/// Checks every operator of the vendor's that the installation has, in its usual form.
pub(crate) fn all(context: &Arc<Context>) -> Vec<Check> {
    for fused in ALL {
        for op in cases::usual(fused.kind) {
            if let Ok(candidates) = crate::ops::fused::candidates(&op, &context.toolkit)
                && candidates.iter().any(|one| std::ptr::eq(*one, fused))
            {
                check(context, &op, fused);
            }
        }
    }
    context.checks.all()
}
