//! The tables of planted mistakes.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

/// A changed kernel.
pub struct Mutant {
    pub id: String,
    pub family: String,
    pub file: String,
    old: String,
    new: String,
    pub what: String,
}

/// The case that a mistake fails, and in which order of threads.
#[derive(Clone)]
pub struct Killer {
    pub order: String,
    pub case: String,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/mutants"))
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// The mistakes of the wanted families, or of all.
pub fn mutants(wanted: &[String]) -> Result<Vec<Mutant>, Box<dyn Error>> {
    let mut all = Vec::new();
    for family in omnihal_cuda::kernels::families().filter(|f| wanted.is_empty() || wanted.iter().any(|w| w == f)) {
        let text = std::fs::read_to_string(folder().join(format!("{family}.tsv")))
            .map_err(|e| format!("mutants/{family}.tsv: {e}"))?;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let [id, file, old, new, what] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(format!("mutants/{family}.tsv: `{line}` has not five columns").into());
            };
            let (old, new) = (unescape(old), unescape(new));
            all.push(Mutant {
                id: id.to_owned(),
                family: family.to_owned(),
                file: file.to_owned(),
                old,
                new,
                what: what.to_owned(),
            });
        }
    }
    Ok(all)
}

impl Mutant {
    /// The text with the mistake in it.
    pub fn plant(&self, text: &str) -> Result<String, String> {
        match text.matches(self.old.as_str()).count() {
            1 => Ok(text.replacen(self.old.as_str(), &self.new, 1)),
            n => Err(format!("{}: the old text occurs {n} times in {}, expected once", self.id, self.file)),
        }
    }
}

/// Which case kills which mistake.
pub fn killers() -> Result<BTreeMap<String, Killer>, Box<dyn Error>> {
    let text = match std::fs::read_to_string(folder().join("killed.tsv")) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let one = |line: &str| match line.split('\t').collect::<Vec<_>>()[..] {
        [id, order, case] => Ok((id.to_owned(), Killer { order: order.to_owned(), case: case.to_owned() })),
        _ => Err(format!("mutants/killed.tsv: `{line}` has not three columns").into()),
    };
    text.lines().filter(|line| !line.starts_with('#')).map(one).collect()
}

/// Writes what [`killers`] reads.
pub fn write_killers(all: &BTreeMap<String, Killer>) -> std::io::Result<()> {
    let mut text = String::from(
        "# Planted mistake, order of threads, the case that it fails. Written by `cargo run -p omnihal-cuda --example mutants -- --find`.\n",
    );
    for (id, killer) in all {
        text += &format!("{id}\t{}\t{}\n", killer.order, killer.case);
    }
    std::fs::write(folder().join("killed.tsv"), text)
}
