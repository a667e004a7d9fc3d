//! Cases that are no single operator: what a device does with memory, streams, graphs, errors and time.

use crate::outcome::{CaseResult, Finding, Outcome};
use crate::profile::Profile;
use crate::target::Target;
use omnihal::Error;

/// What a script comes back with.
pub enum Verdict {
    /// It ran; the findings, if any.
    Ran(Vec<Finding>),
    /// The device says that it does not do this, and may: the reason.
    Unsupported(String),
}

/// A case as a function of the device.
#[derive(Clone, Copy)]
pub struct Script {
    /// Its name, as `runtime/copy/every_alignment`.
    pub id: &'static str,
    /// Its group in reports, as `runtime.copy`.
    pub group: &'static str,
    /// The profile that requires it.
    pub profile: Profile,
    /// One of the cases that `--quick` runs.
    pub quick: bool,
    /// Runs it. An error is a failure that the script did not expect. The seed follows from the name and the salt.
    pub run: fn(&Target, seed: u64) -> Result<Verdict, Error>,
}

impl Script {
    /// Runs it on a device.
    pub fn judge(&self, target: &Target, seed: u64) -> CaseResult {
        let result = CaseResult::new(self.id, self.group, "-", Outcome::Pass);
        match (self.run)(target, seed) {
            Ok(Verdict::Ran(findings)) => result.with_findings(findings),
            Ok(Verdict::Unsupported(reason)) => CaseResult { outcome: Outcome::Unsupported, ..result }.because(reason),
            Err(error) => {
                result.with_findings(vec![Finding::new(crate::Check::Interface, format!("unexpected error: {error}"))])
            }
        }
    }
}

/// Every script of every profile.
pub fn all() -> Vec<Script> {
    [&crate::runtime::scripts()[..], crate::soak::SCRIPTS, crate::fault::SCRIPTS, crate::model::SCRIPTS].concat()
}
