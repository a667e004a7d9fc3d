//! Where plug-ins are looked for: what the user names, then manifest folders. Never the current directory.

use crate::ABI_MAJOR;
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Files and folders, absolute, parted by `:`.
const VARIABLE: &str = "OMNIHAL_PLUGIN_PATH";
/// Below a configuration folder.
const MANIFESTS: &str = "omnihal/plugins.d";
/// The system's configuration folder.
const SYSTEM: &str = "/etc";
/// A manifest has three short fields.
const MANIFEST_BYTES: u64 = 1 << 16;

/// A plug-in that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its file.
    pub path: PathBuf,
    /// What led to it: the variable, or a manifest.
    pub from: String,
    /// What its SHA-256 must be, if the manifest says so.
    pub sha256: Option<String>,
}

/// What a search for plug-ins found. Nothing is loaded yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Plug-ins, in order of preference, each file once.
    pub candidates: Vec<Candidate>,
    /// Every place looked at.
    pub searched: Vec<String>,
    /// What was found and cannot be used, and why.
    pub problems: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    file: PathBuf,
    abi: String,
    sha256: Option<String>,
}

/// Looks for plug-ins: the files and folders of `OMNIHAL_PLUGIN_PATH`, then `omnihal/plugins.d/*.json` below `$XDG_CONFIG_HOME` (or
/// `~/.config`) and below `/etc`.
pub fn discover() -> Discovery {
    discover_with(&|name| std::env::var_os(name), Path::new(SYSTEM))
}

/// [`discover`] with variables as `var` gives them and another folder in place of `/etc`.
pub fn discover_with(var: &dyn Fn(&str) -> Option<OsString>, system: &Path) -> Discovery {
    let mut found = Discovery::default();
    let given = |name: &str| var(name).filter(|value| !value.is_empty());
    match given(VARIABLE) {
        Some(list) => std::env::split_paths(&list).for_each(|path| found.named(&path)),
        None => found.searched.push(format!("${VARIABLE} (not set)")),
    }
    let own = given("XDG_CONFIG_HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let own = own.or_else(|| given("HOME").map(|home| Path::new(&home).join(".config")).filter(|p| p.is_absolute()));
    for home in own.iter().map(PathBuf::as_path).chain([system]) {
        found.manifests(&home.join(MANIFESTS));
    }
    found
}

/// Files of a folder with this extension, by name.
fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Discovery {
    fn add(&mut self, path: PathBuf, from: String, sha256: Option<String>) {
        if !self.candidates.iter().any(|c| c.path == path) {
            self.candidates.push(Candidate { path, from, sha256 });
        }
    }

    /// A part of the variable.
    fn named(&mut self, path: &Path) {
        if path.as_os_str().is_empty() {
            return;
        }
        self.searched.push(format!("{} from ${VARIABLE}", path.display()));
        if !path.is_absolute() {
            self.problems.push(format!("`{}` from ${VARIABLE} is not absolute: give the full path", path.display()));
        } else if path.is_dir() {
            match files(path, "so") {
                Ok(files) => files.into_iter().for_each(|file| self.add(file, format!("${VARIABLE}"), None)),
                Err(error) => self.problems.push(format!("folder `{}` cannot be read: {error}", path.display())),
            }
        } else if path.is_file() {
            self.add(path.to_owned(), format!("${VARIABLE}"), None);
        } else {
            self.problems.push(format!("`{}` from ${VARIABLE} does not exist", path.display()));
        }
    }

    fn manifests(&mut self, folder: &Path) {
        self.searched.push(format!("{}/*.json", folder.display()));
        let Ok(manifests) = files(folder, "json") else { return };
        for manifest in manifests {
            match read_manifest(&manifest) {
                Ok((path, sha256)) => self.add(path, manifest.display().to_string(), sha256),
                Err(reason) => self.problems.push(format!("manifest `{}` {reason}", manifest.display())),
            }
        }
    }
}

/// File and checksum of a manifest.
fn read_manifest(path: &Path) -> Result<(PathBuf, Option<String>), String> {
    let size = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if size > MANIFEST_BYTES {
        return Err(format!("has {size} bytes, expected at most {MANIFEST_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|e| format!("is not {{\"file\", \"abi\", \"sha256\"}}: {e}"))?;
    if !manifest.file.is_absolute() {
        return Err(format!("names the file `{}`, expected a full path", manifest.file.display()));
    }
    let major = manifest.abi.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major != Some(ABI_MAJOR) {
        return Err(format!("says interface `{}`, expected `{ABI_MAJOR}.x`", manifest.abi));
    }
    match &manifest.sha256 {
        Some(digits) if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Err(format!("has the SHA-256 `{digits}`, expected 64 hexadecimal digits"))
        }
        _ => Ok((manifest.file, manifest.sha256)),
    }
}
