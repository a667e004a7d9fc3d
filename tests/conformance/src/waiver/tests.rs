use super::*;
use crate::outcome::{OutputRecord, Worst};
use crate::{CaseResult, Check, Finding, Outcome, Profile};

const TODAY: &str = "2026-06-15";

fn device() -> DeviceFacts {
    let versions = vec![("driver".to_owned(), "5.2.10".to_owned()), ("library".to_owned(), "8.0.RC2".to_owned())];
    DeviceFacts { name: "Vendor Chip 9B".to_owned(), versions, ..DeviceFacts::default() }
}

fn waiver(cases: &[&str]) -> Waiver {
    Waiver {
        cases: cases.iter().map(|c| (*c).to_owned()).collect(),
        device: "Vendor Chip 9*".to_owned(),
        versions: vec![VersionRange { of: "driver".into(), from: "5.1".into(), to: "5.3".into() }],
        reason: "f16 partial sums".to_owned(),
        link: "https://vendor.example/1".to_owned(),
        expires: "2026-12-31".to_owned(),
        allowed_share: 3.2,
    }
}

fn failing(id: &str, check: Check, share: f64) -> CaseResult {
    let worst = Worst { element: 0, found: 1.0, expected: 0.0, bound: 1.0 / share, share };
    let output = OutputRecord {
        arg: "y".into(),
        dtype: "F32".into(),
        shape: vec![1],
        sha256: String::new(),
        compared: 1,
        worst: Some(worst),
        bytes: None,
    };
    let finding = Finding { share: Some(share), count: 1, ..Finding::new(check, "off").in_arg("y") };
    let case = CaseResult::new(id, "gemm.linear", "F32", Outcome::Pass).with_findings(vec![finding]);
    CaseResult { outputs: vec![output], ..case }
}

fn passing(id: &str) -> CaseResult {
    CaseResult::new(id, "gemm.linear", "F32", Outcome::Pass)
}

fn run(waivers: &[Waiver], results: &mut [CaseResult]) -> Result<Vec<WaiverUse>, Vec<WaiverError>> {
    run_in(waivers, results, false)
}

fn run_in(waivers: &[Waiver], results: &mut [CaseResult], partial: bool) -> Result<Vec<WaiverUse>, Vec<WaiverError>> {
    let many = (0..40).map(|i| format!("gemm.linear/rows={i}/wide/dense"));
    let required = MustPass::new("1").with(Profile::Core, many);
    apply(waivers, results, &Context { today: TODAY, device: &device(), required: &required, partial })
}

fn only_error(waiver: Waiver, mut results: Vec<CaseResult>) -> Why {
    let before = results.clone();
    let errors = run(&[waiver], &mut results).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(results, before, "results change although a waiver is wrong");
    errors[0].why.clone()
}

#[test]
fn a_failure_within_the_measured_error_is_waived_and_said_so() {
    let mut results = vec![failing("gemm.linear/a", Check::Bound, 3.1), passing("gemm.linear/b")];
    let uses = run(&[waiver(&["gemm.linear/a"])], &mut results).unwrap();
    assert_eq!(results[0].outcome, Outcome::Waived);
    assert_eq!(results[1].outcome, Outcome::Pass);
    assert_eq!((uses[0].status, uses[0].waived.len(), uses[0].worst_share), (Status::Used, 1, Some(3.1)));
}

#[test]
fn a_failure_beyond_the_measured_error_still_fails() {
    let mut results = vec![failing("gemm.linear/a", Check::Bound, 3.3)];
    let uses = run(&[waiver(&["gemm.linear/a"])], &mut results).unwrap();
    assert_eq!((results[0].outcome, uses[0].status), (Outcome::Fail, Status::Exceeded));
}

#[test]
fn an_error_without_a_measure_still_fails() {
    let mut case = failing("gemm.linear/a", Check::Bound, 2.0);
    case.findings[0].share = None;
    let mut results = vec![case];
    run(&[waiver(&["gemm.linear/a"])], &mut results).unwrap();
    assert_eq!(results[0].outcome, Outcome::Fail);
}

