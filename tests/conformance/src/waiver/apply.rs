//! Applying waivers to results.

use super::{Waiver, WaiverError, Why};
use crate::glob::glob;
use crate::report::{DeviceFacts, MustPass};
use crate::{CaseResult, Check, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What the waivers are applied in.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The day, as `YYYY-MM-DD`.
    pub today: &'a str,
    /// The device.
    pub device: &'a DeviceFacts,
    /// The must-pass lists, by which a pattern's reach is measured.
    pub required: &'a MustPass,
    /// The run left cases out: a waiver without a case is then nothing to complain about.
    pub partial: bool,
}

/// What became of a waiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It waived something.
    Used,
    /// Every case of it passes: it is stale, and the cases are XPASS.
    Stale,
    /// Its cases fail in a way, or by an error, that it does not cover.
    Exceeded,
    /// It was written for another device or version.
    NotForThisDevice,
    /// Its cases did not run.
    NotRun,
}

/// A waiver of a run, and what it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaiverUse {
    /// The waiver.
    pub waiver: Waiver,
    /// What became of it.
    pub status: Status,
    /// Cases that it waived.
    pub waived: Vec<String>,
    /// Largest error over bound among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_share: Option<f64>,
}

/// Applies waivers: failures that they cover become WAIVED, passes under a stale one XPASS. Returns what each did, or everything
/// that is wrong with any, in which case the results are as they were.
pub fn apply(
    waivers: &[Waiver],
    results: &mut [CaseResult],
    context: &Context<'_>,
) -> Result<Vec<WaiverUse>, Vec<WaiverError>> {
    let mut errors = Vec::new();
    let mut owners: HashMap<usize, usize> = HashMap::new();
    let mut plans = Vec::new();
    for (index, waiver) in waivers.iter().enumerate() {
        let mut faults = waiver.faults(context.today, context.required);
        let plan = if waiver.is_for(context.device) { Plan::new(waiver, results) } else { Plan::for_another() };
        if faults.is_empty() && plan.status != Status::NotForThisDevice {
            faults.extend(plan.faults(waiver, results, context.partial));
            for &case in &plan.covered {
                if let Some(first) = owners.insert(case, index) {
                    faults.push(Why::Twice { id: results[case].id.clone(), first });
                    break;
                }
            }
        }
        let name = waiver.cases.first().cloned().unwrap_or_default();
        errors.extend(faults.into_iter().map(|why| WaiverError { index, name: name.clone(), why }));
        plans.push(plan);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(waivers.iter().zip(plans).map(|(waiver, plan)| plan.carry_out(waiver, results)).collect())
}

/// What a waiver will do.
struct Plan {
    status: Status,
    /// Places of the cases that it covers, and of those that it changes.
    covered: Vec<usize>,
    changed: Vec<usize>,
}

impl Plan {
    fn for_another() -> Plan {
        Plan { status: Status::NotForThisDevice, covered: Vec::new(), changed: Vec::new() }
    }

    fn new(waiver: &Waiver, results: &[CaseResult]) -> Plan {
        let covered: Vec<usize> = (0..results.len()).filter(|i| waiver.covers(&results[*i].id)).collect();
        let with = |outcome| covered.iter().copied().filter(|i| results[*i].outcome == outcome).collect::<Vec<_>>();
        let (failed, passed) = (with(Outcome::Fail), with(Outcome::Pass));
        let waivable: Vec<usize> = failed.into_iter().filter(|i| is_covered_error(waiver, &results[*i])).collect();
        let other_failure = covered.iter().any(|i| {
            matches!(results[*i].outcome, Outcome::Fail | Outcome::Crash | Outcome::Timeout | Outcome::Undeclared)
        });
        let (status, changed) = match () {
            () if !waivable.is_empty() => (Status::Used, waivable),
            () if other_failure => (Status::Exceeded, Vec::new()),
            () if !passed.is_empty() => (Status::Stale, passed),
            () => (Status::NotRun, Vec::new()),
        };
        Plan { status, covered, changed }
    }

    /// What is wrong with it, given the results.
    fn faults(&self, waiver: &Waiver, results: &[CaseResult], partial: bool) -> Vec<Why> {
        if partial {
            return Vec::new();
        }
        let matches = |pattern: &&String| self.covered.iter().any(|i| glob(pattern, &results[*i].id));
        let unmatched = waiver.cases.iter().filter(|pattern| !matches(pattern));
        let mut faults: Vec<Why> = unmatched.map(|pattern| Why::NoCase(pattern.clone())).collect();
        let first = self.covered.first().map(|i| &results[*i]);
        if let (Status::NotRun, Some(first)) = (self.status, first) {
            let ran = |i: &usize| results[*i].outcome != Outcome::NotRun;
            if self.covered.iter().any(ran) {
                faults.push(Why::NothingToWaive(first.id.clone(), first.outcome));
            }
        }
        faults
    }

    fn carry_out(self, waiver: &Waiver, results: &mut [CaseResult]) -> WaiverUse {
        let mut used = WaiverUse { waiver: waiver.clone(), status: self.status, waived: Vec::new(), worst_share: None };
        for index in self.changed {
            let case = &mut results[index];
            if self.status == Status::Used {
                case.outcome = Outcome::Waived;
                used.waived.push(case.id.clone());
                used.worst_share = used.worst_share.into_iter().chain(case.worst_share()).reduce(f64::max);
            } else {
                case.outcome = Outcome::Xpass;
                case.message = Some(format!("passes, although a waiver says that it fails: {}", waiver.reason));
            }
        }
        used
    }
}

/// True if all that was found in a case are errors of results, measured, and no larger than the waiver allows.
fn is_covered_error(waiver: &Waiver, case: &CaseResult) -> bool {
    let measured = |finding: &crate::Finding| match finding.check {
        // Without a share the bound is 0: nothing says how wrong the result is.
        Check::Bound => finding.share.is_some(),
        Check::Bias | Check::Set => true,
        _ => false,
    };
    let within = case.worst_share().is_none_or(|share| share <= waiver.allowed_share);
    !case.findings.is_empty() && case.findings.iter().all(measured) && within
}
