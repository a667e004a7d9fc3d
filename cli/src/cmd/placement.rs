//! `omnihal placement`.

use crate::failure::{Failure, Outcome};
use crate::open::{self, BackendArgs, ComputeArgs, ModelArgs};
use crate::output;
use clap::Args;
use omnihal_runtime::Row;
use serde::Serialize;

/// Show where each operator of a step runs, and why
///
/// Loads the model, builds the program of one step, and prints its placement: native (the device's own operator), composed (of smaller ones on
/// the same device) or fallback (another backend, with copies). Indexers are shown even where a short context would not need them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal placement
  omnihal placement --backend reference --tier core --json
  omnihal placement --model DIR --backend ascend --fallback cpu --rows 512")]
pub struct Placement {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Tokens in the step: 1 decodes, more is a prompt chunk
    #[arg(long, value_name = "N", default_value_t = 1)]
    rows: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    backend: &'a str,
    device: &'a str,
    model: String,
    step_rows: usize,
    device_calls: usize,
    fallback_calls: usize,
    rows: Vec<Line<'a>>,
}

/// A line of the table, with the tier spelled as in `omnihal ops`.
#[derive(Serialize)]
struct Line<'a> {
    op: &'static str,
    tier: &'static str,
    place: &'static str,
    reason: &'a str,
    determinism: Option<&'a str>,
    descriptors: usize,
    calls: usize,
}

fn line(row: &Row) -> Line<'_> {
    Line {
        op: row.op,
        tier: super::ops::tier(row.tier),
        place: row.place,
        reason: &row.reason,
        determinism: row.determinism.as_deref(),
        descriptors: row.descriptors,
        calls: row.calls,
    }
}

impl Placement {
    pub fn run(self) -> Result<Outcome, Failure> {
        let checkpoint = self.model.checkpoint()?;
        let device = self.backend.open()?;
        let mut options = self.compute.options(checkpoint.config(), self.rows.max(1), &self.backend)?;
        options.max_rows = self.rows;
        options.force_indexer = true;
        let mut engine = open::load(device.clone(), &checkpoint, options)?;
        let table = engine.placement(self.rows)?;
        let report = Report {
            backend: &self.backend.backend,
            device: &device.info().name,
            model: self.model.name(),
            step_rows: self.rows,
            device_calls: table.device_calls(),
            fallback_calls: table.fallback_calls(),
            rows: table.rows.iter().map(line).collect(),
        };
        if self.json {
            output::json(&report)?;
        } else {
            output::text(format!(
                "{table}{} device calls in a step of {} rows, {} of them on the fallback device; {} on {}\n",
                report.device_calls, report.step_rows, report.fallback_calls, report.model, report.backend
            ))?;
        }
        Ok(Outcome::Good)
    }
}
