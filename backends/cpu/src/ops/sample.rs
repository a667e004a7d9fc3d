//! The sample family.

use super::{Choice, unsupported};
use omnihal::{Op, Result};

pub(crate) fn plan(op: &Op, _threads: usize) -> Result<Choice> {
    unsupported(op)
}
