//! A batch on devices: what a step moves, what each device holds.

use serde::Serialize;

use super::count::{Count, count};
use super::matrix::{Matrix, Tables};
use super::{AccountError, Cache, Flops, Query, SequenceBytes, Weights};
use crate::config::Config;

/// Slots, and pages of each space, that a pool keeps for itself: one for rows without a sequence, one for writes
/// that nobody reads.
const RESERVED: u64 = 2;

/// One decode step of the whole batch, all devices together. Expected values, so not integers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// Routed experts of a block that some token of the batch visits, if routing were uniform.
    pub experts_per_block: f64,
    /// Bytes of weights read.
    pub weight_bytes: f64,
    /// Bytes of cache read, mixed format.
    pub cache_bytes: f64,
    /// All bytes read, divided by the batch.
    pub bytes_per_token: f64,
    /// Work of all tokens.
    pub flops: f64,
}

impl Step {
    pub(super) fn new(config: &Config, query: &Query, weights: &Weights, cache: &Cache, flops: &Flops) -> Self {
        let batch = query.batch as f64;
        let (all, chosen) = (config.n_routed_experts as f64, config.num_experts_per_tok as f64);
        let hit = match query.batch {
            1 => chosen,
            _ => all * (1.0 - (1.0 - chosen / all).powf(batch)),
        };
        let dense = (weights.read.total - weights.read.routed) as f64;
        let weight_bytes = dense + weights.stored.routed as f64 * hit / all;
        let cache_bytes = cache.mixed.read as f64 * batch;
        Self {
            experts_per_block: hit,
            weight_bytes,
            cache_bytes,
            bytes_per_token: (weight_bytes + cache_bytes) / batch,
            flops: flops.total as f64 * batch,
        }
    }
}

/// What each device holds, without activations and workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeviceNeed {
    /// Its share of the weights, MTP blocks and small tensors included.
    pub weights: u64,
    /// One sequence: its slot and pages. Every device holds all keys.
    pub sequence: u64,
    /// Slots and pages that the pools keep for themselves.
    pub reserved: u64,
    /// All sequences and what is reserved.
    pub state: u64,
    /// `weights` and `state`.
    pub total: u64,
    /// Its share of the weights where it expands coded ones to bf16 as it loads them.
    pub expanded_weights: u64,
    /// `expanded_weights` and `state`.
    pub expanded_total: u64,
}

/// Whether a device is large enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Bytes of the device.
    pub device_memory: u64,
    /// True if nothing is missing.
    pub fits: bool,
    /// Bytes left for activations and workspace, 0 if it does not fit.
    pub free: u64,
    /// Bytes missing, 0 if it fits.
    pub missing: u64,
    /// Most sequences of this context that fit.
    pub largest_batch: u64,
}

impl DeviceNeed {
    pub(super) fn new(
        query: &Query,
        tables: &Tables,
        weights: &Weights,
        sequence: &SequenceBytes,
    ) -> Result<Self, AccountError> {
        let matrices = || tables.backbone.iter().chain(&tables.mtp);
        let held = |bytes: fn(&Matrix) -> Count| {
            let of = |split| {
                let of = matrices().filter(|m| m.split == split);
                of.map(bytes).sum::<Count>().get("weights of a device")
            };
            let share = of(true)?.div_ceil(query.tensor_parallel);
            (count(share) + of(false)? + weights.small).get("weights of a device")
        };
        let expanded_weights = held(Matrix::expanded_bytes)?;
        let weights = held(Matrix::stored_bytes)?;
        let reserved = ((count(sequence.slot) + sequence.page) * RESERVED).get("reserved state")?;
        let state = (count(query.batch) * sequence.total + reserved).get("state of a device")?;
        let total = (count(weights) + state).get("bytes of a device")?;
        let expanded_total = (count(expanded_weights) + state).get("bytes of a device")?;
        Ok(Self { weights, sequence: sequence.total, reserved, state, total, expanded_weights, expanded_total })
    }

    pub(super) fn fit(&self, device_memory: u64) -> Fit {
        let room = device_memory.saturating_sub(self.weights).saturating_sub(self.reserved);
        Fit {
            device_memory,
            fits: self.total <= device_memory,
            free: device_memory.saturating_sub(self.total),
            missing: self.total.saturating_sub(device_memory),
            largest_batch: room / self.sequence,
        }
    }
}
