use super::sample::{case, full, full_with, lists, output, waived, waiver};
use crate::outcome::OutputRecord;
use crate::report::bundle::{self, Bundle};
use crate::report::verify::{Rejudged, Verified, verdict};
use crate::report::{MustPass, Report, statement};
use crate::waiver::Waiver;
use crate::{CaseResult, Check, Finding, Outcome, Profile};

/// A judge for the samples: the first number of an output is its share of the bound.
fn judge(case: &CaseResult, outputs: &[(String, Vec<u8>)]) -> Result<Rejudged, String> {
    if case.id.starts_with("runtime/") {
        return Ok(Rejudged::NeedsDevice("no outputs".into()));
    }
    if case.outputs.is_empty() {
        return Err("the case has an output `y`".into());
    }
    let mut findings = Vec::new();
    let mut records: Vec<OutputRecord> = Vec::new();
    for (arg, bytes) in outputs {
        let share = f32::from_le_bytes(bytes[..4].try_into().unwrap());
        if share > 1.0 {
            findings.push(super::sample::finding(share));
        }
        records.push(output(arg, share));
    }
    Ok(Rejudged::Judged { findings, records })
}

/// The bundle of a report, packed and opened again.
fn opened(report: &Report, lists: &MustPass, waivers: &[Waiver]) -> Bundle {
    let (bytes, _) = bundle::to_bytes(report, lists, waivers, "<!doctype html>").unwrap();
    bundle::read(&bytes).unwrap()
}

fn verified(report: &Report) -> Verified {
    verdict(&opened(report, &lists(), &[]), &lists(), &judge)
}

fn one_difference(found: &Verified, part: &str) {
    assert!(found.differences.iter().any(|d| d.contains(part)), "{part}: {:#?}", found.differences);
    assert!(!found.holds() && found.to_string().contains("DIFFERENCES"));
}

#[test]
fn an_honest_bundle_holds_and_says_what_that_proves() {
    let found = verified(&full());
    assert!(found.holds() && found.stated, "{found}");
    assert_eq!((found.judged, found.in_part, found.taken), (3, 0, 2));
    let text = found.to_string();
    for part in ["core: CONFORMANT", "claims what follows", "origin\ncannot", "taken\nfrom the report"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn an_honest_report_of_failures_holds_too() {
    let found = verified(&full_with([case("gemm.linear/b", 4.0)]));
    assert!(found.holds() && !found.stated, "{found}");
}

#[test]
fn a_waiver_is_applied_again() {
    let report = waived();
    let found = verdict(&opened(&report, &lists(), &[waiver()]), &lists(), &judge);
    assert!(found.holds() && found.stated, "{found}");
    // The same claim without the waiver, or with one that allows less than was measured.
    one_difference(&verdict(&opened(&report, &lists(), &[]), &lists(), &judge), "WAIVED, its outputs give FAIL");
    let tight = Waiver { allowed_share: 1.5, ..waiver() };
    one_difference(&verdict(&opened(&report, &lists(), &[tight]), &lists(), &judge), "WAIVED, its outputs give FAIL");
}

#[test]
fn a_waived_case_that_cannot_be_judged_again_needs_its_waiver_all_the_same() {
    let mut large = case("gemm.linear/b", 2.0);
    large.outputs = vec![OutputRecord { shape: vec![1 << 20], bytes: None, ..output("y", 2.0) }];
    let mut report = full_with([CaseResult { outcome: Outcome::Waived, ..large }]);
    one_difference(&verified(&report), "WAIVED, its outputs give FAIL");
    report.waivers = waived().waivers;
    let found = verdict(&opened(&report, &lists(), &[waiver()]), &lists(), &judge);
    assert!(found.holds(), "{found}");
}

#[test]
fn a_pass_over_bad_outputs_is_found_out() {
    let mut lie = case("gemm.linear/b", 4.0);
    lie.outcome = Outcome::Pass;
    lie.findings.clear();
    let found = verified(&full_with([lie]));
    one_difference(&found, "`gemm.linear/b`: the report says PASS, its outputs give FAIL");
    one_difference(&found, "profile core CONFORMANT, it is NOT CONFORMANT");
    one_difference(&found, "there may be none");
    assert!(!found.stated);
}

#[test]
fn a_prettier_share_is_found_out() {
    let mut lie = case("gemm.linear/b", 0.9);
    lie.outputs[0].worst.as_mut().unwrap().share = 0.1;
    one_difference(&verified(&full_with([lie])), "has `y` at 0.10 of its bound at worst, its bytes give 0.90");
}

#[test]
fn a_pass_without_the_outputs_that_it_must_have_is_found_out() {
    let mut lie = case("gemm.linear/b", 0.5);
    lie.outputs.clear();
    let found = verified(&full_with([lie]));
    one_difference(&found, "cannot be judged again: the case has an output `y`");
    one_difference(&found, "`gemm.linear/b` passes without any output");
}

#[test]
fn what_only_the_device_shows_is_taken_from_the_report() {
    let guards = Finding::new(Check::Guards, "bytes beside `y` were written").in_arg("y");
    let report = full_with([case("gemm.linear/b", 0.5).with_findings(vec![guards])]);
    assert_eq!(report.count(Outcome::Fail), 1);
    assert!(verified(&report).holds());
    let crash = full_with([CaseResult::new("gemm.linear/b", "gemm.linear", "BF16", Outcome::Crash)]);
    assert!(verified(&crash).holds());
}

#[test]
fn large_outputs_are_taken_from_the_report_and_said_so() {
    let mut partly = case("gemm.linear/b", 0.5);
    partly.outputs.push(OutputRecord { shape: vec![1 << 20], bytes: None, ..output("z", 0.5) });
    let found = verified(&full_with([partly]));
    assert!(found.holds(), "{found}");
    assert_eq!((found.judged, found.in_part), (2, 1));
}

#[test]
fn other_lists_than_the_kits_are_found_out() {
    let short = MustPass::new("1").with(Profile::Core, ["gemm.linear/a"]).with(Profile::Runtime, Vec::<String>::new());
    let mut report = full();
    report.conclude(&short);
    one_difference(&verdict(&opened(&report, &short, &[]), &lists(), &judge), "differ from this kit's");
    one_difference(&verdict(&opened(&full(), &short, &[]), &lists(), &judge), "not those that the report names");
    let mut newer = lists();
    newer.version = "2".into();
    one_difference(&verdict(&opened(&full(), &lists(), &[]), &newer, &judge), "this kit has version 2");
}

#[test]
fn verdicts_and_counts_are_recomputed() {
    let mut report = full_with([case("gemm.linear/b", 4.0)]);
    report.verdicts = full().verdicts;
    one_difference(&verified(&report), "calls profile core CONFORMANT, it is NOT CONFORMANT");
    report.verdicts.clear();
    one_difference(&verified(&report), "no verdict on profile core");
}

#[test]
fn a_statement_about_other_contents_is_found_out() {
    let mut bundle = opened(&full(), &lists(), &[]);
    bundle.statement = Some(statement::text(&full(), "some other hash").unwrap());
    one_difference(&verdict(&bundle, &lists(), &judge), "the statement is not the one that follows");
}
