//! Errors of the config reader.

use thiserror::Error;

/// One field that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("config field `{field}`: expected {expected}, found {found}")]
pub struct FieldError {
    /// The field, as the file spells it.
    pub field: String,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl FieldError {
    pub(super) fn new(field: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self { field: field.into(), expected: expected.into(), found: found.to_string() }
    }
}

/// Why a config could not be read.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read config {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder, a device or a pipe.
    #[error("cannot read config {file}: expected a regular file, found something else")]
    NotAFile {
        /// The file.
        file: String,
    },
    /// Longer than any config.
    #[error("config {file}: expected at most {limit} bytes, found more; is it the weights file?")]
    TooLarge {
        /// The file.
        file: String,
        /// The most that is read.
        limit: u64,
    },
    /// Not JSON.
    #[error("config {file}: expected a JSON object, found {source}")]
    Json {
        /// The file.
        file: String,
        /// Where the text goes wrong.
        source: serde_json::Error,
    },
    /// A field that is missing, mistyped, out of range or at odds with another.
    #[error("{file}: {error}")]
    Field {
        /// The file.
        file: String,
        /// The field.
        error: FieldError,
    },
}
