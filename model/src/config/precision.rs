//! The precision modes: where activations go through FP8 or FP4 on their way.

use super::{Config, FieldError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Group of channels that share a scale when keys are rounded to FP8.
const KV_GROUP: usize = 64;
/// Group of channels that share a scale when indexer vectors are rounded to FP4.
const INDEX_GROUP: usize = 32;

/// Which quantise-dequantise steps of the trained function are applied. Each mode includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// None.
    #[default]
    Plain,
    /// FP8 for window keys and compressed entries.
    QatKv,
    /// Hadamard rotation and FP4 for indexer queries and keys.
    QatKvIdx,
    /// FP8 for the inputs of quantised linears: how a quantised checkpoint was trained.
    QatAll,
}

impl Precision {
    /// Every mode, from the least to the most rounding.
    pub const ALL: [Precision; 4] = [Precision::Plain, Precision::QatKv, Precision::QatKvIdx, Precision::QatAll];

    /// The name used in options and golden files.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Plain => "plain",
            Precision::QatKv => "qat_kv",
            Precision::QatKvIdx => "qat_kv_idx",
            Precision::QatAll => "qat_all",
        }
    }

    /// True where window keys and compressed entries are rounded to FP8.
    pub fn quantises_kv(self) -> bool {
        self >= Precision::QatKv
    }

    /// True where indexer queries and keys are rotated and rounded to FP4.
    pub fn quantises_indexer(self) -> bool {
        self >= Precision::QatKvIdx
    }

    /// True where the inputs of quantised linears are rounded to FP8.
    pub fn quantises_linears(self) -> bool {
        self >= Precision::QatAll
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no precision mode.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("precision mode: expected plain, qat_kv, qat_kv_idx or qat_all, found `{0}`")]
pub struct ParsePrecisionError(String);

impl FromStr for Precision {
    type Err = ParsePrecisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Precision::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| ParsePrecisionError(text.into()))
    }
}

impl Config {
    /// Refuses a mode whose rounding groups do not fit the widths of this model.
    pub fn check_precision(&self, mode: Precision) -> Result<(), FieldError> {
        let nope = self.nope_dim();
        if mode.quantises_kv() && !nope.is_multiple_of(KV_GROUP) {
            return Err(FieldError::new(
                "head_dim - qk_rope_head_dim",
                format!("a multiple of {KV_GROUP} for precision {mode} (or use plain)"),
                nope,
            ));
        }
        let width = self.index_head_dim;
        if mode.quantises_indexer() && self.has_indexer() && !(width.is_power_of_two() && width >= INDEX_GROUP) {
            return Err(FieldError::new(
                "index_head_dim",
                format!("a power of two of at least {INDEX_GROUP} for precision {mode} (or use qat_kv)"),
                width,
            ));
        }
        Ok(())
    }
}
