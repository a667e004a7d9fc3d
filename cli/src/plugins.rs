//! Backends of this build and plug-ins: what `--backend` can name.

use crate::failure::Failure;
use omnihal::Device;
use omnihal_abi::{Candidate, Discovery, LoadOptions, Loaded, ProbeCommand, discover};
use omnihal_runtime::registry::Registry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longest time that opening a plug-in's device may take when it is tried: drivers that load firmware need seconds.
const PROBE_TIME: Duration = Duration::from_secs(60);

/// Every backend that was found.
pub struct Found {
    /// Backends of this build, then plug-ins.
    pub registry: Registry,
    /// Where plug-ins were looked for.
    pub searched: Vec<String>,
    /// What was found and cannot be used, and why.
    pub problems: Vec<String>,
}

/// Looks for plug-ins once and loads them for good.
pub fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| {
        let Discovery { candidates, searched, problems } = discover();
        let mut found = Found { registry: omnihal_backends::registry(), searched, problems };
        for candidate in candidates {
            match load(&candidate) {
                Ok(loaded) => found.add(loaded),
                Err(why) => {
                    found.problems.push(format!("{} (from {}): {why}", candidate.path.display(), candidate.from))
                }
            }
        }
        for problem in &found.problems {
            tracing::warn!("a plug-in is left out: {problem}");
        }
        found
    })
}

impl Found {
    fn add(&mut self, loaded: Loaded) {
        let name = omnihal::Backend::name(&loaded.backend);
        if self.registry.names().any(|known| known == name) {
            let path = loaded.path.display();
            self.problems.push(format!("{path}: it is called `{name}`, and so is another backend: the first is kept"));
            return;
        }
        self.registry = std::mem::take(&mut self.registry).with(Box::new(loaded.backend));
    }
}

fn load(candidate: &Candidate) -> Result<Loaded, String> {
    let probe = probe_command().map_err(|e| e.message().to_owned())?;
    let options = LoadOptions { probe: Some(probe), sha256: candidate.sha256.clone(), ..LoadOptions::default() };
    omnihal_abi::load(&candidate.path, &options).map_err(|e| e.to_string())
}

/// How this program tries a plug-in in a child process.
pub fn probe_command() -> Result<ProbeCommand, Failure> {
    let program = std::env::current_exe().map_err(Failure::device)?;
    Ok(ProbeCommand { program, args: vec!["plugin-probe".into()], limit: PROBE_TIME })
}

/// The full path of a plug-in.
pub fn full_path(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|e| Failure::input(format!("plug-in {}: {e}", path.display())))
}

/// True if what was given for `--backend` is the path of a file and no name.
pub fn is_path(text: &str) -> bool {
    text.contains(std::path::MAIN_SEPARATOR)
}

/// Opens the first device of the plug-in at a path.
pub fn open(path: &Path) -> Result<Arc<dyn Device>, Failure> {
    let options = LoadOptions { probe: Some(probe_command()?), ..LoadOptions::default() };
    let loaded = omnihal_abi::load(&full_path(path)?, &options).map_err(Failure::device)?;
    // Hosts keep a backend for the rest of the process: its library is never unloaded.
    let backend = Box::leak(Box::new(loaded.backend));
    Ok(omnihal::Backend::open(backend, 0)?)
}
