//! `junit.xml`: for build servers. One suite for each family of operators, or group of behaviour.

use super::{PerfRow, Report};
use crate::{CaseResult, Outcome};
use std::fmt::{self, Display, Write};

/// The report in JUnit's XML.
pub fn xml(report: &Report) -> String {
    let mut suites: Vec<(&str, Vec<&CaseResult>)> = Vec::new();
    for case in report.cases() {
        let family = case.op.split('.').next().unwrap_or(&case.op);
        match suites.iter_mut().find(|s| s.0 == family) {
            Some(suite) => suite.1.push(case),
            None => suites.push((family, vec![case])),
        }
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let totals = Totals::of(report.cases());
    let name = format!("omnihal-conformance {}", report.device.title());
    let _ = writeln!(out, "<testsuites name=\"{}\" {totals} time=\"{:.3}\">", Escaped(&name), report.seconds);
    for (family, cases) in &suites {
        suite(&mut out, report, family, cases);
    }
    perf(&mut out, &report.perf);
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, report: &Report, family: &str, cases: &[&CaseResult]) {
    let seconds: f64 = cases.iter().map(|c| c.millis / 1e3).sum();
    let totals = Totals::of(cases.iter().copied());
    let started = Escaped(report.started.trim_end_matches('Z'));
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" {totals} time=\"{seconds:.3}\" timestamp=\"{started}\">",
        Escaped(family)
    );
    for case in cases {
        let (id, class) = (Escaped(&case.id), Escaped(&case.op));
        let _ = write!(out, "    <testcase name=\"{id}\" classname=\"{class}\" time=\"{:.3}\"", case.millis / 1e3);
        match body(report, case) {
            Some(body) => {
                let _ = writeln!(out, ">{body}</testcase>");
            }
            None => out.push_str("/>\n"),
        }
    }
    out.push_str("  </testsuite>\n");
}

/// What stands inside a case that is not a plain pass.
fn body(report: &Report, case: &CaseResult) -> Option<String> {
    let message = case.message.as_deref().unwrap_or(case.outcome.name());
    let tag = match kind(case.outcome) {
        Kind::Pass if case.outcome == Outcome::Pass => return None,
        Kind::Pass => return Some(format!("<system-out>{}: {}</system-out>", case.outcome, Escaped(message))),
        Kind::Skip => {
            return Some(format!("<skipped message=\"{}\"/>", Escaped(&format!("{}: {message}", case.outcome))));
        }
        Kind::Failure => "failure",
        Kind::Error => "error",
    };
    let mut text = String::new();
    for finding in &case.findings {
        let _ = writeln!(text, "{finding}");
    }
    let _ = write!(text, "{}", report.replay(&case.id));
    let (outcome, message, text) = (case.outcome, Escaped(message), Escaped(&text));
    Some(format!("<{tag} type=\"{outcome}\" message=\"{message}\">{text}</{tag}>"))
}

fn perf(out: &mut String, rows: &[PerfRow]) {
    if rows.is_empty() {
        return;
    }
    let _ =
        writeln!(out, "  <testsuite name=\"perf\" tests=\"{}\" failures=\"0\" errors=\"0\" skipped=\"0\">", rows.len());
    for row in rows {
        let (id, op, seconds) = (Escaped(&row.id), Escaped(&row.op), row.median_us / 1e6);
        let _ = writeln!(out, "    <testcase name=\"{id}\" classname=\"perf.{op}\" time=\"{seconds:.9}\"/>");
    }
    out.push_str("  </testsuite>\n");
}

#[derive(PartialEq, Eq)]
enum Kind {
    Pass,
    Skip,
    Failure,
    Error,
}

/// Wrong results are failures; a case that came to no result is an error.
const fn kind(outcome: Outcome) -> Kind {
    match outcome {
        Outcome::Pass | Outcome::Waived => Kind::Pass,
        Outcome::Unsupported | Outcome::NotRun => Kind::Skip,
        Outcome::Fail | Outcome::Undeclared | Outcome::Xpass => Kind::Failure,
        Outcome::Crash | Outcome::Timeout => Kind::Error,
    }
}

struct Totals {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Totals {
    fn of<'a>(cases: impl Iterator<Item = &'a CaseResult>) -> Totals {
        let mut totals = Totals { tests: 0, failures: 0, errors: 0, skipped: 0 };
        for case in cases {
            totals.tests += 1;
            match kind(case.outcome) {
                Kind::Pass => {}
                Kind::Skip => totals.skipped += 1,
                Kind::Failure => totals.failures += 1,
                Kind::Error => totals.errors += 1,
            }
        }
        totals
    }
}

impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { tests, failures, errors, skipped } = self;
        write!(f, "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
    }
}

/// Text as it may stand in XML, inside attributes too. Characters that XML cannot hold are left out.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                // Written as themselves they would become spaces in an attribute.
                '\n' => f.write_str("&#10;")?,
                '\t' => f.write_str("&#9;")?,
                c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
