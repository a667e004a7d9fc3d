//! All files of a report in one folder.

use super::bundle::{self, HTML, JUNIT, REPORT, STATEMENT};
use super::diff::Diff;
use super::{MustPass, Report, ReportError, html, junit};
use crate::waiver::Waiver;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The bundle's file.
pub const BUNDLE: &str = "bundle.tar.zst";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Every file.
    pub files: Vec<PathBuf>,
    /// The run yields a statement.
    pub stated: bool,
}

/// Writes `report.json`, `junit.xml`, `report.html`, `bundle.tar.zst`, and `statement.txt` if the run yields one, into a folder
/// that it makes. `since` is shown in the page. The statement of an earlier run does not stay beside a run that yields none.
pub fn publish(
    folder: &Path,
    report: &Report,
    lists: &MustPass,
    waivers: &[Waiver],
    since: Option<&Diff>,
) -> Result<Published, ReportError> {
    std::fs::create_dir_all(folder).map_err(ReportError::io(folder))?;
    let mut files = Vec::new();
    let mut write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(ReportError::io(&path))?;
        files.push(path);
        Ok::<(), ReportError>(())
    };
    let old = folder.join(STATEMENT);
    match std::fs::remove_file(&old) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(ReportError::io(&old)(e)),
        _ => {}
    }
    // The report first: whatever the rest comes to, the results are there.
    write(REPORT, &report.to_json()?)?;
    write(JUNIT, junit::xml(report).as_bytes())?;
    let page = html::page(report, since);
    write(HTML, page.as_bytes())?;
    let (packed, statement) = bundle::to_bytes(report, lists, waivers, &page)?;
    write(BUNDLE, &packed)?;
    if let Some(text) = &statement {
        write(STATEMENT, text.as_bytes())?;
    }
    Ok(Published { files, stated: statement.is_some() })
}
