//! `omnihal devices`.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::plugins;
use clap::Args;
use omnihal::{DeviceInfo, Probe};
use serde::Serialize;
use std::fmt::Write;

/// List every backend of this build, its devices, and what was searched for them
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal devices
  omnihal devices --json

A backend without a device is not an error: the exit code is 0.")]
pub struct Devices {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// What one backend found.
#[derive(Serialize)]
pub struct Found {
    /// Name, as given to `--backend`.
    pub backend: &'static str,
    /// Its devices.
    pub devices: Vec<FoundDevice>,
    /// Where it looked.
    pub searched: Vec<String>,
    /// Why the search failed, if it did.
    pub error: Option<String>,
}

/// One device.
#[derive(Serialize)]
pub struct FoundDevice {
    /// As given to `--backend`.
    pub device: String,
    /// What the vendor calls it.
    pub name: String,
    /// Bytes, if the vendor tells.
    pub memory: Option<u64>,
    /// Driver and libraries.
    pub versions: Vec<(String, String)>,
}

/// Asks every backend.
pub fn find() -> Vec<Found> {
    let found = |(backend, probe): (&'static str, omnihal::Result<Probe>)| match probe {
        Ok(probe) => Found {
            backend,
            devices: probe.devices.iter().map(device).collect(),
            searched: probe.searched,
            error: None,
        },
        Err(error) => Found { backend, devices: vec![], searched: vec![], error: Some(error.to_string()) },
    };
    plugins::found().registry.probe_all().into_iter().map(found).collect()
}

fn device(info: &DeviceInfo) -> FoundDevice {
    FoundDevice {
        device: format!("{}:{}", info.backend, info.index),
        name: info.name.clone(),
        memory: info.memory,
        versions: info.versions.clone(),
    }
}

impl Devices {
    pub fn run(self) -> Result<Outcome, Failure> {
        let found = find();
        match self.json {
            true => output::json(&found)?,
            false => output::text(table(&found) + &plug_ins())?,
        }
        Ok(Outcome::Good)
    }
}

/// Where plug-ins were looked for, and which could not be used.
fn plug_ins() -> String {
    let found = plugins::found();
    let searched = found.searched.iter().map(|place| format!("  searched {place}\n"));
    let problems = found.problems.iter().map(|problem| format!("  left out {problem}\n"));
    format!("plug-ins\n{}", searched.chain(problems).collect::<String>())
}

fn table(found: &[Found]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for backend in found {
        let _ = writeln!(out, "{}", backend.backend);
        for device in &backend.devices {
            let memory = device.memory.map_or(String::new(), |bytes| format!(", {}", output::bytes(bytes)));
            let versions: String =
                device.versions.iter().map(|(what, version)| format!(", {what} {version}")).collect();
            let _ = writeln!(out, "  {:<14} {}{memory}{versions}", device.device, device.name);
        }
        if let Some(error) = &backend.error {
            let _ = writeln!(out, "  the search failed: {error}");
        } else if backend.devices.is_empty() {
            let _ = writeln!(out, "  no device");
        }
        for place in &backend.searched {
            let _ = writeln!(out, "  searched {place}");
        }
    }
    out
}