#[test]
fn only_errors_of_results_can_be_waived() {
    for (check, waived) in [
        (Check::Bound, true),
        (Check::Bias, true),
        (Check::Set, true),
        (Check::Guards, false),
        (Check::Repeat, false),
        (Check::NonFinite, false),
        (Check::Exact, false),
        (Check::Written, false),
    ] {
        let mut results = vec![failing("gemm.linear/a", check, 1.5)];
        run(&[waiver(&["gemm.linear/a"])], &mut results).unwrap();
        assert_eq!(results[0].outcome == Outcome::Waived, waived, "{check:?}");
    }
    let mut both = vec![failing("gemm.linear/a", Check::Bound, 1.5)];
    both[0].findings.push(Finding::new(Check::Guards, "bytes beside it were written"));
    run(&[waiver(&["gemm.linear/a"])], &mut both).unwrap();
    assert_eq!(both[0].outcome, Outcome::Fail, "one part of what was found can not be waived");
}

#[test]
fn crashes_and_false_declarations_are_never_waived() {
    for outcome in [Outcome::Crash, Outcome::Timeout, Outcome::Undeclared] {
        let mut results = vec![CaseResult { outcome, ..failing("gemm.linear/a", Check::Bound, 1.5) }];
        let uses = run(&[waiver(&["gemm.linear/a"])], &mut results).unwrap();
        assert_eq!((results[0].outcome, uses[0].status), (outcome, Status::Exceeded));
    }
}

#[test]
fn a_waiver_whose_cases_all_pass_makes_them_unexpected_passes() {
    let mut results = vec![passing("gemm.linear/a"), passing("gemm.linear/b")];
    let uses = run(&[waiver(&["gemm.linear/?"])], &mut results).unwrap();
    assert!(results.iter().all(|r| r.outcome == Outcome::Xpass && !r.outcome.conforms()));
    assert_eq!(uses[0].status, Status::Stale);
}

#[test]
fn a_pattern_whose_cases_fail_in_part_leaves_the_passes_alone() {
    let mut results = vec![passing("gemm.linear/a"), failing("gemm.linear/b", Check::Bound, 2.0)];
    run(&[waiver(&["gemm.linear/?"])], &mut results).unwrap();
    assert_eq!([results[0].outcome, results[1].outcome], [Outcome::Pass, Outcome::Waived]);
}

#[test]
fn a_waiver_without_a_case_is_an_error_unless_the_run_left_cases_out() {
    let results = vec![passing("gemm.linear/a")];
    assert_eq!(only_error(waiver(&["gemm.linear/x"]), results.clone()), Why::NoCase("gemm.linear/x".into()));
    let uses = run_in(&[waiver(&["gemm.linear/x"])], &mut results.clone(), true).unwrap();
    assert_eq!(uses[0].status, Status::NotRun);
}

#[test]
fn a_waiver_for_what_the_device_does_not_run_is_an_error() {
    let results = vec![CaseResult::new("gemm.linear/a", "gemm.linear", "F32", Outcome::Unsupported)];
    let why = only_error(waiver(&["gemm.linear/a"]), results);
    assert_eq!(why, Why::NothingToWaive("gemm.linear/a".into(), Outcome::Unsupported));
}

#[test]
fn a_waiver_that_ran_out_is_an_error_from_the_next_day_on() {
    let results = vec![failing("gemm.linear/a", Check::Bound, 2.0)];
    let expired = Waiver { expires: "2026-06-14".into(), ..waiver(&["gemm.linear/a"]) };
    assert_eq!(only_error(expired, results.clone()), Why::Expired("2026-06-14".into()));
    let last_day = Waiver { expires: TODAY.into(), ..waiver(&["gemm.linear/a"]) };
    assert!(run(&[last_day], &mut results.clone()).is_ok());
}

#[test]
fn an_expired_waiver_for_another_device_is_an_error_too() {
    let other = Waiver { expires: "2020-01-01".into(), device: "Other".into(), ..waiver(&["gemm.linear/a"]) };
    assert_eq!(only_error(other, vec![passing("gemm.linear/a")]), Why::Expired("2020-01-01".into()));
}

#[test]
fn patterns_must_name_the_operator() {
    let results = vec![failing("gemm.linear/a", Check::Bound, 2.0)];
    for pattern in ["*", "gemm.*/a", "gemm.linea?/a", "*/a", "gemm.linear*"] {
        assert_eq!(only_error(waiver(&[pattern]), results.clone()), Why::AnyOperator(pattern.into()), "{pattern}");
    }
}

