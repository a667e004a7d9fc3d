//! DeepSeek-V3.2, the model that published savings are measured against.

use serde::Serialize;

use super::count::count;
use super::{AccountError, Flops};

// The released DeepSeek-V3.2 config: MLA with an indexer in each of 61 blocks, 58 of them mixtures of experts.
const HIDDEN: u64 = 7168;
const BLOCKS: u64 = 61;
const DENSE_BLOCKS: u64 = 3;
const DENSE_INNER: u64 = 18432;
const HEADS: u64 = 128;
const Q_RANK: u64 = 1536;
const KV_RANK: u64 = 512;
const ROPE: u64 = 64;
const NOPE: u64 = 128;
const VALUE: u64 = 128;
const INDEX_HEADS: u64 = 64;
const INDEX_WIDTH: u64 = 128;
const INDEX_KEPT: u64 = 2048;
const EXPERTS: u64 = 256;
/// 8 routed and 1 shared.
const EXPERTS_READ: u64 = 9;
const EXPERT_INNER: u64 = 2048;
const VOCABULARY: u64 = 129_280;
const HEAD: u64 = VOCABULARY * HIDDEN;

/// DeepSeek-V3.2 at the context of the query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Baseline {
    /// Name of the model.
    pub name: &'static str,
    /// Parameters that a token passes through.
    pub active_parameters: u64,
    /// Work to decode one token; all but the head is FP8.
    pub flops: Flops,
    /// Keys of one sequence: FP8 latents with BF16 rotary channels, FP8 indexer keys.
    pub kv_mixed: u64,
    /// Keys of one sequence, all BF16.
    pub kv_bf16: u64,
}

impl Baseline {
    pub(super) fn v32(context: u64) -> Result<Self, AccountError> {
        let active = active_parameters();
        let indexer = count(BLOCKS * INDEX_HEADS * (2 * INDEX_WIDTH + 3)) * context;
        let core = BLOCKS * HEADS * INDEX_KEPT.min(context) * 2 * (2 * KV_RANK + ROPE);
        let cached = count(BLOCKS) * context;
        // Four F32 scales of a 512-wide latent and one of an indexer key.
        let mixed_row = (KV_RANK + 16) + 2 * ROPE + (INDEX_WIDTH + 4);
        Ok(Self {
            name: "DeepSeek-V3.2",
            active_parameters: active,
            flops: Flops::weighted(2 * active, indexer.get("indexer flops")?, core, 2 * HEAD, 1.0)?,
            kv_mixed: (cached * mixed_row).get("cache bytes")?,
            kv_bf16: (cached * (2 * (KV_RANK + ROPE + INDEX_WIDTH))).get("cache bytes")?,
        })
    }
}

const fn active_parameters() -> u64 {
    let attention = HIDDEN * Q_RANK
        + Q_RANK * HEADS * (NOPE + ROPE)
        + HIDDEN * (KV_RANK + ROPE)
        + KV_RANK * HEADS * (NOPE + VALUE)
        + HEADS * VALUE * HIDDEN;
    let indexer = Q_RANK * INDEX_HEADS * INDEX_WIDTH + HIDDEN * INDEX_WIDTH + HIDDEN * INDEX_HEADS;
    let dense = DENSE_BLOCKS * 3 * HIDDEN * DENSE_INNER;
    let sparse = (BLOCKS - DENSE_BLOCKS) * (EXPERTS_READ * 3 * HIDDEN * EXPERT_INNER + EXPERTS * HIDDEN);
    BLOCKS * (attention + indexer) + dense + sparse + HEAD
}
