//! What an engine is opened with.

use crate::config::{Config, Precision};
use crate::error::{ModelError, Result};
use omnihal::{DType, Device};
use omnihal_runtime::TierLimit;
use std::sync::Arc;

/// Capacities and choices of an engine.
#[derive(Clone)]
pub struct EngineOptions {
    /// Activation type: F32 or BF16.
    pub act: DType,
    /// Where values are rounded to code grids.
    pub precision: Precision,
    /// Which operators may run natively.
    pub limit: TierLimit,
    /// Runs what the device cannot, with copies.
    pub fallback: Option<Arc<dyn Device>>,
    /// Sequences open at a time.
    pub sequences: usize,
    /// Longest sequence.
    pub positions: usize,
    /// Largest step; longer ones are cut.
    pub max_rows: usize,
    /// Keep what multi-token prediction needs.
    pub predict: bool,
    /// Run the indexer even where it would keep every entry.
    pub force_indexer: bool,
    /// Attend to the window alone, in every block, to show what compressed entries are worth.
    pub window_only: bool,
    /// Store packed rows where the precision mode makes them exact and the device reads and writes them natively.
    pub packed_rows: bool,
    /// Attend to the entries given by `Engine::force_entries` instead of the indexer's.
    pub forced_entries: bool,
    /// Keep every intermediate tensor that the oracle names.
    pub taps: bool,
    /// Fill unwritten state, and the arena before every step, with NaN: what is read unwritten then shows.
    pub poison: bool,
}

impl EngineOptions {
    /// One sequence of up to `positions` positions, everything the device has, in the precision that suits the checkpoint.
    pub fn new(config: &Config, positions: usize) -> Self {
        EngineOptions {
            act: DType::BF16,
            precision: if config.quantised { Precision::QatAll } else { Precision::Plain },
            limit: TierLimit::All,
            fallback: None,
            sequences: 1,
            positions,
            max_rows: 512,
            predict: false,
            force_indexer: false,
            window_only: false,
            packed_rows: true,
            forced_entries: false,
            taps: false,
            poison: false,
        }
    }

    pub(super) fn check(&self, config: &Config) -> Result<()> {
        if !matches!(self.act, DType::F32 | DType::BF16) {
            return Err(ModelError::refused(format!(
                "activations of type {} were asked for, F32 or BF16 are possible",
                self.act
            )));
        }
        let range = |what: &str, found: usize, limit: usize| match found {
            found if (1..=limit).contains(&found) => Ok(()),
            _ => Err(ModelError::refused(format!("{found} {what} were asked for, 1 to {limit} are possible"))),
        };
        range("positions", self.positions, config.max_position_embeddings)?;
        range("sequences", self.sequences, 1 << 16)?;
        range("rows in a step", self.max_rows, 1 << 16)?;
        Ok(config.check_precision(self.precision)?)
    }
}
