//! `report.json`: written for machines, read from anyone.

use super::must_pass::check_id;
use super::{MAX_CASES, Report, ReportError, SCHEMA, verdict};
use crate::waiver::is_date;
use crate::{CaseResult, Outcome};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest `report.json` that is read: ten thousand cases take about 10 MB.
pub const MAX_REPORT: u64 = 128 << 20;
/// Longest text of a report, names of cases aside.
const MAX_TEXT: usize = 64 << 10;

const WHAT: &str = "report.json";

/// Only the part of a report by which one knows how to read the rest.
#[derive(Deserialize)]
struct Head {
    schema: u64,
}

impl Report {
    /// The report as JSON. Fails where it could not be read back.
    pub fn to_json(&self) -> Result<Vec<u8>, ReportError> {
        self.check()?;
        let mut bytes = serde_json::to_vec(self).map_err(|e| ReportError::malformed(WHAT, e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a report that may come from anyone.
    pub fn from_json(bytes: &[u8]) -> Result<Report, ReportError> {
        too_large(WHAT, bytes.len() as u64, MAX_REPORT)?;
        let malformed = |e: serde_json::Error| ReportError::malformed(WHAT, e.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.schema != u64::from(SCHEMA) {
            return Err(ReportError::Schema { found: head.schema });
        }
        let report: Report = serde_json::from_slice(bytes).map_err(malformed)?;
        report.check()?;
        Ok(report)
    }

    /// Reads a report's file.
    pub fn open(path: &Path) -> Result<Report, ReportError> {
        Report::from_json(&read_file(path, MAX_REPORT)?)
    }

    /// What must hold in every report, whoever wrote it. Verdicts are checked where the must-pass lists are at hand.
    fn check(&self) -> Result<(), ReportError> {
        let bad = |why: String| ReportError::malformed(WHAT, why);
        if !is_date(self.day()) {
            return Err(bad(format!("`started` is `{}`, a time of RFC 3339 is expected", self.day())));
        }
        if self.cases().count() > MAX_CASES || self.perf.len() > MAX_CASES {
            return Err(bad(format!("it has more than {MAX_CASES} cases")));
        }
        let mut ids = HashSet::new();
        for case in self.cases() {
            check_case(case).map_err(bad)?;
            if !ids.insert(case.id.as_str()) {
                return Err(bad(format!("case `{}` stands there twice", case.id)));
            }
        }
        let counts = verdict::count(self.cases());
        match Outcome::ALL.into_iter().find(|o| counts.get(o) != self.counts.get(o)) {
            Some(o) => {
                let counted = counts.get(&o).copied().unwrap_or(0);
                Err(bad(format!("it counts {} cases {o}, {counted} are there", self.count(o))))
            }
            None => Ok(()),
        }
    }
}

fn check_case(case: &CaseResult) -> Result<(), String> {
    check_id(&case.id)?;
    let texts = [Some(&case.op), Some(&case.types), case.message.as_ref()].into_iter().flatten();
    if let Some(text) = texts.chain(case.findings.iter().map(|f| &f.text)).find(|t| t.len() > MAX_TEXT) {
        return Err(format!("case `{}` has a text of {} bytes, at most {MAX_TEXT} are read", case.id, text.len()));
    }
    let worst = case.outputs.iter().filter_map(|o| o.worst.as_ref());
    let numbers = worst.flat_map(|w| [w.found, w.expected, w.bound, w.share]);
    let numbers = numbers.chain(case.findings.iter().filter_map(|f| f.share)).chain([case.millis]);
    match numbers.into_iter().find(|x| !x.is_finite()) {
        Some(x) => Err(format!("case `{}` has the number {x}, only finite numbers can be written", case.id)),
        None => Ok(()),
    }
}

/// Refuses a size above a limit.
pub(super) fn too_large(what: &str, found: u64, limit: u64) -> Result<(), ReportError> {
    if found > limit { Err(ReportError::TooLarge { what: what.to_owned(), found, limit }) } else { Ok(()) }
}

/// A whole file, its size checked before and while it is read.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, ReportError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(ReportError::io(path))?;
    let size = file.metadata().map_err(ReportError::io(path))?.len();
    too_large(&name, size, limit)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(ReportError::io(path))?;
    too_large(&name, bytes.len() as u64, limit)?;
    Ok(bytes)
}
