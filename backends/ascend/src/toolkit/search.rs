//! Where the vendor's libraries lie. Nothing is opened here.

use crate::sys::table::Library;
use omnihal_runtime::search::LibrarySearch;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names a CANN installation, and is then the only place that is looked at.
pub const EXPLICIT: &str = "OMNIHAL_ASCEND_TOOLKIT";

/// Variables that CANN's `set_env.sh` sets.
const VARIABLES: &[(&str, &str)] = &[("ASCEND_TOOLKIT_HOME", "lib64"), ("ASCEND_HOME_PATH", "lib64")];

/// Where the CANN installer puts libraries for root.
const DEFAULTS: &[&str] = &["/usr/local/Ascend/ascend-toolkit/latest/lib64"];

/// A list of vendors is a line or two; a larger file is something else.
const CONFIG_LIMIT: u64 = 64 << 10;

/// Reads a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The runtime.
    pub acl: PathBuf,
    /// The base of the operator interface.
    pub base: PathBuf,
    /// The operators: the umbrella and its parts, in lookup order.
    pub operators: Vec<PathBuf>,
    /// The collectives, if installed.
    pub hccl: Option<PathBuf>,
    /// Operators of other packages, in order of preference.
    pub custom: Vec<PathBuf>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// The files, if everything that a device needs is there.
    pub files: Option<Files>,
    /// Every place looked at, in order, in words.
    pub searched: Vec<String>,
}

/// Searches with variables as `env` gives them.
pub fn locate(env: Env<'_>) -> Located {
    let mut searched = Vec::new();
    let files = acl(env, &mut searched).and_then(|acl| installation(env, acl, &mut searched));
    Located { files, searched }
}

fn set(env: Env<'_>, name: &str) -> Option<OsString> {
    env(name).filter(|value| !value.is_empty())
}

fn acl(env: Env<'_>, searched: &mut Vec<String>) -> Option<PathBuf> {
    let library = Library::AscendCl.files()[0];
    let Some(home) = set(env, EXPLICIT) else {
        searched.push(format!("${EXPLICIT} (not set)"));
        let found = LibrarySearch { library, variables: VARIABLES, defaults: DEFAULTS }.run_with(env);
        searched.extend(found.searched);
        return found.path;
    };
    let file = Path::new(&home).join("lib64").join(library);
    let there = file.is_file();
    let end = if there { "found" } else { "not there, and no other place is looked at" };
    searched.push(format!("{} from ${EXPLICIT} ({end})", file.display()));
    there.then_some(file)
}

/// The other libraries beside the runtime: those of another installation could be of another release.
fn installation(env: Env<'_>, acl: PathBuf, searched: &mut Vec<String>) -> Option<Files> {
    let folder = acl.parent()?.to_path_buf();
    let mut beside = |name: &str, needed: bool| {
        let file = folder.join(name);
        let there = file.is_file();
        if there || needed {
            searched.push(format!("{}{}", file.display(), if there { " (found)" } else { "" }));
        }
        there.then_some(file)
    };
    let base = beside(Library::NnopBase.files()[0], true)?;
    let operators: Vec<_> = Library::OpApi.files().iter().filter_map(|name| beside(name, false)).collect();
    if operators.is_empty() {
        beside(Library::OpApi.files()[0], true)?;
    }
    let hccl = beside(Library::Hccl.files()[0], false);
    let custom = custom(env, searched);
    Some(Files { acl, base, operators, hccl, custom })
}

/// Packages of operators, in the order in which CANN itself prefers them.
fn custom(env: Env<'_>, searched: &mut Vec<String>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = set(env, "ASCEND_CUSTOM_OPP_PATH") {
        let named = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
        folders.extend(named.map(|folder| (folder, "ASCEND_CUSTOM_OPP_PATH")));
    }
    match set(env, "ASCEND_OPP_PATH") {
        Some(path) => {
            let vendors = Path::new(&path).join("vendors");
            let names = vendor_names(&vendors.join("config.ini"));
            folders.extend(names.into_iter().map(|name| (vendors.join(name), "ASCEND_OPP_PATH")));
        }
        None => searched
            .push("$ASCEND_OPP_PATH (not set: no operator can be prepared without it; source set_env.sh)".to_owned()),
    }
    let mut found = Vec::new();
    for (folder, variable) in folders {
        let file = folder.join("op_api/lib").join(Library::CustOpApi.files()[0]);
        let there = file.is_file();
        searched.push(format!("{} from ${variable}{}", file.display(), if there { " (found)" } else { "" }));
        if there && !found.contains(&file) {
            found.push(file);
        }
    }
    found
}

/// The vendors of `load_priority=a,b`. A name that is more than one folder's is left out.
fn vendor_names(config: &Path) -> Vec<String> {
    let mut text = String::new();
    let read = std::fs::File::open(config).and_then(|file| file.take(CONFIG_LIMIT).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let list = text.lines().find_map(|line| line.trim().strip_prefix("load_priority")?.trim_start().strip_prefix('='));
    let names = list.unwrap_or_default().split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty() && *name != ".." && *name != "." && !name.contains('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
