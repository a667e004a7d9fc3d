//! What happens in the child process: the plug-in is loaded and gently used, each step announced before it is taken.

use super::{LoadError, import};
use crate::{Imported, Importer};
use omnihal::{Backend, MemoryKind};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Starts a line that announces a step.
pub(super) const STAGE: &str = "omnihal-plugin-stage: ";
/// Starts the line with the outcome.
pub(super) const OUTCOME: &str = "omnihal-plugin-outcome: ";

/// Bytes of the trial allocation.
const TRIAL_BYTES: usize = 4096;
/// Wait for an empty stream. The parent's limit is what ends a plug-in that hangs.
const TRIAL_WAIT: Duration = Duration::from_secs(10);

/// What a plug-in showed of itself in the child process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Name.
    pub name: String,
    /// The plug-in's own version.
    pub version: String,
    /// Version of the interface that it was built for.
    pub abi: (u32, u32),
    /// Optional functions that it does not have.
    pub missing_functions: Vec<String>,
    /// Devices found. The first was opened, allocated from, and given a stream.
    pub devices: Vec<ProbedDevice>,
    /// Where it looked for devices.
    pub searched: Vec<String>,
}

/// A device that a plug-in found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbedDevice {
    /// Index.
    pub index: usize,
    /// What the vendor calls it.
    pub name: String,
    /// Bytes of memory, if the vendor tells.
    pub memory: Option<u64>,
}

/// The end of a trial, as the parent reads it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    Fine(ProbeReport),
    Refused { stage: String, reason: String },
}

/// What a program does when it is started by a [`super::ProbeCommand`]: tries the plug-in and prints the outcome. The program should do
/// nothing else and end with the code that this returns.
pub fn probe_child(path: &Path) -> ExitCode {
    let mut trial = Trial { stage: String::new() };
    let outcome = match trial.run(path) {
        Ok(report) => Outcome::Fine(report),
        Err(reason) => Outcome::Refused { stage: trial.stage, reason },
    };
    let code = match outcome {
        Outcome::Fine(_) => ExitCode::SUCCESS,
        Outcome::Refused { .. } => ExitCode::FAILURE,
    };
    match serde_json::to_string(&outcome) {
        Ok(line) if say(OUTCOME, &line) => code,
        _ => ExitCode::FAILURE,
    }
}

/// Prints a line of its own, even if the plug-in printed half a line before. False if nobody reads.
fn say(start: &str, text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{start}{text}").and_then(|()| out.flush()).is_ok()
}

struct Trial {
    stage: String,
}

impl Trial {
    fn enter(&mut self, stage: &str) {
        stage.clone_into(&mut self.stage);
        say(STAGE, stage);
    }

    fn run(&mut self, path: &Path) -> Result<ProbeReport, String> {
        let text = |e: omnihal::Error| e.to_string();
        self.enter("it was loaded");
        let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
        let backend = import(path, (meta.dev(), meta.ino()), Importer::new()).map_err(|error| match error {
            LoadError::Refused { stage, reason, .. } => {
                self.stage = stage;
                reason
            }
            other => other.to_string(),
        })?;
        self.enter("it looked for devices");
        let probe = backend.probe().map_err(text)?;
        if !probe.devices.is_empty() {
            self.device(&backend).map_err(text)?;
        }
        let devices = probe.devices.into_iter();
        Ok(ProbeReport {
            name: backend.name().to_owned(),
            version: backend.version().to_owned(),
            abi: backend.abi(),
            missing_functions: backend.missing_functions().iter().map(|f| (*f).to_owned()).collect(),
            devices: devices.map(|d| ProbedDevice { index: d.index, name: d.name, memory: d.memory }).collect(),
            searched: probe.searched,
        })
    }

    fn device(&mut self, backend: &Imported) -> omnihal::Result<()> {
        self.enter("device 0 was opened");
        let device = backend.open(0)?;
        self.enter("memory was allocated");
        let buffer = device.alloc(TRIAL_BYTES, MemoryKind::Device)?;
        self.enter("memory was freed");
        drop(buffer);
        self.enter("a stream was made");
        let stream = device.stream()?;
        self.enter("an empty stream was waited for");
        stream.sync(TRIAL_WAIT)?;
        self.enter("a stream was destroyed");
        drop(stream);
        self.enter("an event was made and destroyed");
        drop(device.event()?);
        self.enter("the device was closed");
        drop(device);
        Ok(())
    }
}
