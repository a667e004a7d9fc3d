//! `omnihal doctor`.

mod ascend;
mod selfcheck;

use super::devices;
use crate::failure::{Failure, Outcome};
use crate::open::BackendArgs;
use crate::{LOG, VERSION, host, output};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// Look at this machine and build, and check that the demo model gives its known tokens
///
/// Each finding says what it costs. Needs no files and no network.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal doctor
  omnihal doctor --backend reference
  omnihal doctor --json
  omnihal doctor --backend ascend --out report.json

Exit code 1 if the demo gives other tokens than it should, 3 if the backend has no device.")]
pub struct Doctor {
    #[command(flatten)]
    backend: BackendArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write everything that was found to this file, to send it: one JSON object
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    check: &'static str,
    found: String,
    /// What it costs, if anything.
    cost: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Finding { level: Level::Ok, check, found: found.into(), cost: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, cost: impl Into<String>) -> Self {
        Finding { level: Level::Warn, check, found: found.into(), cost: Some(cost.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, cost: impl Into<String>) -> Self {
        Finding { level: Level::Fail, ..Finding::warn(check, found, cost) }
    }
}

#[derive(Serialize)]
struct Report {
    pass: bool,
    version: &'static str,
    backend: String,
    findings: Vec<Finding>,
    /// What the backend says of its installation, if it looks at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    installation: Option<ascend::Installation>,
}

impl Doctor {
    pub fn run(self) -> Result<Outcome, Failure> {
        let installation = ascend::look(&self.backend.backend);
        let device = match self.backend.open() {
            Err(failure) if installation.is_some() => {
                // Without a device there is still what is missing.
                self.tell(Report::new(&self.backend, Vec::new(), installation))?;
                return Err(failure);
            }
            opened => opened?,
        };
        let mut findings = vec![build()];
        findings.extend(environment());
        findings.push(threads());
        findings.extend(load());
        findings.push(extensions(&device.info().name));
        findings.push(memory());
        findings.extend(backends());
        findings.extend(selfcheck::run(&self.backend)?);
        self.tell(Report::new(&self.backend, findings, installation))
    }

    /// Prints the report, and writes it if asked to.
    fn tell(&self, report: Report) -> Result<Outcome, Failure> {
        if let Some(file) = &self.out {
            let text =
                serde_json::to_string_pretty(&report).map_err(|e| Failure::input(format!("cannot write JSON: {e}")))?;
            std::fs::write(file, text + "\n").map_err(|e| Failure::input(format!("--out {}: {e}", file.display())))?;
        }
        match self.json {
            true => output::json(&report)?,
            false => output::text(report.table())?,
        }
        Ok(Outcome::of(report.pass))
    }
}

impl Report {
    fn new(backend: &BackendArgs, mut findings: Vec<Finding>, installation: Option<ascend::Installation>) -> Self {
        findings.extend(installation.iter().flat_map(ascend::Installation::findings));
        let no_device = installation.as_ref().is_some_and(|found| !found.device());
        let pass = !no_device && findings.iter().all(|f| f.level != Level::Fail);
        Report { pass, version: VERSION, backend: backend.backend.clone(), findings, installation }
    }

    fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        for finding in &self.findings {
            let level = match finding.level {
                Level::Ok => "ok  ",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            let _ = writeln!(out, "{level}  {:<12} {}", finding.check, finding.found);
            if let Some(cost) = &finding.cost {
                let _ = writeln!(out, "      {:<12} -> {cost}", "");
            }
        }
        let verdict = if self.pass { "healthy" } else { "not healthy" };
        let _ = writeln!(out, "{verdict}: backend {}", self.backend);
        out
    }
}

fn build() -> Finding {
    match cfg!(debug_assertions) {
        false => Finding::ok("build", VERSION),
        true => Finding::warn(
            "build",
            format!("{VERSION}, with debug assertions"),
            "checks inside the kernels take time: build with --release to measure",
        ),
    }
}

/// Variables of this program's name.
const KNOWN: [&str; 5] =
    [LOG, host::THREADS, "OMNIHAL_ASCEND_TOOLKIT", "OMNIHAL_ASCEND_FUSED", "OMNIHAL_ASCEND_CUSTOM_SHA256"];

fn environment() -> Vec<Finding> {
    let ours = std::env::vars().filter(|(name, _)| name.starts_with("OMNIHAL_"));
    let finding = |(name, value): (String, String)| match KNOWN.contains(&name.as_str()) {
        true => Finding::ok("environment", format!("{name}={value}")),
        false => Finding::warn(
            "environment",
            format!("{name} is set and means nothing"),
            format!("it has no effect; the variables are {}", KNOWN.join(", ")),
        ),
    };
    let mut found: Vec<Finding> = ours.map(finding).collect();
    if found.is_empty() {
        found.push(Finding::ok("environment", format!("none of {} is set", KNOWN.join(", "))));
    }
    found
}

fn threads() -> Finding {
    let (asked, offered) = (host::threads(), host::parallelism());
    let found = format!("{asked} of {offered} that the system offers");
    match asked {
        n if n > offered => {
            Finding::warn("threads", found, "threads wait for each other: ask for no more than offered")
        }
        n if n < offered => Finding::warn("threads", found, "prompts are read more slowly than they could be"),
        _ => Finding::ok("threads", found),
    }
}

fn load() -> Option<Finding> {
    let (load, offered) = (host::load()?, host::parallelism());
    let found = format!("{load:.1} programs on {offered} processors over the last minute");
    Some(match load > offered as f64 {
        true => Finding::warn("load", found, "other work takes time from this: do not trust measured speeds"),
        false => Finding::ok("load", found),
    })
}

fn extensions(device: &str) -> Finding {
    let found = match host::extensions() {
        Some(list) => format!("{}; device {device}", list.join(" ")),
        None => format!("not told by this system; device {device}"),
    };
    match device.contains("portable kernels") {
        true => Finding::warn("processor", found, "no hand-written kernels for it: the portable ones run"),
        false => Finding::ok("processor", found),
    }
}

/// The demo with everything around it takes far less.
const LITTLE: u64 = 1 << 30;

fn memory() -> Finding {
    let (Some(total), Some(free)) = (host::memory(), host::available_memory()) else {
        return Finding::ok("memory", "not told by this system");
    };
    let found = format!("{} of {} available", output::bytes(free), output::bytes(total));
    match free < LITTLE {
        true => Finding::warn("memory", found, "only small models load; see `omnihal plan`"),
        false => Finding::ok("memory", found),
    }
}

fn backends() -> Vec<Finding> {
    let finding = |found: devices::Found| match (&found.error, found.devices.first()) {
        (Some(error), _) => {
            Finding::warn("backend", format!("{}: {error}", found.backend), "its devices cannot be used")
        }
        (None, Some(device)) => Finding::ok("backend", format!("{}: {}", device.device, device.name)),
        (None, None) => Finding::warn(
            "backend",
            format!("{}: no device", found.backend),
            "it cannot be used; `omnihal devices` shows where it looked",
        ),
    };
    devices::find().into_iter().map(finding).collect()
}
