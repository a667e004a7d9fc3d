//! `bundle.tar.zst`: a report with all that is needed to check it without the device.
//!
//! | file | |
//! |---|---|
//! | `report.json` | the report |
//! | `waivers.json` | the waivers of the run |
//! | `must-pass/<profile>.txt` | the must-pass lists |
//! | `outputs/<sha256 of the case's name>/<argument>.bin` | elements of an output in view order, where they were kept |
//! | `junit.xml`, `report.html` | for reading |
//! | `statement.txt` | only of a conformant run on a device |
//! | `MANIFEST.sha256` | SHA-256 and name of every other file, sorted by name |
//!
//! The same run gives the same bytes: files are sorted and carry no times, owners or modes of their own.

mod read;
mod write;

pub use read::{Bundle, open, read};
pub use write::{contents_sha256, to_bytes, write};

use crate::Profile;
use sha2::{Digest, Sha256};

/// The report.
pub const REPORT: &str = "report.json";
/// The waivers.
pub const WAIVERS: &str = "waivers.json";
/// The report for build servers.
pub const JUNIT: &str = "junit.xml";
/// The report for people.
pub const HTML: &str = "report.html";
/// The statement.
pub const STATEMENT: &str = "statement.txt";
/// Hashes of all other files.
pub const MANIFEST: &str = "MANIFEST.sha256";

/// Longest name of a file in a bundle: what a plain tar header holds.
const MAX_NAME: usize = 100;
/// Longest name of an argument.
const MAX_ARG: usize = 20;

/// The file of a must-pass list.
pub fn list_name(profile: Profile) -> String {
    format!("must-pass/{profile}.txt")
}

/// The file of an output, if the argument's name can be part of one.
pub fn output_name(id: &str, arg: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fits = (1..=MAX_ARG).contains(&arg.len()) && arg.bytes().all(plain);
    fits.then(|| format!("outputs/{}/{arg}.bin", super::hex(&Sha256::digest(id))))
}

/// A manifest of named hashes, which are sorted by name.
fn manifest<'a>(hashes: impl IntoIterator<Item = (&'a str, String)>) -> String {
    hashes.into_iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
}
