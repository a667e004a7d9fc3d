//! `omnihal conform verify` and `diff`: reports without a device.

use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use omnihal_conformance::report::{Report, diff, verify};
use omnihal_conformance::{lists, rejudge, suite};
use std::path::PathBuf;

/// Recompute the verdict of a bundle, without the device
///
/// Judges every kept output again from the case's name and salt, recounts, and says where the report claims something else. This proves that the bundle is
/// whole and that its verdict follows from its contents. It cannot prove where the outputs came from.
#[derive(Args)]
pub struct Verify {
    /// bundle.tar.zst
    bundle: PathBuf,
}

impl Verify {
    pub fn run(self) -> Result<Outcome, Failure> {
        let bundle = verify::open(&self.bundle).map_err(Failure::input)?;
        let salt = bundle.report.selection.salt;
        let items = suite::Index::default();
        let official = lists::must_pass().map_err(Failure::input)?;
        let verified =
            verify::verdict(&bundle, &official, &|case, outputs| rejudge::rejudge(&items, case, outputs, salt));
        output::text(format!("{verified}\n"))?;
        Ok(Outcome::of(verified.holds()))
    }
}

/// Compare two reports: what fails now, what passes again, what uses more of its bound
#[derive(Args)]
pub struct Diff {
    /// report.json of the earlier run
    before: PathBuf,
    /// report.json of the later run
    after: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub fn run(self) -> Result<Outcome, Failure> {
        let open = |path: &PathBuf| Report::open(path).map_err(Failure::input);
        let difference = diff(&open(&self.before)?, &open(&self.after)?);
        match self.json {
            true => output::json(&difference)?,
            false => output::text(format!("{difference}"))?,
        }
        Ok(Outcome::of(difference.is_empty()))
    }
}
