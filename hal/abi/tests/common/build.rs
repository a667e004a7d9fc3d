//! Compiles the plug-ins of the tests. A compiler that is not there fails the test.
#![allow(clippy::unwrap_used, dead_code, reason = "test helpers; each test file uses some of them")]

use std::path::{Path, PathBuf};
use std::process::Command;

pub fn crate_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compiles a source into `folder/name`, with every warning an error.
pub fn compile(compiler: &str, include: &Path, source: &Path, flags: &[&str], output: &Path) {
    let standard = if compiler == "c++" { ["-xc++", "-std=c++17"] } else { ["-xc", "-std=c11"] };
    let run = Command::new(compiler)
        .args(standard)
        .args(["-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fPIC", "-O1"])
        .arg("-I")
        .arg(include)
        .arg(source)
        .args(["-xnone", "-o"])
        .arg(output)
        .args(flags)
        .output()
        .unwrap_or_else(|e| panic!("{compiler} does not start: {e}"));
    assert!(run.status.success(), "{compiler} {flags:?}:\n{}", String::from_utf8_lossy(&run.stderr));
}

/// The small plug-in, broken as the switches say.
pub fn plugin(compiler: &str, include: &Path, switches: &[&str], folder: &Path) -> PathBuf {
    let output = folder.join(format!("plugin-{compiler}-{}.so", switches.join("-")));
    let defines: Vec<_> = switches.iter().map(|s| format!("-D{s}")).collect();
    let flags: Vec<_> = ["-shared"].into_iter().chain(defines.iter().map(String::as_str)).collect();
    compile(compiler, include, &crate_file("tests/plugins/plugin.c"), &flags, &output);
    output
}
