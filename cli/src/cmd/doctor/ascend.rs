//! What the Ascend backend says of its installation, where it is in the build.
#![cfg_attr(not(feature = "ascend"), allow(dead_code, reason = "no backend of this build fills it in"))]

use super::Finding;
use serde::Serialize;

/// An installation, as it is written to a report.
#[derive(Debug, Default, Serialize)]
pub struct Installation {
    device: bool,
    searched: Vec<String>,
    found: Vec<[String; 2]>,
    missing: Vec<Missing>,
    self_checks: Vec<SelfCheck>,
    assumptions: Vec<Assumption>,
    environment: Vec<[String; 2]>,
}

/// What is not there, and what that costs.
#[derive(Debug, Serialize)]
struct Missing {
    what: String,
    cost: String,
}

/// What a fused operator did.
#[derive(Debug, Serialize)]
struct SelfCheck {
    op: &'static str,
    by: String,
    refused: Option<String>,
}

/// What is taken for true, and how it stands.
#[derive(Debug, Serialize)]
struct Assumption {
    what: String,
    from: &'static str,
    state: &'static str,
    by: String,
}

impl Installation {
    /// True if a device could be opened.
    pub fn device(&self) -> bool {
        self.device
    }

    /// Lines for the table.
    pub fn findings(&self) -> Vec<Finding> {
        let mut lines: Vec<_> = self.searched.iter().map(|place| Finding::ok("searched", place)).collect();
        lines.extend(self.found.iter().map(|[what, value]| Finding::ok("found", format!("{what}: {value}"))));
        lines.extend(self.missing.iter().map(|missing| Finding::warn("missing", &missing.what, &missing.cost)));
        let passed = self.self_checks.iter().filter(|check| check.refused.is_none());
        lines.extend(passed.map(|check| Finding::ok("self-check", format!("{} by {}", check.op, check.by))));
        lines.extend(self.assumptions.iter().map(|one| {
            let words = format!("{}: {} ({})", one.state, one.what, one.from);
            match one.state {
                "closed" => Finding::ok("assumption", words),
                _ => Finding::warn("assumption", words, format!("settled by {}", one.by)),
            }
        }));
        lines
    }
}

/// Looks, if the backend is Ascend's and in this build.
#[cfg(feature = "ascend")]
pub fn look(backend: &str) -> Option<Installation> {
    use omnihal_backends::ascend::{State, examine};
    let (name, index) = backend.split_once(':').unwrap_or((backend, "0"));
    let found = (name == "ascend").then(|| examine(index.parse().unwrap_or(0)))?;
    let state = |state| match state {
        State::Open => "open",
        State::Closed => "closed",
        State::Refuted => "refuted",
    };
    let ours = |name: &str| ["OMNIHAL_", "ASCEND_", "HCCL_", "ACL_"].iter().any(|start| name.starts_with(start));
    let variables =
        std::env::vars_os().map(|(name, value)| [name, value].map(|part| part.to_string_lossy().into_owned()));
    Some(Installation {
        device: found.device,
        searched: found.searched,
        found: found.found.into_iter().map(|(what, value)| [what, value]).collect(),
        missing: found.missing.into_iter().map(|one| Missing { what: one.what, cost: one.cost }).collect(),
        self_checks: found.checks.into_iter().map(|c| SelfCheck { op: c.op, by: c.by, refused: c.refused }).collect(),
        assumptions: found
            .assumptions
            .into_iter()
            .map(|one| Assumption { what: one.what, from: one.from, state: state(one.state), by: one.by })
            .collect(),
        environment: variables.filter(|[name, _]| ours(name)).collect(),
    })
}

/// Nothing to look at.
#[cfg(not(feature = "ascend"))]
pub fn look(_: &str) -> Option<Installation> {
    None
}
