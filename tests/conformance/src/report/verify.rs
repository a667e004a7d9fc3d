//! Checking a bundle without the device: whether its outputs, judged again, give what its report claims.

use super::bundle::Bundle;
use super::verdict::{ProfileVerdict, count};
use super::{Counts, MustPass, Report, Verdict, make_finite, short, statement};
use crate::outcome::OutputRecord;
use crate::waiver::{self, Context};
use crate::{CaseResult, Check, Finding, Outcome};
use omnihal::op::OpKind;
use std::fmt;

pub use super::bundle::open;

/// What judging a case's kept outputs again came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejudged {
    /// The judge was asked again.
    Judged {
        /// What does not hold in these outputs.
        findings: Vec<Finding>,
        /// The outputs, as the judge measures them.
        records: Vec<OutputRecord>,
    },
    /// The case has no outputs that could be judged without the device: why.
    NeedsDevice(String),
}

/// Judges a case's kept outputs again: draws its inputs from name and salt, computes the results, compares. Gets the case as
/// reported, and the bytes of its kept outputs by argument. Fails if the case is none that the kit has, or if its outputs are not those
/// that the case has: other names, types or shapes, or none at all.
pub type Rejudge<'a> = dyn Fn(&CaseResult, &[(String, Vec<u8>)]) -> Result<Rejudged, String> + 'a;

/// What checking a bundle came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Everything in which the report differs from what follows from the bundle.
    pub differences: Vec<String>,
    /// Cases whose outcome follows from their outputs alone.
    pub judged: u64,
    /// Cases of which a part was judged again, and a part (an output too large to be kept) is taken from the report.
    pub in_part: u64,
    /// Cases that are taken from the report.
    pub taken: u64,
    /// Cases of each outcome, recomputed.
    pub counts: Counts,
    /// Verdicts, recomputed.
    pub verdicts: Vec<ProfileVerdict>,
    /// The bundle brought a statement, and it may.
    pub stated: bool,
    /// SHA-256 of the bundle's contents.
    pub contents: String,
}

impl Verified {
    /// True if the report claims nothing that does not follow.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Largest relative difference of a worst share that is only the printing and reading of numbers.
const PRINTED: f64 = 1e-9;

/// Judges a bundle's outputs again and compares everything with its report. `official` are the must-pass lists of the verifier's own kit.
pub fn verdict(bundle: &Bundle, official: &MustPass, rejudge: &Rejudge<'_>) -> Verified {
    let claimed = &bundle.report;
    let mut check = Checker { differences: Vec::new(), judged: 0, in_part: 0, taken: 0 };
    check.lists(bundle, official);
    let mut again = claimed.clone();
    let Report { results, soak, fault, .. } = &mut again;
    results.iter_mut().chain(soak.iter_mut()).chain(fault.iter_mut()).for_each(|case| check.case(case, rejudge));
    check.waivers(bundle, &mut again);
    for (was, is) in claimed.cases().zip(again.cases()).filter(|(was, is)| was.outcome != is.outcome) {
        let why = is.message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default();
        check.note(format!("case `{}`: the report says {}, its outputs give {}{why}", was.id, was.outcome, is.outcome));
    }
    again.conclude(&bundle.lists);
    check.verdicts(claimed, &again);
    let stated = check.statement(bundle, &again);
    Verified {
        differences: check.differences,
        judged: check.judged,
        in_part: check.in_part,
        taken: check.taken,
        counts: count(again.cases()),
        verdicts: again.verdicts,
        stated,
        contents: bundle.contents.clone(),
    }
}

struct Checker {
    differences: Vec<String>,
    judged: u64,
    in_part: u64,
    taken: u64,
}

impl Checker {
    fn note(&mut self, difference: String) {
        self.differences.push(difference);
    }

