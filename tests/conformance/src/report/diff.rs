//! What changed between two runs.

use super::verdict::is_bad;
use super::{Report, short};
use crate::{CaseResult, Outcome};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;

/// A worst share counts as changed beyond this factor, either way.
const FACTOR: f64 = 2.0;

/// What changed between two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// When they began.
    pub started: [String; 2],
    /// Facts of kit, device and run that differ.
    pub facts: Vec<FactChange>,
    /// Cases that were in order and are not any more.
    pub new_failures: Vec<OutcomeChange>,
    /// Cases that were not in order and now pass, or fail as waived.
    pub fixed: Vec<OutcomeChange>,
    /// Other changes of outcome.
    pub outcomes: Vec<OutcomeChange>,
    /// Cases of one outcome in both whose worst share of the bound changed beyond a factor of 2, largest first.
    pub shares: Vec<ShareChange>,
    /// Cases that only the first run has, with their outcomes.
    pub only_before: Vec<(String, Outcome)>,
    /// Cases that only the second run has.
    pub only_after: Vec<(String, Outcome)>,
}

/// A fact that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// Which.
    pub what: String,
    /// In the first run.
    pub before: String,
    /// In the second.
    pub after: String,
}

/// A case whose outcome changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeChange {
    /// The case.
    pub id: String,
    /// In the first run.
    pub before: Outcome,
    /// In the second.
    pub after: Outcome,
    /// What the second run says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A case whose worst share changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShareChange {
    /// The case.
    pub id: String,
    /// Worst error over bound in the first run.
    pub before: f64,
    /// In the second.
    pub after: f64,
}

/// Compares two runs.
pub fn diff(before: &Report, after: &Report) -> Diff {
    let mut diff = Diff { started: [before.started.clone(), after.started.clone()], ..Diff::default() };
    diff.facts = facts(before).into_iter().zip(facts(after)).filter(|(b, a)| b.1 != a.1).map(fact_change).collect();
    let old: HashMap<&str, &CaseResult> = before.cases().map(|c| (c.id.as_str(), c)).collect();
    let new: HashMap<&str, &CaseResult> = after.cases().map(|c| (c.id.as_str(), c)).collect();
    let alone = |c: &&CaseResult, other: &HashMap<&str, &CaseResult>| !other.contains_key(c.id.as_str());
    diff.only_before = before.cases().filter(|c| alone(c, &new)).map(|c| (c.id.clone(), c.outcome)).collect();
    diff.only_after = after.cases().filter(|c| alone(c, &old)).map(|c| (c.id.clone(), c.outcome)).collect();
    for case in after.cases() {
        if let Some(was) = old.get(case.id.as_str()) {
            diff.compare(was, case);
        }
    }
    diff.shares.sort_by(|a, b| b.after.max(b.before).total_cmp(&a.after.max(a.before)));
    diff
}

/// What of a report tells its run from another, in one order for all.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let device = &report.device;
    let versions: Vec<String> = device.versions.iter().map(|(n, v)| format!("{n} {v}")).collect();
    let profiles: Vec<&str> = report.selection.profiles.iter().map(|p| p.name()).collect();
    let cuts = report.selection.cuts();
    vec![
        ("kit", format!("{} ({})", report.kit.version, report.kit.commit)),
        ("must-pass lists", format!("version {} ({})", report.must_pass.version, report.must_pass.sha256)),
        ("profiles", profiles.join(", ")),
        ("selection", if cuts.is_empty() { "every case".to_owned() } else { cuts.join(", ") }),
        ("salt", report.selection.salt.to_string()),
        ("device", device.title()),
        ("memory", device.memory.map_or("unknown".to_owned(), |m| m.to_string())),
        ("versions", versions.join(", ")),
        ("plug-in", device.plugin.as_ref().map_or("none".to_owned(), |p| format!("{} ({})", p.path, p.sha256))),
        ("interface", device.abi.clone().unwrap_or_else(|| "none".to_owned())),
        ("operators", device.caps.ops.join(" ")),
        ("activations", device.caps.activations.join(" ")),
    ]
}

fn fact_change((before, after): ((&'static str, String), (&'static str, String))) -> FactChange {
    FactChange { what: before.0.to_owned(), before: before.1, after: after.1 }
}

impl Diff {
    fn compare(&mut self, was: &CaseResult, is: &CaseResult) {
        if was.outcome != is.outcome {
            let (id, before, after) = (is.id.clone(), was.outcome, is.outcome);
            let change = OutcomeChange { id, before, after, message: is.message.clone() };
            match (is_bad(before), is_bad(after)) {
                (false, true) => self.new_failures.push(change),
                (true, false) if after.conforms() => self.fixed.push(change),
                _ => self.outcomes.push(change),
            }
        } else if let (Some(before), Some(after)) = (was.worst_share(), is.worst_share())
            && (before > FACTOR * after || after > FACTOR * before)
        {
            self.shares.push(ShareChange { id: is.id.clone(), before, after });
        }
    }

    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Diff { started: self.started.clone(), ..Diff::default() }
    }
}

/// Most lines of a part that are printed: the JSON has them all.
const SHOWN: usize = 50;

fn part<T>(f: &mut fmt::Formatter<'_>, title: &str, items: &[T], line: impl Fn(&T) -> String) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}: {}", items.len())?;
    for item in items.iter().take(SHOWN) {
        writeln!(f, "  {}", line(item))?;
    }
    if items.len() > SHOWN {
        writeln!(f, "  and {} more", items.len() - SHOWN)?;
    }
    Ok(())
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from {} to {}", self.started[0], self.started[1])?;
        if self.is_empty() {
            return writeln!(f, "no difference");
        }
        let change = |c: &OutcomeChange| {
            let why = c.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
            format!("{} -> {}  {}{why}", c.before, c.after, c.id)
        };
        let alone = |(id, outcome): &(String, Outcome)| format!("{outcome}  {id}");
        part(f, "facts that differ", &self.facts, |c| format!("{}: {} -> {}", c.what, c.before, c.after))?;
        part(f, "new failures", &self.new_failures, change)?;
        part(f, "fixed", &self.fixed, change)?;
        part(f, "other changes of outcome", &self.outcomes, change)?;
        part(f, "worst share of the bound changed", &self.shares, |c| {
            format!("{} -> {}  {}", short(c.before), short(c.after), c.id)
        })?;
        part(f, "cases only before", &self.only_before, alone)?;
        part(f, "cases only after", &self.only_after, alone)
    }
}
