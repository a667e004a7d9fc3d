//! The report on disk, and its summary on the terminal.

use super::Conform;
use crate::failure::Failure;
use omnihal_conformance::report::{Report, Verdict, bundle, diff, html, junit};
use omnihal_conformance::waiver::Waiver;
use omnihal_conformance::{Outcome, lists};
use std::fmt::Write;
use std::path::Path;

/// Failing cases named in the summary.
const NAMED: usize = 20;

/// Writes every file of the report. Returns where.
pub fn write(conform: &Conform, out: &Path, report: &Report, waivers: &[Waiver]) -> Result<String, Failure> {
    let fail = |e: std::io::Error| Failure::input(format!("--out {}: {e}", out.display()));
    std::fs::create_dir_all(out).map_err(fail)?;
    let since = conform.since.as_deref().map(Report::open).transpose().map_err(Failure::input)?;
    let page = html::page(report, since.map(|before| diff(&before, report)).as_ref());
    let put = |name: &str, text: &[u8]| std::fs::write(out.join(name), text).map_err(fail);
    put("report.html", page.as_bytes())?;
    put("report.json", &report.to_json().map_err(Failure::input)?)?;
    put("junit.xml", junit::xml(report).as_bytes())?;
    let required = lists::must_pass().map_err(Failure::input)?;
    let statement =
        bundle::write(&out.join("bundle.tar.zst"), report, &required, waivers, &page).map_err(Failure::input)?;
    match statement {
        Some(text) => put("statement.txt", text.as_bytes())?,
        None => match std::fs::remove_file(out.join("statement.txt")) {
            // A statement of an earlier run does not speak for this one.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        },
    }
    Ok(out.join("report.html").display().to_string())
}

/// The run in a few lines.
pub fn summary(report: &Report, written: Option<&str>) -> String {
    let mut text = format!("{}\n", report.device.title());
    // Writing to a string cannot fail.
    let bad: Vec<_> = report.cases().filter(|c| !c.outcome.conforms()).collect();
    for case in bad.iter().take(NAMED) {
        let _ = writeln!(
            text,
            "{:<12} {}\n             {}",
            case.outcome,
            case.id,
            case.message.as_deref().unwrap_or_default()
        );
    }
    let more = bad.len().saturating_sub(NAMED);
    if more > 0 {
        let _ = writeln!(text, "... and {more} more");
    }
    for row in &report.perf {
        let share = row.peak_share.map_or(String::new(), |s| format!("{:5.1} % of what the device can do", 100.0 * s));
        let _ = writeln!(text, "{:>10.1} us {share}  {}", row.median_us, row.id);
    }
    let counts: Vec<String> =
        Outcome::ALL.iter().filter(|o| report.count(**o) > 0).map(|o| format!("{} {o}", report.count(*o))).collect();
    let counted = if counts.is_empty() { "no case is judged".to_owned() } else { counts.join(", ") };
    let _ = writeln!(text, "{counted} in {:.1} s", report.seconds);
    for verdict in &report.verdicts {
        let _ = match &verdict.verdict {
            Verdict::Conformant => writeln!(text, "{}: conformant", verdict.profile),
            Verdict::NotConformant(why) => writeln!(text, "{}: NOT conformant: {}", verdict.profile, why.join("; ")),
            Verdict::Incomplete(why) => {
                writeln!(text, "{}: clean so far, no verdict: {}", verdict.profile, why.join("; "))
            }
        };
    }
    if let Some(written) = written {
        let _ = writeln!(text, "report: {written}");
    }
    text
}
