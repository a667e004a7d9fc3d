//! The one error of the checkpoint reader.

use crate::config::ConfigError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum WeightError {
    /// The config is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system would not give a file.
    #[error("cannot read {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder that is not what it should be as a whole.
    #[error("{}: expected {expected}, found {found}", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What it should be or hold.
        expected: String,
        /// What it is or holds.
        found: String,
    },
    /// A tensor whose type, shape, place or scale is not what the config or the format demands.
    #[error("{}: tensor `{tensor}`: expected {expected}, found {found}", file.display())]
    Tensor {
        /// The file that holds it.
        file: PathBuf,
        /// Its name; where the file spells it otherwise, both.
        tensor: String,
        /// What the config or the format demands.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A tensor that the config demands and no file holds.
    #[error("{}: tensor `{tensor}`: expected shape {expected:?}, found no such tensor", file.display())]
    Missing {
        /// The file, or the first of several.
        file: PathBuf,
        /// Its official name.
        tensor: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// Tensors that the config has no use for.
    #[error(
        "{}: tensor `{tensor}`: expected only tensors of the config, found {count} that it has no place for; \
         is it another model's config?",
        file.display()
    )]
    Unknown {
        /// The file that holds the first of them.
        file: PathBuf,
        /// The first of them.
        tensor: String,
        /// How many there are.
        count: usize,
    },
    /// Two tensors that are the same one by name.
    #[error("{}: tensor `{tensor}`: expected it once, found it again in {}", first.display(), second.display())]
    Duplicate {
        /// The name that both have.
        tensor: String,
        /// The file of the first.
        first: PathBuf,
        /// The file of the second, perhaps the same.
        second: PathBuf,
    },
    /// A value that no weight may have.
    #[error("{}: tensor `{tensor}`: expected {expected}, found {found} at element {element}", file.display())]
    Value {
        /// The file that holds it.
        file: PathBuf,
        /// Its official name.
        tensor: String,
        /// What every value must be.
        expected: String,
        /// The first value that is not.
        found: String,
        /// Where that value is, counted in stored elements of the tensor.
        element: usize,
    },
}
