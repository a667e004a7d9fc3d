//! embed.ids.

use super::{result, step};
use crate::tensor::{Output, read};
use omnihal::op::embed::{Ids, IdsArgs};
use omnihal::{Args, OpKind, Result};

pub fn ids(d: &Ids, args: &Args) -> Result<Vec<Output>> {
    let a = IdsArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let last = read(a.last)?;
    let id = |token: &Option<step::Token>| match token {
        Some(t) if t.id >= 0 => f64::from(t.id),
        Some(t) if t.slot < d.slots => last.row(t.slot).get((-1 - t.id) as usize).copied().unwrap_or(0.0),
        _ => 0.0,
    };
    let ids = tokens.iter().map(id).collect();
    // Padding rows give 0, so every row that the hint covers is specified.
    Ok(vec![result::dense_exact(OpKind::EmbedIds, "ids", ids, &result::leading(d.rows, args.rows_hint))])
}