    fn lists(&mut self, bundle: &Bundle, official: &MustPass) {
        let named = &bundle.report.must_pass;
        if named.sha256 != bundle.lists.sha256() || named.version != bundle.lists.version {
            self.note("the must-pass lists of the bundle are not those that the report names".to_owned());
        }
        if official.version != bundle.lists.version {
            let (theirs, ours) = (&bundle.lists.version, &official.version);
            self.note(format!("the must-pass lists have version {theirs}, this kit has version {ours}: verify with the kit that has them"));
        } else if *official != bundle.lists {
            self.note(format!(
                "the must-pass lists call themselves version {} and differ from this kit's",
                official.version
            ));
        }
    }

    /// Replaces a case's outcome by what its outputs give; waivers come later.
    fn case(&mut self, case: &mut CaseResult, rejudge: &Rejudge<'_>) {
        if !matches!(case.outcome, Outcome::Pass | Outcome::Fail | Outcome::Waived | Outcome::Xpass) {
            self.taken += 1;
            return;
        }
        let kept: Vec<(String, Vec<u8>)> =
            case.outputs.iter().filter_map(|o| Some((o.arg.clone(), o.bytes.clone()?))).collect();
        // As it was before waivers.
        case.outcome = match case.outcome {
            Outcome::Waived => Outcome::Fail,
            Outcome::Xpass => Outcome::Pass,
            other => other,
        };
        if case.outputs.is_empty() && case.outcome == Outcome::Pass && names_operator(&case.id) {
            self.note(format!("case `{}` passes without any output, an operator has at least one", case.id));
        }
        match rejudge(case, &kept) {
            Ok(Rejudged::Judged { findings, records }) if !(findings.is_empty() && records.is_empty()) => {
                self.judged_case(case, findings, &records);
            }
            Ok(_) => self.taken += 1,
            Err(why) => {
                self.taken += 1;
                self.note(format!("case `{}` cannot be judged again: {why}", case.id));
            }
        }
    }

    /// The outcome that follows from what the judge finds now, and from what only the device could show.
    fn judged_case(&mut self, case: &mut CaseResult, mut findings: Vec<Finding>, records: &[OutputRecord]) {
        let has = |arg: &str| records.iter().any(|r| r.arg == arg);
        let whole = case.outputs.iter().all(|o| has(&o.arg));
        *(if whole { &mut self.judged } else { &mut self.in_part }) += 1;
        self.records(case, records);
        let reported = std::mem::take(&mut case.findings);
        if reported.is_empty() && case.outcome == Outcome::Fail {
            // It failed before there were results, as its message says.
            return;
        }
        let decided = |f: &Finding| follows_from_outputs(f.check) && f.arg.as_deref().is_some_and(has);
        findings.extend(reported.into_iter().filter(|f| !decided(f)));
        let judged = CaseResult { outcome: Outcome::Pass, message: None, ..case.clone() };
        *case = judged.with_findings(findings);
        make_finite(case);
    }

    /// Compares what the judge measures now with what the report says, and keeps the former.
    fn records(&mut self, case: &mut CaseResult, records: &[OutputRecord]) {
        let id = case.id.clone();
        for record in records {
            let Some(output) = case.outputs.iter_mut().find(|o| o.arg == record.arg) else {
                self.note(format!("case `{id}`: the report has no output `{}`", record.arg));
                continue;
            };
            let share = |o: &OutputRecord| o.worst.as_ref().map_or(0.0, |w| w.share.clamp(0.0, super::INFINITE));
            let (was, is) = (share(output), share(record));
            if (was - is).abs() > PRINTED * was.max(is) {
                let (was, is) = (short(was), short(is));
                self.note(format!(
                    "case `{id}`: the report has `{}` at {was} of its bound at worst, its bytes give {is}",
                    record.arg
                ));
            }
            output.worst = record.worst.clone();
        }
    }

    fn waivers(&mut self, bundle: &Bundle, again: &mut Report) {
        let Report { results, device, started, selection, .. } = again;
        let today = started.get(..10).unwrap_or_default();
        let context = Context { today, device, required: &bundle.lists, partial: selection.is_partial() };
        match waiver::apply(&bundle.waivers, results, &context) {
            Ok(uses) => {
                if uses != bundle.report.waivers {
                    self.note("the waivers, applied again, do other than the report says".to_owned());
                }
                again.waivers = uses;
            }
            Err(errors) => errors.into_iter().for_each(|e| self.note(e.to_string())),
        }
    }

