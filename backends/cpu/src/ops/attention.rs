//! The attention family: latent projections, queries, and attention over window and entries.

mod latent;
pub(crate) mod row;
mod sparse;
#[cfg(test)]
mod tests;

use super::cache::{activation, stored};
use super::{Choice, unsupported};
use omnihal::{DType, Error, Op, Result, RowFormat};

pub(crate) fn plan(op: &Op, threads: usize) -> Result<Choice> {
    match op {
        Op::AttentionLatent(d) => {
            activation(d.act)?;
            gain(d.weight)?;
            Choice::new(latent::latent, latent::workspace(d, threads))
        }
        Op::AttentionQuery(d) => {
            activation(d.act)?;
            Choice::new(latent::query, super::Scratch::bytes(threads, 4 * (d.head + d.rotary)))
        }
        Op::AttentionSparse(d) => {
            activation(d.act)?;
            stored::check(d.format, d.head, d.rotary)?;
            if d.format == RowFormat::F4 {
                return Err(Error::unsupported("keys stored as F4 were asked; that format is for indexer keys"));
            }
            Choice::new(sparse::sparse, sparse::workspace(d, threads))
        }
        op => unsupported(op),
    }
}

/// Refuses types of norm weights that the fused kernels of this crate do not read.
pub(crate) fn gain(weight: DType) -> Result<()> {
    if matches!(weight, DType::F32 | DType::BF16) {
        return Ok(());
    }
    Err(Error::unsupported(format!("a norm weight of type {weight} was asked; use F32 or BF16")))
}
