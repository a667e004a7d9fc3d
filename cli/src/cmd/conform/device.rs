//! The device to judge: a backend of this build, or a plug-in.

use crate::failure::Failure;
use crate::plugins;
use clap::{Args, ValueEnum};
use omnihal::{Backend, Device, Probe, Result};
use omnihal_abi::LoadOptions;
use omnihal_conformance::Target;
use omnihal_conformance::report::{DeviceFacts, PluginFacts};
use omnihal_runtime::TierLimit;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// Which device to judge.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Backend of this build, or backend:index
    #[arg(long, value_name = "NAME", default_value = "cpu", conflicts_with = "plugin")]
    pub backend: String,
    /// Plug-in: a vendor's shared library
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,
    /// Index of the plug-in's device
    #[arg(long, value_name = "N", default_value_t = 0, requires = "plugin")]
    pub device: usize,
    /// Judge the backend through the C table that a plug-in would have
    #[arg(long, conflicts_with = "plugin")]
    pub through_table: bool,
    /// Run fused operators as sequences of the device's smaller ones: those that it lacks, or all
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "missing")]
    pub compose: Option<Compose>,
}

/// Which fused operators are composed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compose {
    /// Those that the device lacks.
    Missing,
    /// All.
    All,
}

impl Compose {
    fn name(self) -> &'static str {
        match self {
            Compose::Missing => "missing",
            Compose::All => "all",
        }
    }

    fn limit(self) -> TierLimit {
        match self {
            Compose::Missing => TierLimit::All,
            Compose::All => TierLimit::Core,
        }
    }
}

/// One backend out of those found.
struct Registered(&'static str);

impl Backend for Registered {
    fn name(&self) -> &'static str {
        self.0
    }

    fn probe(&self) -> Result<Probe> {
        plugins::found().registry.get(self.0)?.probe()
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        plugins::found().registry.get(self.0)?.open(index)
    }
}

/// A backend by `name` or `name:index`.
fn registered(text: &str) -> std::result::Result<(Registered, usize), Failure> {
    let (name, index) = text.split_once(':').unwrap_or((text, "0"));
    let index = index.parse().map_err(|_| {
        Failure::input(format!("device `{text}` has index `{index}`, expected a number, as in `cpu:0`"))
    })?;
    let registry = &plugins::found().registry;
    let name =
        registry.get(name).map_err(|e| Failure::input(format!("{}; see `omnihal devices`", e.message())))?.name();
    Ok((Registered(name), index))
}

impl DeviceArgs {
    /// The same device on a worker's command line.
    pub fn to_command(&self, command: &mut Command) {
        match &self.plugin {
            Some(path) => {
                command.arg("--plugin").arg(path).arg("--device").arg(self.device.to_string());
            }
            None => {
                command.arg("--backend").arg(&self.backend);
            }
        }
        if self.through_table {
            command.arg("--through-table");
        }
        if let Some(compose) = self.compose {
            command.arg(format!("--compose={}", compose.name()));
        }
    }

    /// The same device as a person types it.
    pub fn to_words(&self) -> String {
        let table = if self.through_table { " --through-table" } else { "" };
        let compose = self.compose.map(|c| format!(" --compose={}", c.name())).unwrap_or_default();
        match &self.plugin {
            Some(path) if self.device == 0 => format!("--plugin '{}'{compose}", path.display()),
            Some(path) => format!("--plugin '{}' --device {}{compose}", path.display(), self.device),
            None => format!("--backend {}{table}{compose}", self.backend),
        }
    }

    /// Opens the device in this process. Only a worker, or a command that may die with it, should.
    pub fn open(&self) -> std::result::Result<(Target, DeviceFacts), Failure> {
        let (target, mut facts) = self.open_plain()?;
        let Some(compose) = self.compose else { return Ok((target, facts)) };
        facts.composed = Some(compose.name().to_owned());
        Ok((target.composing(compose.limit()), facts))
    }

    fn open_plain(&self) -> std::result::Result<(Target, DeviceFacts), Failure> {
        let Some(path) = &self.plugin else {
            let (backend, index) = registered(&self.backend)?;
            if !self.through_table {
                return Ok(with_facts(Target::open(Arc::new(backend), index)?, None, None));
            }
            let imported = omnihal_abi::through_table_with(Box::new(backend), omnihal_abi::Importer::new())?;
            let (abi, fallbacks) = (imported.abi(), imported.fallbacks());
            let target = Target::open(Arc::new(imported), index)?.watching(fallbacks);
            return Ok(with_facts(target, Some(abi), None));
        };
        let path = plugins::full_path(path)?;
        let loaded = omnihal_abi::load(&path, &LoadOptions::default()).map_err(Failure::device)?;
        let (abi, fallbacks) = (loaded.backend.abi(), loaded.backend.fallbacks());
        let bytes = std::fs::read(&path).map_err(|e| Failure::input(format!("{}: {e}", path.display())))?;
        let sha256 = omnihal_conformance::judge::hex(&Sha256::digest(&bytes));
        let plugin = PluginFacts { path: path.display().to_string(), sha256 };
        let target = Target::open(Arc::new(loaded.backend), self.device)?.watching(fallbacks);
        Ok(with_facts(target, Some(abi), Some(plugin)))
    }

    /// Tries a plug-in in a child process first, so that a broken one gets a clear word.
    pub fn probe(&self) -> std::result::Result<(), Failure> {
        let Some(path) = &self.plugin else { return registered(&self.backend).map(|_| ()) };
        let path = plugins::full_path(path)?;
        plugins::probe_command()?.run(&path).map(|_| ()).map_err(Failure::device)
    }
}

fn with_facts(target: Target, abi: Option<(u32, u32)>, plugin: Option<PluginFacts>) -> (Target, DeviceFacts) {
    let device = target.device();
    let mut facts = DeviceFacts::new(device.info(), device.caps());
    facts.abi = abi.map(|(major, minor)| format!("{major}.{minor}"));
    facts.plugin = plugin;
    // A loopback library says so itself, in its name or in the name of its device (docs/conformance.md).
    facts.stand_in = facts.name.contains("stand-in") || facts.backend.starts_with("fake_");
    (target, facts)
}
