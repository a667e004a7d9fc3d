//! Where plug-ins are found, and where they never are.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal_abi::{Discovery, discover_with};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A home, a system folder, a folder of plug-ins.
struct World {
    root: TempDir,
}

impl World {
    fn new() -> Self {
        World { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn discover(&self, variables: &[(&str, OsString)]) -> Discovery {
        let var = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.clone());
        discover_with(&var, &self.path("etc"))
    }
}

fn found(discovery: &Discovery) -> Vec<&Path> {
    discovery.candidates.iter().map(|c| c.path.as_path()).collect()
}

#[test]
fn files_and_folders_of_the_variable_come_first_and_once() {
    let world = World::new();
    let (a, b) = (world.file("plugins/a.so", ""), world.file("plugins/b.so", ""));
    world.file("plugins/readme.txt", "");
    let named = world.file("other/named", "");
    let manifest = format!(r#"{{"file": "{}", "abi": "0.1"}}"#, a.display());
    world.file("etc/omnihal/plugins.d/a.json", &manifest);
    let list = std::env::join_paths([&named, &world.path("plugins"), &b]).unwrap();
    let discovery = world.discover(&[("OMNIHAL_PLUGIN_PATH", list)]);
    assert_eq!(found(&discovery), [named, a, b]);
    assert_eq!(discovery.problems, [] as [&str; 0]);
}

#[test]
fn manifests_of_the_user_come_before_those_of_the_system() {
    let world = World::new();
    let (user, system) = (world.file("u.so", ""), world.file("s.so", ""));
    let digits = "0f".repeat(32);
    let json = |file: &Path, more: &str| format!(r#"{{"file": "{}", "abi": "0.2"{more}}}"#, file.display());
    world.file("home/.config/omnihal/plugins.d/x.json", &json(&user, &format!(r#", "sha256": "{digits}""#)));
    let manifest = world.file("etc/omnihal/plugins.d/x.json", &json(&system, ""));
    let discovery = world.discover(&[("HOME", world.path("home").into())]);
    assert_eq!(found(&discovery), [user, system]);
    assert_eq!(discovery.candidates[0].sha256, Some(digits));
    assert_eq!(discovery.candidates[1].from, manifest.display().to_string());
    let elsewhere =
        world.discover(&[("HOME", world.path("home").into()), ("XDG_CONFIG_HOME", world.path("xdg").into())]);
    assert_eq!(elsewhere.candidates.len(), 1, "XDG_CONFIG_HOME takes the place of ~/.config");
    assert_eq!(elsewhere.searched.len(), 3);
}

#[test]
fn broken_manifests_are_named_and_hide_no_other() {
    let world = World::new();
    let good = world.file("good.so", "");
    let cases = [
        ("a", "{".to_owned(), "is not"),
        ("b", r#"{"file": "relative.so", "abi": "0.2"}"#.to_owned(), "expected a full path"),
        ("c", r#"{"file": "/x.so", "abi": "1.0"}"#.to_owned(), "says interface `1.0`"),
        ("d", r#"{"file": "/x.so", "abi": "0.2", "sha256": "12"}"#.to_owned(), "has the SHA-256 `12`"),
        ("e", r#"{"file": "/x.so", "abi": "0.2", "surprise": 1}"#.to_owned(), "unknown field `surprise`"),
        ("f", " ".repeat(70_000), "has 70000 bytes"),
        ("g", r#"{"file": "/x.so"}"#.to_owned(), "missing field `abi`"),
    ];
    for (name, text, _) in &cases {
        world.file(&format!("etc/omnihal/plugins.d/{name}.json"), text);
    }
    world.file("etc/omnihal/plugins.d/z.json", &format!(r#"{{"file": "{}", "abi": "0.9"}}"#, good.display()));
    let discovery = world.discover(&[]);
    assert_eq!(found(&discovery), [good]);
    assert_eq!(discovery.problems.len(), cases.len());
    for (problem, (name, _, words)) in discovery.problems.iter().zip(&cases) {
        assert!(problem.contains(&format!("{name}.json")) && problem.contains(words), "{problem}");
    }
}

#[test]
fn the_current_directory_is_never_searched() {
    let world = World::new();
    let discovery = world.discover(&[
        ("OMNIHAL_PLUGIN_PATH", ":.:plugins:./x.so:".into()),
        ("XDG_CONFIG_HOME", ".".into()),
        ("HOME", "".into()),
    ]);
    assert_eq!(discovery.candidates, []);
    assert_eq!(discovery.problems.len(), 3, "{:?}", discovery.problems);
    assert!(discovery.problems.iter().all(|p| p.contains("is not absolute")));
    assert_eq!(
        discovery.searched.last().unwrap(),
        &format!("{}/*.json", world.path("etc/omnihal/plugins.d").display())
    );
}
