//! Reports: what a run found, for machines, for build servers and for people, and what follows from it.
//!
//! Everything in a report's verdicts follows from its cases and the must-pass lists ([`Report::conclude`]), so that whoever has
//! both can check it ([`verify`]). Speed is reported and never judged.

pub mod bundle;
pub mod diff;
mod error;
mod facts;
pub mod html;
mod json;
pub mod junit;
mod must_pass;
mod publish;
pub mod statement;
pub mod verdict;
pub mod verify;

#[cfg(test)]
mod tests;

pub use diff::diff;
pub use error::ReportError;
pub use facts::{CapsFacts, DeviceFacts, Kit, PerfRow, PluginFacts, Selection};
pub(crate) use json::read_file;
pub use must_pass::{MAX_CASES, MAX_ID, MustPass};
pub use publish::{BUNDLE, Published, publish};
pub use verdict::{Counts, ProfileVerdict, Verdict};

use crate::waiver::WaiverUse;
use crate::{CaseResult, Outcome, Profile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the format of `report.json`.
pub const SCHEMA: u32 = 1;

/// Stands for infinity in a report: JSON has no infinite numbers.
pub const INFINITE: f64 = 1e300;

/// A run and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The kit.
    pub kit: Kit,
    /// The command that ran a case of this device again, if ` --replay 'ID' --salt N` is added to it.
    pub command: String,
    /// When it began (RFC 3339).
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// What was asked to run.
    pub selection: Selection,
    /// The lists that it is measured against.
    pub must_pass: ListFacts,
    /// The device.
    pub device: DeviceFacts,
    /// The host, in the caller's words.
    pub host: BTreeMap<String, String>,
    /// Every case of the profiles that judge results, in case order.
    pub results: Vec<CaseResult>,
    /// Many steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soak: Vec<CaseResult>,
    /// Errors in the middle of work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<CaseResult>,
    /// Speed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub perf: Vec<PerfRow>,
    /// What the waivers did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverUse>,
    /// Cases of each outcome; speed is not counted.
    pub counts: Counts,
    /// What follows for each profile.
    pub verdicts: Vec<ProfileVerdict>,
}

/// The must-pass lists, named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFacts {
    /// Their version.
    pub version: String,
    /// [`MustPass::sha256`].
    pub sha256: String,
}

impl Report {
    /// A report without a case.
    pub fn new(kit: Kit, command: &str, started: &str, selection: Selection, device: DeviceFacts) -> Report {
        Report {
            schema: SCHEMA,
            kit,
            command: command.to_owned(),
            started: started.to_owned(),
            seconds: 0.0,
            selection,
            must_pass: ListFacts::default(),
            device,
            host: BTreeMap::new(),
            results: Vec::new(),
            soak: Vec::new(),
            fault: Vec::new(),
            perf: Vec::new(),
            waivers: Vec::new(),
            counts: Counts::new(),
            verdicts: Vec::new(),
        }
    }

    /// Counts the cases and draws the verdicts. To be called when all results are in and waivers were applied.
    pub fn conclude(&mut self, lists: &MustPass) {
        for case in self.results.iter_mut().chain(&mut self.soak).chain(&mut self.fault) {
            make_finite(case);
        }
        self.must_pass = ListFacts { version: lists.version.clone(), sha256: lists.sha256() };
        self.counts = verdict::count(self.cases());
        self.verdicts = verdict::verdicts(self, lists);
    }

    /// Every case that is judged: results, then soak, then fault.
    pub fn cases(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().chain(&self.soak).chain(&self.fault)
    }

    /// Cases of an outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    /// The day on which it began, as `YYYY-MM-DD`.
    pub fn day(&self) -> &str {
        self.started.get(..10).unwrap_or(&self.started)
    }

    /// The command that runs one case again.
    pub fn replay(&self, id: &str) -> String {
        // A quote inside single quotes ends them, is written escaped, and begins them anew.
        format!("{} --replay '{}' --salt {}", self.command, id.replace('\'', r"'\''"), self.selection.salt)
    }

    /// 0 if the run is conformant, or was cut down and found nothing; 1 otherwise, and also if no case ran at all.
    pub fn exit_code(&self) -> i32 {
        let bad = self.counts.iter().any(|(outcome, n)| verdict::is_bad(*outcome) && *n > 0);
        let against = self.verdicts.iter().any(|v| matches!(v.verdict, Verdict::NotConformant(_)));
        let left_out = !self.selection.is_partial() && self.verdicts.iter().any(|v| v.not_run > 0);
        let ran = self.cases().any(|c| c.outcome != Outcome::NotRun) || !self.perf.is_empty();
        i32::from(bad || against || left_out || !ran)
    }

    /// The verdict on a profile, if it was asked for.
    pub fn verdict(&self, profile: Profile) -> Option<&ProfileVerdict> {
        self.verdicts.iter().find(|v| v.profile == profile)
    }
}

/// Replaces what JSON cannot hold.
pub(crate) fn make_finite(case: &mut CaseResult) {
    let finite = |x: &mut f64| {
        if !x.is_finite() {
            *x = if *x == f64::NEG_INFINITY { -INFINITE } else { INFINITE };
        }
    };
    finite(&mut case.millis);
    case.findings.iter_mut().filter_map(|f| f.share.as_mut()).for_each(finite);
    for worst in case.outputs.iter_mut().filter_map(|o| o.worst.as_mut()) {
        [&mut worst.found, &mut worst.expected, &mut worst.bound, &mut worst.share].into_iter().for_each(finite);
    }
}

/// A digest in hexadecimal.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// A number for people, short.
pub(crate) fn short(x: f64) -> String {
    match x.abs() {
        _ if x.abs() >= INFINITE => if x < 0.0 { "-inf" } else { "inf" }.to_owned(),
        0.0 => "0".to_owned(),
        a if (0.095..99.95).contains(&a) => format!("{x:.2}"),
        a if (99.95..1e5).contains(&a) => format!("{x:.0}"),
        _ => format!("{x:.1e}"),
    }
}