    fn verdicts(&mut self, claimed: &Report, again: &Report) {
        for outcome in Outcome::ALL.into_iter().filter(|o| claimed.count(*o) != again.count(*o)) {
            let (was, is) = (claimed.count(outcome), again.count(outcome));
            self.note(format!("the report counts {was} cases {outcome}, {is} follow"));
        }
        for verdict in &again.verdicts {
            let profile = verdict.profile;
            match claimed.verdict(profile) {
                None => self.note(format!("the report has no verdict on profile {profile}, it is {}", verdict.verdict)),
                Some(was) if was.verdict.name() != verdict.verdict.name() => {
                    self.note(format!("the report calls profile {profile} {}, it is {}", was.verdict, verdict.verdict));
                }
                Some(was) if was != verdict => {
                    self.note(format!("the report gives other numbers or reasons for profile {profile} than follow"));
                }
                Some(_) => {}
            }
        }
        if claimed.verdicts.len() != again.verdicts.len() {
            self.note(format!("the report has {} verdicts, {} follow", claimed.verdicts.len(), again.verdicts.len()));
        }
    }

    fn statement(&mut self, bundle: &Bundle, again: &Report) -> bool {
        let Some(text) = &bundle.statement else { return false };
        match statement::text(again, &bundle.contents) {
            Err(obstacles) => {
                self.note(format!("there is a statement, and there may be none: {}", obstacles.join(", ")))
            }
            // Another version of the kit may choose other words; it must still name these contents.
            Ok(own) if own != *text && again.kit.version == env!("CARGO_PKG_VERSION") => {
                self.note("the statement is not the one that follows from the report".to_owned());
            }
            Ok(_) if !text.contains(&bundle.contents) => {
                self.note("the statement does not name the contents of this bundle".to_owned());
            }
            Ok(_) => return true,
        }
        false
    }
}

/// True for the name of a case of an operator of the catalogue.
fn names_operator(id: &str) -> bool {
    let operator = id.split('/').next().unwrap_or(id);
    OpKind::ALL.iter().any(|k| k.name() == operator)
}

/// Checks that the kept elements of an output decide; all others need the device.
const fn follows_from_outputs(check: Check) -> bool {
    matches!(check, Check::Bound | Check::Exact | Check::Set | Check::Bias | Check::NonFinite)
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "contents   sha256 {}", self.contents)?;
        writeln!(f, "integrity  every file is as the manifest says, every kept output as the report says")?;
        let Verified { judged, in_part, taken, .. } = self;
        writeln!(f, "cases      {judged} judged again, {in_part} judged again in part, {taken} taken from the report")?;
        for v in &self.verdicts {
            writeln!(f, "profile    {}: {}", v.profile, v.verdict)?;
            for reason in v.verdict.reasons() {
                writeln!(f, "           {reason}")?;
            }
        }
        match self.differences.len() {
            0 => writeln!(f, "result     the report claims what follows from its outputs")?,
            n => writeln!(f, "result     {n} DIFFERENCES between the report and what follows from the bundle")?,
        }
        for difference in &self.differences {
            writeln!(f, "           - {difference}")?;
        }
        let conformant = self.verdicts.iter().any(|v| v.verdict == Verdict::Conformant);
        if !self.stated && conformant && self.holds() {
            writeln!(f, "           the bundle brings no statement")?;
        }
        f.write_str(LIMITS)
    }
}

/// What verifying proves, and what it cannot.
const LIMITS: &str = "
This proves that the bundle is whole (integrity), and, where no difference is named,
that the kept outputs are outputs which the judge accepts for exactly these cases.
It does not prove on which machine they were made: integrity can be verified, origin
cannot. Checks that need the device (bytes beside the tensors, repeated runs, captured
graphs, second streams, behaviour, large outputs, crashes and time limits) are taken
from the report. report.html and junit.xml were not looked at: make them anew from
report.json.
";
