//! Fused operators that are wrong on purpose, so that a client's self-check has something to catch: `FAKE_CANN_WRONG=operator:mistake,...`, or the control function.
//! Operators are named without `aclnn`.
//!
//! Mistakes: `arity` (the library takes one parameter more than the client gives), and those that an operator's own file names.

use crate::executor::Arg;
use std::sync::{Mutex, PoisonError};

static PLANNED: Mutex<Option<String>> = Mutex::new(None);

/// Plans mistakes, instead of those of the environment.
pub fn plan(mistakes: &str) {
    *PLANNED.lock().unwrap_or_else(PoisonError::into_inner) = Some(mistakes.to_owned());
}

/// Whether an operator makes a mistake.
pub(crate) fn makes(operator: &str, mistake: &str) -> bool {
    let planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let all = planned.or_else(|| std::env::var("FAKE_CANN_WRONG").ok()).unwrap_or_default();
    all.split(',').any(|one| one.split_once(':') == Some((operator, mistake)))
}

/// The parameters as a library with another signature would take them: one more in front, whatever was there.
pub(crate) fn parameters(operator: &str, args: &[Arg]) -> Vec<Arg> {
    match makes(operator.strip_prefix("aclnn").unwrap_or(operator), "arity") {
        true => args.iter().skip(1).chain(args.first()).copied().collect(),
        false => args.to_vec(),
    }
}
