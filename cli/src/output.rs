//! Writing results to stdout. A reader that goes away, as `head` does, ends the program in silence.

use crate::failure::Failure;
use serde::Serialize;
use std::io::Write;

/// Writes text as it is, at once.
pub fn text(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref().as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::output(&e))
}

/// Writes one JSON value on one line.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(|e| Failure::input(format!("cannot write JSON: {e}")))?;
    text(line + "\n")
}

/// Binary bytes for people.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = value as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}
