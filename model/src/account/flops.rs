//! Work per decoded token.

use serde::Serialize;

use super::AccountError;
use super::count::{Count, count};
use super::matrix::{Matrix, Tables};
use crate::config::{Block, BlockKind, Config};

/// FLOPs to decode one token; a multiply-add is 2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Flops {
    /// Products with weights.
    pub linear: u64,
    /// Indexer scores over all visible entries.
    pub indexer: u64,
    /// Attention over the keys that are read: scores and values.
    pub core: u64,
    /// The sum.
    pub total: u64,
    /// The sum weighted by the cost of each operand format relative to FP8.
    pub fp8_equivalent: f64,
}

impl Flops {
    pub(super) fn new(config: &Config, tables: &Tables, context: u64) -> Result<Self, AccountError> {
        let bf16: Count = tables.backbone.iter().filter(|m| m.is_bf16()).map(Matrix::active).sum();
        let bf16 = (bf16 * 2u64).get("bf16 flops")?;
        // Product of query and key per head, then ReLU, head weight and sum.
        let per_entry = count(config.index_n_heads) * (2 * config.index_head_dim + 3);
        let indexer: Count =
            config.blocks.iter().filter(|b| b.has_indexer()).map(|b| per_entry * entries(b, context)).sum();
        let per_key = count(config.num_attention_heads) * config.head_dim * 4u64;
        let core: Count = config.blocks.iter().map(|b| per_key * keys_read(config, b, context)).sum();
        Self::weighted(
            (count(tables.active()?) * 2u64).get("linear flops")?,
            indexer.get("indexer flops")?,
            core.get("attention flops")?,
            bf16,
            if config.quantised { 0.5 } else { 2.0 },
        )
    }

    /// `bf16` is the part of `linear` whose weights are BF16.
    pub(super) fn weighted(
        linear: u64,
        indexer: u64,
        core: u64,
        bf16: u64,
        indexer_cost: f64,
    ) -> Result<Self, AccountError> {
        let total = (count(linear) + indexer + core).get("flops")?;
        let fp8_equivalent = linear as f64 + bf16 as f64 + indexer_cost * indexer as f64 + 2.0 * core as f64;
        Ok(Self { linear, indexer, core, total, fp8_equivalent })
    }
}

/// Compressed entries of a block after `context` tokens.
pub(super) fn entries(block: &Block, context: u64) -> u64 {
    match block.kind {
        BlockKind::Window => 0,
        _ => context / block.ratio as u64,
    }
}

/// Raw keys of the window after `context` tokens.
pub(super) fn window(config: &Config, context: u64) -> u64 {
    context.min(config.sliding_window as u64)
}

/// Keys that one query attends to.
pub(super) fn keys_read(config: &Config, block: &Block, context: u64) -> u64 {
    let visible = entries(block, context);
    let chosen = if block.has_indexer() { visible.min(config.index_topk as u64) } else { visible };
    window(config, context) + chosen
}
