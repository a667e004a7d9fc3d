//! What can be wrong with a report, a list or a bundle.

use std::path::{Path, PathBuf};

/// Why a report could not be written, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something does not read as what it should be.
    #[error("{what}: {why}")]
    Malformed {
        /// The file, or the part of it.
        what: String,
        /// What was found and what was expected.
        why: String,
    },
    /// Something is larger than anything honest.
    #[error("{what} takes {found} bytes, at most {limit} are read")]
    TooLarge {
        /// The file.
        what: String,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Written by another version of the format.
    #[error("the report has schema {found}, this kit reads schema {}: use the kit that wrote it", super::SCHEMA)]
    Schema {
        /// The version found.
        found: u64,
    },
    /// A bundle's files are not those that its manifest lists.
    #[error("the bundle is damaged or was changed: {0}")]
    Integrity(String),
}

impl ReportError {
    /// Something that does not read as it should.
    pub fn malformed(what: impl Into<String>, why: impl Into<String>) -> ReportError {
        ReportError::Malformed { what: what.into(), why: why.into() }
    }

    /// Names the file in a system's error.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ReportError + '_ {
        move |source| ReportError::Io { path: path.to_owned(), source }
    }
}
