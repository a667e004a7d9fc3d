//! Waivers: failures that are known, measured and meant to end.
//!
//! A waiver widens no tolerance. It says that a named case of a named device and driver fails, by how much at most, why, and until
//! when. A waiver that has run out, is no longer needed, or reaches further than it should, fails the run.
//!
//! ```json
//! { "schema": 1, "waivers": [ {
//!     "cases": ["gemm.linear/rows=7,*/wide/*"],
//!     "device": "Vendor Chip 9*",
//!     "versions": [ { "of": "driver", "from": "5.1", "to": "5.3" } ],
//!     "reason": "f16 partial sums in the tail kernel",
//!     "link": "https://vendor.example/issues/12",
//!     "expires": "2026-12-31",
//!     "allowed_share": 3.2
//! } ] }
//! ```

mod apply;
mod version;

pub use apply::{Context, Status, WaiverUse, apply};
pub use version::is_date;

use crate::glob::{glob, is_pattern};
use crate::report::{DeviceFacts, MustPass, ReportError};
use omnihal::op::OpKind;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// Version of the format of waiver files.
pub const SCHEMA: u32 = 1;
/// Most required cases that one pattern may reach: more is no known failure but a broken operator.
pub const MAX_REACH: usize = 32;
/// Largest waiver file that is read.
pub const MAX_FILE: u64 = 4 << 20;

/// A known failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Names of cases, or narrow patterns of names: the operator must be written out.
    pub cases: Vec<String>,
    /// Pattern of the device's name.
    pub device: String,
    /// Ranges of driver and library versions. All must hold; there is at least one.
    pub versions: Vec<VersionRange>,
    /// What goes wrong.
    pub reason: String,
    /// Where its repair is followed.
    pub link: String,
    /// Last day on which it holds, as `YYYY-MM-DD`.
    pub expires: String,
    /// Largest error over bound that it covers, as measured.
    pub allowed_share: f64,
}

/// A range of versions, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRange {
    /// Which version, as the device names it.
    pub of: String,
    /// First.
    pub from: String,
    /// Last.
    pub to: String,
}

/// A waiver file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    waivers: Vec<Waiver>,
}

/// What is wrong with a waiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waiver {} (`{name}`): {why}", index + 1)]
pub struct WaiverError {
    /// Its place in the file, from 0.
    pub index: usize,
    /// Its first pattern.
    pub name: String,
    /// What is wrong.
    pub why: Why,
}

/// The ways in which a waiver can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A field is empty or does not read.
    #[error("{field} {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Its day has passed.
    #[error("ran out on {0}: repair what it waives, or measure anew and say until when")]
    Expired(String),
    /// It would waive what no waiver covers.
    #[error("`{0}` names no operator: only results of operators can be waived, never `runtime` or other behaviour")]
    NotAnOperator(String),
    /// A pattern does not name its operator.
    #[error("`{0}` has a pattern before its first `/`: write the operator out")]
    AnyOperator(String),
    /// A pattern reaches too many cases.
    #[error("`{pattern}` reaches {reach} required cases, at most {MAX_REACH} are allowed: name what fails")]
    TooWide {
        /// The pattern.
        pattern: String,
        /// Required cases that it fits.
        reach: usize,
    },
    /// Nothing has its name.
    #[error("`{0}` fits no case of the run: remove it")]
    NoCase(String),
    /// None of its cases was judged.
    #[error("none of its cases has a result to waive (the first, `{0}`, is {1}): remove it")]
    NothingToWaive(String, crate::Outcome),
    /// Another waiver has the case.
    #[error("`{id}` is waived by waiver {} too: keep one", first + 1)]
    Twice {
        /// The case.
        id: String,
        /// Place of the other waiver in the file, from 0.
        first: usize,
    },
}

impl Waiver {
    /// True if it was written for this device and its versions.
    pub fn is_for(&self, device: &DeviceFacts) -> bool {
        let within = |range: &VersionRange| {
            device.versions.iter().any(|(of, version)| {
                *of == range.of
                    && version::compare(version, &range.from).is_ge()
                    && version::compare(version, &range.to).is_le()
            })
        };
        glob(&self.device, &device.name) && self.versions.iter().all(within)
    }

    /// True if one of its patterns fits.
    pub fn covers(&self, id: &str) -> bool {
        self.cases.iter().any(|pattern| glob(pattern, id))
    }

    /// Everything that is wrong with it, whatever the device.
    fn faults(&self, today: &str, required: &MustPass) -> Vec<Why> {
        let mut faults = Vec::new();
        let mut field = |field, problem: &str| faults.push(Why::Field { field, problem: problem.to_owned() });
        if self.cases.is_empty() {
            field("`cases`", "is empty: name the cases that fail");
        }
        if self.reason.trim().is_empty() {
            field("`reason`", "is empty: say what goes wrong");
        }
        if self.link.trim().is_empty() {
            field("`link`", "is empty: say where the repair is followed");
        }
        if !self.device.chars().any(char::is_alphanumeric) {
            field("`device`", "names no device: write at least part of its name");
        }
        if self.versions.is_empty() {
            field("`versions`", "is empty: say which driver or library versions fail");
        }
        if self.versions.iter().any(|v| version::compare(&v.from, &v.to).is_gt()) {
            field("`versions`", "has a range that ends before it begins");
        }
        if !(self.allowed_share.is_finite() && self.allowed_share >= 1.0) {
            field("`allowed_share`", "must be the measured error over its bound, a number from 1 on");
        }
        match is_date(&self.expires) {
            false => field("`expires`", "is no day as YYYY-MM-DD"),
            true if self.expires.as_str() < today => faults.push(Why::Expired(self.expires.clone())),
            true => {}
        }
        faults.extend(self.cases.iter().filter_map(|pattern| pattern_fault(pattern, required)));
        faults
    }
}

fn pattern_fault(pattern: &str, required: &MustPass) -> Option<Why> {
    let operator = pattern.split_once('/').map_or(pattern, |p| p.0);
    if is_pattern(operator) {
        return Some(Why::AnyOperator(pattern.to_owned()));
    }
    if !OpKind::ALL.iter().any(|k| k.name() == operator) {
        return Some(Why::NotAnOperator(pattern.to_owned()));
    }
    // A profile's list may hold another's: each case counts once.
    let all = required.profiles().flat_map(|p| required.ids(p)).filter(|id| glob(pattern, id));
    let reach = all.collect::<HashSet<_>>().len();
    (reach > MAX_REACH).then(|| Why::TooWide { pattern: pattern.to_owned(), reach })
}

/// Reads a waiver file's text. What its waivers say is checked when they are applied.
pub fn parse(text: &[u8]) -> Result<Vec<Waiver>, ReportError> {
    let bad = |why: String| ReportError::malformed("waivers", why);
    let file: File = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
    if file.schema != SCHEMA {
        return Err(bad(format!("schema {} was found, this kit reads schema {SCHEMA}", file.schema)));
    }
    Ok(file.waivers)
}

/// Reads a waiver file.
pub fn open(path: &Path) -> Result<Vec<Waiver>, ReportError> {
    parse(&crate::report::read_file(path, MAX_FILE)?)
}

/// Waivers as a file's text.
pub fn to_json(waivers: &[Waiver]) -> Result<Vec<u8>, ReportError> {
    let file = File { schema: SCHEMA, waivers: waivers.to_vec() };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|e| ReportError::malformed("waivers", e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {}", self.of, self.from, self.to)
    }
}

#[cfg(test)]
mod tests;