#[test]
fn behaviour_can_not_be_waived() {
    for id in ["runtime/copy/every_size", "soak/steps", "fault/alloc", "model/tiny"] {
        let results = vec![failing(id, Check::Bound, 1.5)];
        assert_eq!(only_error(waiver(&[id]), results), Why::NotAnOperator(id.into()));
    }
}

#[test]
fn patterns_must_be_narrow() {
    let results = vec![failing("gemm.linear/rows=1/wide/dense", Check::Bound, 2.0)];
    let why = only_error(waiver(&["gemm.linear/*"]), results.clone());
    assert_eq!(why, Why::TooWide { pattern: "gemm.linear/*".into(), reach: 40 });
    assert!(run(&[waiver(&["gemm.linear/rows=1*"])], &mut results.clone()).is_ok());
}

#[test]
fn waivers_are_bound_to_a_device_and_its_versions() {
    let range = |of: &str, from: &str, to: &str| VersionRange { of: of.into(), from: from.into(), to: to.into() };
    let base = waiver(&["gemm.linear/a"]);
    for (other, fits) in [
        (base.clone(), true),
        (Waiver { device: "Vendor Chip 8*".into(), ..base.clone() }, false),
        (Waiver { versions: vec![range("driver", "5.3", "5.9")], ..base.clone() }, false),
        (Waiver { versions: vec![range("driver", "5.2.9", "5.2.11")], ..base.clone() }, true),
        (Waiver { versions: vec![range("driver", "5.2", "5.2.9")], ..base.clone() }, false),
        (Waiver { versions: vec![range("firmware", "1", "9")], ..base.clone() }, false),
        (Waiver { versions: vec![range("driver", "5", "6"), range("library", "8.1", "9")], ..base }, false),
    ] {
        let mut results = vec![failing("gemm.linear/a", Check::Bound, 2.0)];
        let uses = run(&[other], &mut results).unwrap();
        assert_eq!(results[0].outcome == Outcome::Waived, fits);
        assert_eq!(uses[0].status == Status::NotForThisDevice, !fits);
    }
}

#[test]
fn two_waivers_for_one_case_are_an_error() {
    let mut results = vec![failing("gemm.linear/a", Check::Bound, 2.0)];
    let errors = run(&[waiver(&["gemm.linear/a"]), waiver(&["gemm.linear/?"])], &mut results).unwrap_err();
    assert_eq!(errors[0].why, Why::Twice { id: "gemm.linear/a".into(), first: 0 });
    assert_eq!(errors[0].index, 1);
}

#[test]
fn every_field_must_say_something() {
    let base = waiver(&["gemm.linear/a"]);
    for (faulty, name) in [
        (Waiver { cases: vec![], ..base.clone() }, "`cases`"),
        (Waiver { reason: " ".into(), ..base.clone() }, "`reason`"),
        (Waiver { link: String::new(), ..base.clone() }, "`link`"),
        (Waiver { device: "*".into(), ..base.clone() }, "`device`"),
        (Waiver { versions: vec![], ..base.clone() }, "`versions`"),
        (Waiver { expires: "soon".into(), ..base.clone() }, "`expires`"),
        (Waiver { allowed_share: f64::INFINITY, ..base.clone() }, "`allowed_share`"),
        (Waiver { allowed_share: 0.5, ..base }, "`allowed_share`"),
    ] {
        match only_error(faulty, vec![failing("gemm.linear/a", Check::Bound, 2.0)]) {
            Why::Field { field, .. } => assert_eq!(field, name),
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn waiver_files_read_as_written_and_refuse_unknown_fields() {
    let text = to_json(&[waiver(&["gemm.linear/a"])]).unwrap();
    assert_eq!(parse(&text).unwrap(), [waiver(&["gemm.linear/a"])]);
    let text = String::from_utf8(text).unwrap();
    let misspelt = text.replace("\"expires\"", "\"expire\"");
    assert!(parse(misspelt.as_bytes()).unwrap_err().to_string().contains("expire"));
    assert!(parse(text.replace("\"schema\": 1", "\"schema\": 2").as_bytes()).is_err());
}
