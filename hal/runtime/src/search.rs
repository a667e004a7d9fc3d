//! Where a vendor library is looked for. Nothing is opened here: a backend that finds the file opens it by its full path.

use omnihal::{Error, ErrorKind, Probe};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The dynamic loader's usual folders on 64-bit Linux, after `LD_LIBRARY_PATH`; the multiarch ones are Debian's.
const LOADER_FOLDERS: [&str; 8] = [
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib",
    "/usr/local/lib",
];

/// A search for one library: first below the vendor's variables, then where the loader looks, then in default install folders.
#[derive(Clone, Copy, Debug)]
pub struct LibrarySearch<'a> {
    /// File name, such as `libcuda.so.1`.
    pub library: &'a str,
    /// Variables that name an installation, and the folder below it that holds libraries.
    pub variables: &'a [(&'a str, &'a str)],
    /// Folders where the vendor installs by default.
    pub defaults: &'a [&'a str],
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The first file of that name.
    pub path: Option<PathBuf>,
    /// Every place looked at, in order, in words for a reader who expected to find something there.
    pub searched: Vec<String>,
}

impl LibrarySearch<'_> {
    /// Searches with the process's environment.
    pub fn run(&self) -> Found {
        self.run_with(&|name| std::env::var_os(name))
    }

    /// Searches with variables as `var` gives them.
    pub fn run_with(&self, var: &dyn Fn(&str) -> Option<OsString>) -> Found {
        let mut found = Found::default();
        for (name, below) in self.variables {
            match var(name).filter(|value| !value.is_empty()) {
                Some(home) => self.look(&mut found, &Path::new(&home).join(below), Some(name)),
                None => found.searched.push(format!("${name} (not set)")),
            }
        }
        match var("LD_LIBRARY_PATH").filter(|value| !value.is_empty()) {
            // An empty part would stand for the current directory, from which nothing is ever loaded.
            Some(path) => std::env::split_paths(&path)
                .filter(|folder| !folder.as_os_str().is_empty())
                .for_each(|folder| self.look(&mut found, &folder, Some("LD_LIBRARY_PATH"))),
            None => found.searched.push("$LD_LIBRARY_PATH (not set)".to_owned()),
        }
        for folder in LOADER_FOLDERS.iter().chain(self.defaults) {
            // Folders of other systems are not worth a reader's time.
            if Path::new(folder).is_dir() {
                self.look(&mut found, Path::new(folder), None);
            }
        }
        found
    }

    fn look(&self, found: &mut Found, folder: &Path, variable: Option<&str>) {
        if found.path.is_some() {
            return;
        }
        let file = folder.join(self.library);
        let from = variable.map(|name| format!(" from ${name}")).unwrap_or_default();
        if file.is_file() {
            found.searched.push(format!("{}{from} (found)", file.display()));
            found.path = Some(file);
        } else {
            found.searched.push(format!("{}{from}", file.display()));
        }
    }
}

/// The probe of a backend that can find its libraries and does not drive a device yet: it looks for each of them, up to the first
/// that is missing, and reports no device either way.
pub fn look_only(libraries: &[LibrarySearch<'_>]) -> Probe {
    let mut searched = Vec::new();
    for library in libraries {
        let found = library.run();
        searched.extend(found.searched);
        if found.path.is_none() {
            return Probe { devices: Vec::new(), searched };
        }
    }
    searched.push("nothing further: this version does not open the libraries it found".to_owned());
    Probe { devices: Vec::new(), searched }
}

/// The answer of a backend that has no device to open.
pub fn no_device(searched: &[String]) -> Error {
    Error::new(ErrorKind::NotFound, format!("no device: searched {}", searched.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SEARCH: LibrarySearch<'_> = LibrarySearch {
        library: "libomnihal-search-test.so.1",
        variables: &[("FIRST_HOME", "lib64"), ("SECOND_HOME", "lib")],
        defaults: &[],
    };

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("omnihal-search-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib").join(SEARCH.library), b"").unwrap();
        folder
    }

    #[test]
    fn a_missing_library_names_every_place_in_search_order() {
        let found = SEARCH.run_with(&|name| (name == "SECOND_HOME").then(|| "/nowhere".into()));
        assert_eq!(found.path, None);
        assert_eq!(found.searched[0], "$FIRST_HOME (not set)");
        assert_eq!(found.searched[1], "/nowhere/lib/libomnihal-search-test.so.1 from $SECOND_HOME");
        assert_eq!(found.searched[2], "$LD_LIBRARY_PATH (not set)");
        let error = no_device(&found.searched);
        assert!(error.message().starts_with("no device: searched $FIRST_HOME (not set), "), "{error}");
    }

    #[test]
    fn the_first_place_that_has_the_library_wins() {
        let (home, path) = (scratch("home"), scratch("path"));
        let found = SEARCH.run_with(&|name| match name {
            "SECOND_HOME" => Some(home.clone().into()),
            "LD_LIBRARY_PATH" => Some(path.join("lib").into()),
            _ => None,
        });
        assert_eq!(found.path, Some(home.join("lib").join(SEARCH.library)));
        fs::remove_dir_all(home).unwrap();
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn the_current_directory_is_never_searched() {
        let found = SEARCH.run_with(&|name| (name == "LD_LIBRARY_PATH").then(|| ":/nowhere:".into()));
        let from_path: Vec<_> = found.searched.iter().filter(|s| s.contains("LD_LIBRARY_PATH")).collect();
        assert_eq!(from_path, ["/nowhere/libomnihal-search-test.so.1 from $LD_LIBRARY_PATH"]);
    }
}
