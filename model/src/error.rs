//! What can go wrong with a model.

use crate::config::{ConfigError, FieldError};
use crate::weights::WeightError;

/// Result with the model's error.
pub type Result<T> = std::result::Result<T, ModelError>;

/// What went wrong, and with what.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The device refused or failed.
    #[error(transparent)]
    Hal(#[from] omnihal::Error),
    /// A checkpoint file is not what the config says.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The config cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The config contradicts itself or what was asked.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A state pool is exhausted. Only the named sequence is refused.
    #[error(
        "sequence {sequence} needs {needed} more {what}, {free} are free: end or roll back a sequence, or open the engine with more room"
    )]
    Full {
        /// The refused sequence.
        sequence: usize,
        /// What is exhausted.
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        free: usize,
    },
    /// A call that the engine's state forbids.
    #[error("{0}")]
    Refused(String),
}

impl ModelError {
    /// A refused call: what was asked, what was found, what to do.
    pub fn refused(message: impl Into<String>) -> Self {
        ModelError::Refused(message.into())
    }
}
