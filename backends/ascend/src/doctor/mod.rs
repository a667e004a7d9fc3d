//! What a look at an installation finds, for people and for a report of theirs: places, versions, what is missing and what that costs, self-checks, and which assumptions of this backend they
//! settle. Works without an installation: then it says what is missing.

mod assumptions;
mod files;

pub use crate::selfcheck::Check;
pub use assumptions::{Assumption, State};

use crate::context::Context;
use crate::device::FUSED;
use crate::ops::fused::ALL;
use crate::selfcheck;
use crate::sys::table::{Library, Profile, functions};
use crate::toolkit::search::{Env, locate};
use crate::toolkit::{Toolkit, VOUCHED};
use omnihal::Result;
use std::sync::Arc;

/// What is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub what: String,
    /// What cannot be done, or is slower, without it.
    pub cost: String,
}

/// Everything that a look found.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// Places looked at, in order.
    pub searched: Vec<String>,
    /// Names and values: versions, the chip, files.
    pub found: Vec<(String, String)>,
    /// What is not there.
    pub missing: Vec<Missing>,
    /// Self-checks of fused operators.
    pub checks: Vec<Check>,
    /// Assumptions, and how they stand.
    pub assumptions: Vec<Assumption>,
    /// True if a device could be opened.
    pub device: bool,
}

impl Examination {
    fn found(&mut self, what: &str, value: impl Into<String>) {
        self.found.push((what.to_owned(), value.into()));
    }

    fn missing(&mut self, what: impl Into<String>, cost: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), cost: cost.into() });
    }
}

/// Looks at the installation that the environment names, and at one device of it.
pub fn examine(index: usize) -> Examination {
    examine_with(&|name| std::env::var_os(name), index)
}

fn examine_with(env: Env<'_>, index: usize) -> Examination {
    let mut all = Examination::default();
    let located = locate(env);
    all.searched = located.searched;
    files::look(env, &mut all);
    match located.files {
        None => all.missing(
            "CANN: no libascendcl.so with its operators",
            "no Ascend device can be used: install CANN and source its set_env.sh",
        ),
        Some(files) => match crate::toolkit(env, &files) {
            Err(error) => all.missing(error.message(), "no Ascend device can be used"),
            Ok(toolkit) => {
                let toolkit = Arc::new(toolkit);
                describe(&mut all, &toolkit);
                if let Err(error) = device(&mut all, &toolkit, index, env) {
                    all.missing(format!("device {index}: {error}"), "it cannot be used");
                }
            }
        },
    }
    all.assumptions = assumptions::judged(&all);
    all
}

/// Versions, the chip, and what of the table is there.
fn describe(all: &mut Examination, toolkit: &Toolkit) {
    all.found.extend(toolkit.versions.iter().cloned());
    all.found("chip", format!("{} ({:?})", toolkit.soc.0, toolkit.soc.1));
    all.found("devices", toolkit.devices.to_string());
    for why in &toolkit.left_out {
        all.missing(why.clone(), "their operators are composed of plain ones");
    }
    let symbols = |resolved: Vec<(&'static str, Result<&std::path::Path>)>| {
        let missing: Vec<_> = resolved.iter().filter(|(_, found)| found.is_err()).map(|(name, _)| *name).collect();
        (resolved.len(), missing)
    };
    let mut count = |profile: Profile, cost: &str, (total, missing): (usize, Vec<&str>)| {
        all.found(&format!("operators of {profile:?}"), format!("{} of {total}", total - missing.len()));
        if !missing.is_empty() {
            all.missing(format!("{profile:?}: {}", missing.join(", ")), cost);
        }
    };
    count(Profile::Core, "what needs them cannot run on the device", symbols(toolkit.core.resolve()));
    if let Some(fused) = &toolkit.fused {
        count(Profile::Fused91, "what they would serve is composed", symbols(fused.resolve()));
    }
    match &toolkit.vllm {
        Some(vllm) => count(Profile::Vllm023, "what they would serve is composed", symbols(vllm.resolve())),
        None => all.missing(
            format!(
                "{} of vllm-ascend 0.23.0 (a build of one's own is named by ${VOUCHED})",
                Library::CustOpApi.files()[0]
            ),
            "router and hyper-connections of Atlas A2 and A3 are composed where CANN has no operator for them",
        ),
    }
    if toolkit.hccl.is_none() {
        all.missing(Library::Hccl.files()[0], "one device at a time: no collectives");
    }
}

/// Opens a device and runs the self-checks on it.
fn device(all: &mut Examination, toolkit: &Arc<Toolkit>, index: usize, env: Env<'_>) -> Result<()> {
    let context = Arc::new(Context::new(toolkit.clone(), index)?);
    all.device = true;
    if let Ok((free, total)) = crate::memory::free_and_total(&context) {
        all.found("memory", format!("{free} of {total} bytes free"));
    }
    if let crate::device::FusedMode::Off = crate::device::FusedMode::of(env) {
        all.missing(format!("fused operators, which ${FUSED} turns off"), "everything is composed of plain operators");
        return Ok(());
    }
    all.checks = selfcheck::all(&context);
    for fused in ALL {
        if let Err(error) = fused.offered(toolkit) {
            all.missing(
                format!("{}: {error}", fused.name()),
                format!("{} is composed, or run by another", fused.kind.name()),
            );
        }
    }
    for check in all.checks.clone() {
        if let Some(why) = check.refused {
            all.missing(format!("{}: {why}", check.by), format!("{} is composed, or run by another", check.op));
        }
    }
    Ok(())
}

/// Operators whose signatures nothing of the vendor's but documents, or nothing at all, shows.
fn unsure_signatures() -> Vec<(&'static str, crate::sys::table::Evidence)> {
    use crate::sys::table::Evidence::{Docs, Inferred};
    let rows = functions().into_iter().filter(|row| matches!(row.evidence, Docs | Inferred));
    let mut all: Vec<_> = rows.filter_map(|row| Some((row.operator?, row.evidence))).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_installation_the_look_says_what_is_missing_and_leaves_every_assumption_open() {
        let all = examine_with(&|_| None, 0);
        assert!(!all.device);
        assert!(all.searched.iter().any(|place| place.contains("OMNIHAL_ASCEND_TOOLKIT")));
        assert!(all.missing.iter().any(|missing| missing.cost.contains("install CANN")), "{:?}", all.missing);
        assert!(all.assumptions.len() > 15);
        assert!(all.assumptions.iter().all(|one| one.state == State::Open), "{:?}", all.assumptions);
    }
}
