//! Naming cases, running one, and guessing the time of many.

use super::{Conform, SelectionArgs, execute};
use crate::failure::{Failure, Outcome};
use crate::output;
use omnihal_conformance::supervisor;
use omnihal_conformance::{CaseResult, suite};
use std::fmt::Write;
use std::time::Instant;

/// Prints the names of the selection.
pub fn list(selection: &SelectionArgs) -> Result<Outcome, Failure> {
    let text: String = selection.items().iter().map(|item| format!("{}\n", item.id())).collect();
    output::text(text)?;
    Ok(Outcome::Good)
}

/// Runs one case in a worker and prints all that was found.
pub fn replay(conform: &Conform, id: &str) -> Result<Outcome, Failure> {
    let item = suite::find(id).map_err(Failure::input)?;
    conform.device.probe()?;
    let result = one(conform, item)?;
    output::text(words(&result))?;
    Ok(Outcome::of(result.outcome.conforms()))
}

/// Runs one item in a worker of its own.
pub fn one(conform: &Conform, item: suite::Item) -> Result<CaseResult, Failure> {
    let mut found = None;
    let start = execute::starter(conform)?;
    supervisor::run(&[item], &start, 1, execute::limits(conform), |_, result| found = Some(result))
        .map_err(Failure::device)?;
    found.ok_or_else(|| Failure::device("the worker gave no result"))
}

fn words(result: &CaseResult) -> String {
    let mut text = format!("{} {}\n", result.outcome, result.id);
    // Writing to a string cannot fail.
    if let Some(message) = result.message.as_ref().filter(|_| result.findings.is_empty()) {
        let _ = writeln!(text, "  {message}");
    }
    for finding in &result.findings {
        let count = if finding.count > 1 { format!(" ({} elements)", finding.count) } else { String::new() };
        let _ = writeln!(text, "  {finding}{count}");
    }
    for output in &result.outputs {
        let worst = output.worst.as_ref().map_or("exact".to_owned(), |w| {
            format!(
                "worst element {} uses {:.3} of its bound: {:e}, the judge has {:e}",
                w.element, w.share, w.found, w.expected
            )
        });
        let _ = writeln!(
            text,
            "  `{}` {} {:?}: {} elements compared, {worst}",
            output.arg, output.dtype, output.shape, output.compared
        );
    }
    if let (Some(class), Some(level)) = (&result.accumulation, &result.determinism) {
        let _ = writeln!(text, "  declared: accumulation {class}, determinism {level}; took {:.0} ms", result.millis);
    }
    text
}

/// Every n-th item of the selection is timed.
const SAMPLE: usize = 20;

/// Times a sample of the selection and says what the whole would take.
pub fn estimate(conform: &Conform) -> Result<Outcome, Failure> {
    let items = conform.selection.items();
    let sample: Vec<suite::Item> = items.iter().step_by(SAMPLE).cloned().collect();
    conform.device.probe()?;
    let started = Instant::now();
    let start = execute::starter(conform)?;
    supervisor::run(&sample, &start, conform.jobs, execute::limits(conform), |_, _| {}).map_err(Failure::device)?;
    let seconds = started.elapsed().as_secs_f64() * items.len() as f64 / sample.len().max(1) as f64;
    output::text(format!("{} cases take about {seconds:.0} s with {} workers\n", items.len(), conform.jobs))?;
    Ok(Outcome::Good)
}
