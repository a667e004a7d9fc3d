//! What a model needs, from its config alone: parameters, bytes, FLOPs, and whether it fits a device.
//!
//! # What is counted
//!
//! * **Parameters and weight bytes**: every matrix, at its stored size with its scales. Vectors and tables (norms,
//!   sinks, hyper-connection bases, position tables of the compressors, router biases, the hash routing table) are a
//!   sum of their own, [`Weights::small`], outside the parameter counts: together they are under 0.02 % of Flash. Weights
//!   that no quantisation covers are taken as BF16, hyper-connections as F32.
//! * **FLOPs per decoded token**: a multiply-add is 2. Linear = 2 x active parameters; indexer = scores of all
//!   visible entries (product, ReLU, head weight, sum); core = scores and values of the keys that attention reads.
//! * **FP8-equivalent**: FP4 x FP4 (the indexer) counts 0.5, FP8 and FP4 x FP8 count 1, BF16 counts 2; attention is
//!   BF16, hyper-connections (F32, 0.3 % of the linear work) count 1.
//! * **KV bytes of a context**, in two ways. [`Cache`]: the entries and the window, as published comparisons count them,
//!   "mixed" (FP8 with BF16 rotary channels, FP4 indexer keys: the rounding the model was trained with) and BF16.
//!   [`SequenceBytes`]: what one sequence takes in pools, with ring slack, open windows, row padding and whole pages.
//! * **A batched step** reads each weight once. Of the routed experts it reads those that are hit; the expected number is
//!   computed for independent, uniform routing.
//! * **Tensor parallelism** divides heads, output groups, expert inner width and the range of experts. Latent projections,
//!   compressors, indexer, router, hyper-connections, embedding, head, and the cache (one key for all heads) are on every device.
//!
//! Activations and workspace come on top of what is counted here; a device's plans tell their size.

mod baseline;
mod cache;
mod count;
mod device;
mod display;
mod flops;
mod matrix;

pub use baseline::Baseline;
pub use cache::{Cache, CacheBytes, CacheFormat, ParseCacheFormatError, SequenceBytes};
pub use device::{DeviceNeed, Fit, Step};
pub use flops::Flops;
pub use matrix::{Parameters, WeightBytes, Weights};

use serde::Serialize;

use crate::config::Config;

/// What to plan for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Query {
    /// Tokens already cached in each sequence.
    pub context: u64,
    /// Sequences decoded together.
    pub batch: u64,
    /// Devices that share the model.
    pub tensor_parallel: u64,
    /// How the pools hold keys.
    pub cache_format: CacheFormat,
}

impl Query {
    /// One sequence of `context` tokens on one device, with packed rows.
    pub fn new(context: u64) -> Self {
        Self { context, batch: 1, tensor_parallel: 1, cache_format: CacheFormat::Packed }
    }
}

/// Why a plan was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The request makes no sense for this model.
    #[error("{field} was expected to be {expected}, found {found}")]
    Query {
        /// Field of [`Query`].
        field: &'static str,
        /// What this model allows.
        expected: String,
        /// The value asked for.
        found: u64,
    },
    /// A result does not fit 64 bits.
    #[error("{quantity} exceeds 64 bits; ask for a smaller context or batch")]
    Overflow {
        /// What was being counted.
        quantity: &'static str,
    },
}

/// All numbers for one model and one [`Query`]. Bytes and FLOPs are exact integers unless a field says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// What was asked.
    pub query: Query,
    /// Parameter counts of the backbone.
    pub parameters: Parameters,
    /// Bytes of the weights.
    pub weights: Weights,
    /// Bytes of keys, as published comparisons count them, for one sequence.
    pub cache: Cache,
    /// Bytes that one sequence takes in the pools.
    pub sequence: SequenceBytes,
    /// Work to decode one token of one sequence.
    pub flops: Flops,
    /// The same for DeepSeek-V3.2 at this context.
    pub baseline: Baseline,
    /// One decode step of the whole batch, all devices together.
    pub step: Step,
    /// What each device holds.
    pub device: DeviceNeed,
}

impl Account {
    /// Computes everything.
    ///
    /// # Errors
    /// When context, batch or the number of devices do not suit the model, or a result exceeds 64 bits.
    pub fn new(config: &Config, query: Query) -> Result<Self, AccountError> {
        check(config, &query)?;
        let tables = matrix::Tables::new(config);
        let parameters = tables.parameters()?;
        let weights = tables.weights(config)?;
        let cache = Cache::new(config, query.context)?;
        let sequence = SequenceBytes::new(config, query.context, query.cache_format)?;
        let flops = Flops::new(config, &tables, query.context)?;
        let baseline = Baseline::v32(query.context)?;
        let step = Step::new(config, &query, &weights, &cache, &flops);
        let device = DeviceNeed::new(&query, &tables, &weights, &sequence)?;
        Ok(Self { query, parameters, weights, cache, sequence, flops, baseline, step, device })
    }

    /// Whether each device holds its share in `device_memory` bytes.
    pub fn fits(&self, device_memory: u64) -> Fit {
        self.device.fit(device_memory)
    }
}

fn check(config: &Config, query: &Query) -> Result<(), AccountError> {
    let refuse = |field, expected: String, found| Err(AccountError::Query { field, expected, found });
    let longest = config.max_position_embeddings as u64;
    if query.context == 0 || query.context > longest {
        return refuse("context", format!("from 1 to max_position_embeddings = {longest}"), query.context);
    }
    if query.batch == 0 {
        return refuse("batch", "at least 1".into(), 0);
    }
    let tp = query.tensor_parallel;
    for (name, size) in [
        ("num_attention_heads", config.num_attention_heads),
        ("o_groups", config.o_groups),
        ("n_routed_experts", config.n_routed_experts),
        ("moe_intermediate_size", config.moe_intermediate_size),
    ] {
        if tp == 0 || !(size as u64).is_multiple_of(tp) {
            return refuse("tensor_parallel", format!("a divisor of {name} = {size}"), tp);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
