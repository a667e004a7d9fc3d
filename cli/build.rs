//! Puts the commit and the features of a build into `omnihal --version`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    println!("cargo::rustc-env=OMNIHAL_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    // A commit moves HEAD itself, or the branch that HEAD names.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    let files = ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    for file in files.filter_map(|f| git(&["rev-parse", "--git-path", f])) {
        rerun_on(Path::new(&file));
    }
    println!("cargo::rerun-if-changed=build.rs");
    let features = ["cuda", "ascend", "cambricon"];
    let on = features.into_iter().filter(|f| std::env::var_os(format!("CARGO_FEATURE_{}", f.to_uppercase())).is_some());
    let on = on.collect::<Vec<_>>().join(",");
    println!("cargo::rustc-env=OMNIHAL_FEATURES={}", if on.is_empty() { "none" } else { &on });
}

/// A file that is not there would make every build run this script again.
fn rerun_on(file: &Path) {
    if file.exists() {
        let file = file.canonicalize().unwrap_or_else(|_| PathBuf::from(file));
        println!("cargo::rerun-if-changed={}", file.display());
    }
}
