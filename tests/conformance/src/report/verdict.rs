//! Counts, and what follows for each profile.

use super::{MustPass, Report};
use crate::{CaseResult, Outcome, Profile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Cases of each outcome.
pub type Counts = BTreeMap<Outcome, u64>;

/// What a run says about a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reasons", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every required case ran and stands as it must.
    Conformant,
    /// Required cases do not stand as they must: which.
    NotConformant(Vec<String>),
    /// Nothing was found, but not all was looked at, or not on a device: why.
    Incomplete(Vec<String>),
}

impl Verdict {
    /// In capitals, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Conformant => "CONFORMANT",
            Verdict::NotConformant(_) => "NOT CONFORMANT",
            Verdict::Incomplete(_) => "INCOMPLETE",
        }
    }

    /// Why it is not conformant.
    pub fn reasons(&self) -> &[String] {
        match self {
            Verdict::Conformant => &[],
            Verdict::NotConformant(reasons) | Verdict::Incomplete(reasons) => reasons,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A profile, measured against its must-pass list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileVerdict {
    /// The profile.
    pub profile: Profile,
    /// Cases that it requires.
    pub required: u64,
    /// Those of them that pass.
    pub passed: u64,
    /// Those that fail as a waiver says.
    pub waived: u64,
    /// Those that did not run.
    pub not_run: u64,
    /// What follows.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Cases of each outcome, the outcomes without a case included.
pub fn count<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Counts {
    let mut counts: Counts = Outcome::ALL.iter().map(|o| (*o, 0)).collect();
    for case in cases {
        *counts.entry(case.outcome).or_default() += 1;
    }
    counts
}

/// True for an outcome that something is wrong with, whether or not a profile requires the case.
pub const fn is_bad(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Fail | Outcome::Crash | Outcome::Timeout | Outcome::Undeclared | Outcome::Xpass)
}

/// The verdict of each profile that was asked for; speed has none.
pub(super) fn verdicts(report: &Report, lists: &MustPass) -> Vec<ProfileVerdict> {
    let outcomes: HashMap<&str, Outcome> = report.cases().map(|c| (c.id.as_str(), c.outcome)).collect();
    let judged = report.selection.profiles.iter().filter(|p| **p != Profile::Perf);
    judged.map(|profile| verdict(report, *profile, lists.ids(*profile), &outcomes)).collect()
}

fn verdict(report: &Report, profile: Profile, ids: &[String], outcomes: &HashMap<&str, Outcome>) -> ProfileVerdict {
    let mut found: BTreeMap<Outcome, (u64, &str)> = BTreeMap::new();
    for id in ids {
        let outcome = outcomes.get(id.as_str()).copied().unwrap_or(Outcome::NotRun);
        found.entry(outcome).or_insert((0, id)).0 += 1;
    }
    let number = |outcome| found.get(&outcome).map_or(0, |f| f.0);
    let not_run = number(Outcome::NotRun);
    let against = found.iter().filter(|(o, _)| !o.conforms() && **o != Outcome::NotRun);
    let mut against: Vec<String> =
        against.map(|(o, (n, first))| format!("{n} of {} required cases: {o}, first `{first}`", ids.len())).collect();
    let mut open = report.selection.cuts();
    if report.device.stand_in {
        open.push("the device is a stand-in: nothing is said about hardware".to_owned());
    }
    if ids.is_empty() {
        open.push(format!("there is no must-pass list for profile {profile}"));
    } else if not_run > 0 {
        let first = found.get(&Outcome::NotRun).map_or("", |f| f.1);
        open.push(format!("{not_run} of {} required cases did not run, first `{first}`", ids.len()));
    }
    let verdict = match (against.is_empty(), open.is_empty()) {
        (true, true) => Verdict::Conformant,
        (true, false) => Verdict::Incomplete(open),
        (false, _) => {
            against.append(&mut open);
            Verdict::NotConformant(against)
        }
    };
    let (passed, waived) = (number(Outcome::Pass), number(Outcome::Waived));
    ProfileVerdict { profile, required: ids.len() as u64, passed, waived, not_run, verdict }
}
