//! `omnihal conform --shrink`.

use super::{Conform, list};
use crate::failure::{Failure, Outcome};
use crate::output;
use omnihal_conformance::suite::{self, Item};
use omnihal_conformance::{Outcome as Verdict, shrink as kit};

/// Cases tried at most: each may need a new worker.
const TRIES: usize = 400;

/// Finds and prints the smallest failing case next to the given one.
pub fn shrink(conform: &Conform, id: &str) -> Result<Outcome, Failure> {
    let Item::Op(case) = suite::find(id).map_err(Failure::input)? else {
        return Err(Failure::input("only cases of operators have smaller neighbours; this one is a script"));
    };
    conform.device.probe()?;
    let fails = |verdict: Verdict| matches!(verdict, Verdict::Fail | Verdict::Crash | Verdict::Timeout);
    let first = list::one(conform, Item::Op(case.clone()))?;
    if !fails(first.outcome) {
        output::text(format!("{} {}: nothing to shrink\n", first.outcome, first.id))?;
        return Ok(Outcome::Good);
    }
    let mut stopped = None;
    let least = kit::shrink(&case, TRIES, |next| match list::one(conform, Item::Op(Box::new(next.clone()))) {
        Ok(result) => fails(result.outcome),
        Err(failure) => {
            stopped.get_or_insert(failure);
            false
        }
    });
    if let Some(failure) = stopped {
        return Err(failure);
    }
    let result = list::one(conform, Item::Op(Box::new(least.clone())))?;
    let spelled = serde_json::to_string(&least.spelled()).map_err(Failure::input)?;
    output::text(format!(
        "{} {}\n  {}\n\nagain: omnihal conform {} --replay '{spelled}' --salt {}\n",
        result.outcome,
        result.id,
        result.message.unwrap_or_default(),
        conform.device.to_words(),
        conform.selection.salt
    ))?;
    Ok(Outcome::Bad)
}
