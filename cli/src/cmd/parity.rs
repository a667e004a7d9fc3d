//! `omnihal parity`.

use crate::failure::{Failure, Outcome};
use crate::open::{ModelArgs, TierArg};
use crate::output;
use clap::{Args, ValueEnum};
use omnihal_deepseek::config::Precision;
use omnihal_e2e::{Golden, ParityOptions, Path, Report, ops_parity, parity};
use serde::Serialize;
use std::path::PathBuf;

/// Compare a model, or single operators, with golden tensors
///
/// Runs the prompt of the golden file and compares every tensor that the file has: logits within 1e-4, other numbers within 2e-4, index and
/// expert sets for equality. Exit code 0 if all of them hold, 1 if not.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal parity --model tests/e2e/oracle/cases/csa --golden tests/e2e/oracle/cases/csa/golden.safetensors --backend reference
  omnihal parity --model DIR --golden FILE --backend cpu --path decode --tier core --json
  omnihal parity --ops tests/e2e/oracle/cases/ops/golden.safetensors

JSON: {\"pass\",\"compared\",\"total\",\"first_divergence\",\"tensors\":[{\"name\",\"max_abs\",\"limit\",\"pass\"}],\"other_paths\"}. A difference
that cannot be measured (NaN, another shape) is written as the largest number. `other_paths` names golden tensors that only another
--path makes; they are not part of `total`.")]
pub struct Parity {
    #[command(flatten)]
    model: ModelArgs,
    /// Golden tensors of a whole model
    #[arg(long, value_name = "FILE", required_unless_present = "ops")]
    golden: Option<PathBuf>,
    /// Golden vectors of single operators; needs no model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["golden", "model", "path", "precision"])]
    ops: Option<PathBuf>,
    /// Backend, or backend:index
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: String,
    /// How the prompt is fed: at once, a start and then one by one, in odd chunks, or each of these
    #[arg(long, value_enum, default_value = "all")]
    path: PathArg,
    /// Operators that may run natively
    #[arg(long, value_enum, default_value = "all")]
    tier: TierArg,
    /// Rounding: plain, qat_kv, qat_kv_idx or qat_all
    #[arg(long, value_name = "MODE", default_value_t = Precision::Plain)]
    precision: Precision,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PathArg {
    Prefill,
    Decode,
    Chunks,
    All,
}

impl PathArg {
    fn paths(self) -> Vec<Path> {
        match self {
            PathArg::Prefill => vec![Path::Prefill],
            PathArg::Decode => vec![Path::Decode],
            PathArg::Chunks => vec![Path::Chunks],
            PathArg::All => Path::ALL.to_vec(),
        }
    }
}

impl Parity {
    pub fn run(self) -> Result<Outcome, Failure> {
        let device = crate::open::open(&self.backend)?;
        let (mut report, mut other_paths) = (Report::default(), Vec::new());
        if let Some(ops) = &self.ops {
            report = ops_parity(&device, &Golden::open(ops)?, self.tier.into())?;
        } else if let Some(golden) = &self.golden {
            let golden = Golden::open(golden)?;
            let checkpoint = self.model.checkpoint()?;
            let options =
                ParityOptions { paths: self.path.paths(), limit: self.tier.into(), precision: self.precision };
            report = parity(&device, &checkpoint, &golden, &options)?;
            if report.total == 0 {
                return Err(Failure::input(format!(
                    "the golden file has no tensor of precision {}: choose another --precision",
                    self.precision
                )));
            }
            if self.path != PathArg::All {
                (report, other_paths) = on_this_path(report, &golden, self.precision);
            }
        }
        let good = report.pass;
        match self.json {
            true => output::json(&JsonReport::new(report, other_paths))?,
            false => print(&report, &other_paths)?,
        }
        Ok(Outcome::of(good))
    }
}

fn print(report: &Report, other_paths: &[String]) -> Result<(), Failure> {
    let note = match other_paths {
        [] => String::new(),
        [first, ..] => {
            format!("{} more golden tensors are made by another --path only, such as {first}\n", other_paths.len())
        }
    };
    output::text(format!("{report}{note}"))
}

/// Takes golden tensors that only another path makes out of the count, and names them.
fn on_this_path(report: Report, golden: &Golden, precision: Precision) -> (Report, Vec<String>) {
    // The decode path alone has decode_logits, the prefill path alone runs prediction, and a path passes n0 or does not.
    let of_a_path = |name: &&String| {
        precision == Precision::Plain
            && (name.as_str() == "decode_logits" || name.starts_with("state_after_n0.") || name.starts_with("mtp."))
    };
    let compared = |name: &&String| report.tensors.iter().any(|t| t.name == **name);
    let other: Vec<String> = golden.tensors.keys().filter(of_a_path).filter(|name| !compared(name)).cloned().collect();
    (Report::new(report.tensors, report.total - other.len()), other)
}

#[derive(Serialize)]
struct JsonReport {
    #[serde(flatten)]
    report: Report,
    other_paths: Vec<String>,
}

impl JsonReport {
    fn new(mut report: Report, other_paths: Vec<String>) -> Self {
        // JSON has no infinity, and a reader should not have to look for null.
        report.tensors.iter_mut().filter(|t| !t.max_abs.is_finite()).for_each(|t| t.max_abs = f64::MAX);
        JsonReport { report, other_paths }
    }
}
