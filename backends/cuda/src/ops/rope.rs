//! `rope.*`.

use super::{Choice, unsupported};
use crate::modules::Modules;
use crate::params::Struct;
use omnihal::{Op, Result};

pub(crate) const STRUCTS: &[Struct] = &[];

pub(crate) fn plan(op: &Op, _modules: &Modules) -> Result<Choice> {
    unsupported(op)
}
