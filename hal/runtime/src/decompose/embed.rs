//! Decompositions of the embed family.

use super::{Arguments, Context};
use crate::recipe::Recipe;
use crate::shorthand::Choice::{Number, Of};
use omnihal::op::{elementwise::Cmp, embed};
use omnihal::{Column, Result};

pub(super) fn ids(r: &mut Recipe, _d: &embed::Ids, args: &Arguments, cx: &Context<'_>) -> Result<()> {
    let (toks, last, ids) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let place = r.column(cx.step, Column::LastIdx);
    let sampled = r.gather(&last.merge(0).unsqueeze(1), &place);
    // Padding rows have id -1 and place 0, the null slot, which holds 0.
    let id = toks.slice(1, 3, 1);
    r.select_into(&id, Cmp::Ge, Number(0.0), Of(&id), Of(&sampled), &ids.unsqueeze(1));
    Ok(())
}
