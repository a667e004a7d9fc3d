use super::sample::{case, full, full_with, lists, script, waived};
use crate::report::diff::diff;
use crate::report::{MustPass, Report, Verdict, statement};
use crate::{CaseResult, Outcome, Profile};

fn core(report: &Report) -> &Verdict {
    &report.verdict(Profile::Core).unwrap().verdict
}

fn with_outcome(id: &str, outcome: Outcome) -> Report {
    full_with([CaseResult { outcome, ..case(id, 0.5) }])
}

#[test]
fn a_full_run_in_which_every_required_case_passes_is_conformant() {
    let report = full();
    assert!(report.verdicts.iter().all(|v| v.verdict == Verdict::Conformant), "{:?}", report.verdicts);
    assert_eq!(report.exit_code(), 0);
    assert_eq!((report.count(Outcome::Pass), report.count(Outcome::Unsupported)), (4, 1));
    assert!(report.verdict(Profile::Perf).is_none());
}

#[test]
fn every_outcome_but_pass_and_waived_keeps_a_required_case_from_conforming() {
    for outcome in Outcome::ALL {
        let report = with_outcome("gemm.linear/a", outcome);
        let conformant = *core(&report) == Verdict::Conformant;
        assert_eq!(conformant, matches!(outcome, Outcome::Pass | Outcome::Waived), "{outcome}");
        assert_eq!(report.exit_code() == 0, conformant, "{outcome}");
    }
}

#[test]
fn the_reasons_name_outcome_number_and_first_case() {
    let report = full_with([case("gemm.linear/b", 4.0), case("norm.rms/a", 5.0)]);
    assert_eq!(core(&report).reasons(), ["2 of 3 required cases: FAIL, first `gemm.linear/b`"]);
}

#[test]
fn a_required_case_that_is_not_there_leaves_the_run_incomplete_and_failed() {
    let mut report = full();
    report.results.retain(|r| r.id != "norm.rms/a");
    report.conclude(&lists());
    assert!(matches!(core(&report), Verdict::Incomplete(why) if why[0].contains("norm.rms/a")), "{:?}", core(&report));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_run_that_was_cut_down_is_never_conformant_but_can_be_clean() {
    let cuts: [fn(&mut Report); 3] = [
        |r| r.selection.quick = true,
        |r| r.selection.fraction = Some((1, 2)),
        |r| r.selection.filters = vec!["*".into()],
    ];
    for cut in cuts {
        let mut report = full();
        cut(&mut report);
        report.results.retain(|r| r.id != "norm.rms/a");
        report.conclude(&lists());
        assert!(report.verdicts.iter().all(|v| matches!(v.verdict, Verdict::Incomplete(_))), "{:?}", report.verdicts);
        assert_eq!(report.exit_code(), 0);
        assert!(statement::text(&report, "").is_err());
        report.results[1] = case("gemm.linear/a", 3.0);
        report.conclude(&lists());
        assert!(matches!(core(&report), Verdict::NotConformant(_)));
        assert_eq!(report.exit_code(), 1);
    }
}

#[test]
fn a_stand_in_is_never_conformant_and_yields_no_statement() {
    let mut report = full();
    report.device.stand_in = true;
    report.conclude(&lists());
    assert!(matches!(core(&report), Verdict::Incomplete(why) if why[0].contains("stand-in")));
    assert_eq!(report.exit_code(), 0);
    assert!(statement::text(&report, "").unwrap_err().iter().any(|o| o.contains("stand-in")));
}

#[test]
fn a_profile_without_a_list_is_incomplete() {
    let mut report = full();
    report.conclude(&MustPass::new("1"));
    assert!(report.verdicts.iter().all(|v| matches!(v.verdict, Verdict::Incomplete(_))));
}

#[test]
fn a_failure_that_no_list_requires_fails_the_run_and_keeps_the_statement_back() {
    let report = full_with([case("norm.rms/extra", 2.0)]);
    assert_eq!(*core(&report), Verdict::Conformant);
    assert_eq!(report.exit_code(), 1);
    assert!(statement::text(&report, "").is_err());
}

#[test]
fn a_run_of_nothing_fails() {
    let mut report = full();
    report.selection.filters = vec!["no.such/*".into()];
    report.results.clear();
    report.perf.clear();
    report.conclude(&lists());
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn soak_and_fault_cases_count_where_their_profiles_are_asked_for() {
    let lists = lists().with(Profile::Soak, ["soak/steps"]);
    let mut report = full();
    report.selection.profiles.push(Profile::Soak);
    report.soak = vec![script("soak/steps", Outcome::Timeout)];
    report.conclude(&lists);
    assert!(matches!(report.verdict(Profile::Soak).unwrap().verdict, Verdict::NotConformant(_)));
    assert_eq!((report.count(Outcome::Timeout), report.exit_code()), (1, 1));
}

#[test]
fn the_statement_names_what_it_is_about_and_what_it_does_not_say() {
    let mut report = waived();
    report.device.name = "Chip\nProfile           v4: CONFORMANT".into();
    let text = statement::text(&report, "c0ffee").unwrap();
    for part in [
        "driver 5.2.10",
        "core: CONFORMANT, 2 of 3 required cases pass, 1 waived",
        "version 1 (sha256 ",
        "sha256 c0ffee",
        "commit 0123abc",
        "2026-06-15T08:30:00Z",
        "f16 partial sums (until 2026-12-31, worst 2.00 of the bound, at most 3.00 allowed)",
        "  gemm.linear/b",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flowing.contains("results are the submitter's own. Integrity can be verified, origin cannot"));
    assert!(!text.lines().any(|l| l.starts_with("Profile           v4")), "a device's name adds a line:\n{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 200));
}

#[test]
fn the_replay_command_survives_a_shell() {
    let report = full();
    assert_eq!(report.replay("a/it's"), r"omnihal conform --plugin libexample.so --replay 'a/it'\''s' --salt 7");
}

#[test]
fn a_comparison_tells_new_failures_from_repairs_and_drift() {
    let before = full_with([case("gemm.linear/b", 4.0), case("old/x", 0.1)]);
    let mut after = full_with([case("gemm.linear/a", 5.0), case("norm.rms/a", 0.5), case("new/x", 0.1)]);
    after.device.versions[0].1 = "5.3".into();
    after.results.push(CaseResult::new("norm.rms/p", "norm.rms", "F32", Outcome::NotRun));
    let found = diff(&before, &after);
    let ids = |changes: &[crate::report::diff::OutcomeChange]| changes.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&found.new_failures), ["gemm.linear/a"]);
    assert_eq!(ids(&found.fixed), ["gemm.linear/b"]);
    assert!(found.outcomes.is_empty());
    assert_eq!(found.shares.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["norm.rms/a"]);
    assert_eq!(found.only_before, [("old/x".to_owned(), Outcome::Pass)]);
    assert_eq!(found.only_after.len(), 2);
    assert_eq!(found.facts.len(), 1);
    let text = found.to_string();
    assert!(text.contains("new failures: 1\n  PASS -> FAIL  gemm.linear/a"), "{text}");
    assert!(serde_json::to_string(&found).unwrap().contains("\"before\":\"PASS\""));
}

#[test]
fn equal_runs_have_no_difference_and_small_drift_is_none() {
    assert!(diff(&full(), &full()).is_empty());
    let drifted = full_with([case("gemm.linear/a", 0.9)]);
    assert!(diff(&full(), &drifted).is_empty(), "less than a factor of 2");
}
