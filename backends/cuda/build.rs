//! Lists the kernel files, so that a new one need not be named anywhere.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("kernels");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let is = |path: &Path, wanted: &[&str]| path.extension().is_some_and(|ext| wanted.iter().any(|w| ext == *w));
    let (mut headers, mut families) = (String::new(), String::new());
    for file in &files {
        let (name, stem) = (
            file.file_name().unwrap_or_default().to_string_lossy(),
            file.file_stem().unwrap_or_default().to_string_lossy(),
        );
        if is(file, &["cu"]) {
            writeln!(families, "    ({stem:?}, include_str!({file:?})),")?;
        } else if is(file, &["cuh", "h"]) {
            writeln!(headers, "    ({name:?}, include_str!({file:?})),")?;
        }
    }
    let text = format!(
        "pub(crate) const HEADERS: &[(&str, &str)] = &[\n{headers}];\npub(crate) const FAMILIES: &[(&str, &str)] = &[\n{families}];\n"
    );
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("kernels.rs"), text)?;
    Ok(())
}
