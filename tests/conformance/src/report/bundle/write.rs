//! Writing bundles.

use super::read::{MAX_OUTPUT, MAX_UNPACKED, output_bytes};
use super::{HTML, JUNIT, MANIFEST, REPORT, STATEMENT, WAIVERS, list_name, manifest, output_name};
use crate::report::json::too_large;
use crate::report::{MustPass, Report, ReportError, hex, junit, statement};
use crate::waiver::{self, Waiver};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Strong enough to halve what the default leaves of JSON, still faster than the disk of a build server.
const LEVEL: i32 = 9;

type Files<'a> = BTreeMap<String, Cow<'a, [u8]>>;

/// SHA-256 of the contents that a statement speaks of: of the manifest without the statement's own line.
pub fn contents_sha256<'a>(hashes: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let others = hashes.into_iter().filter(|(name, _)| !matches!(*name, STATEMENT | MANIFEST));
    hex(&Sha256::digest(manifest(others)))
}

/// A bundle's bytes, and the statement if the run yields one. `html` is the page that was made of the report.
pub fn to_bytes(
    report: &Report,
    lists: &MustPass,
    waivers: &[Waiver],
    html: &str,
) -> Result<(Vec<u8>, Option<String>), ReportError> {
    let mut files = Files::new();
    files.insert(REPORT.into(), report.to_json()?.into());
    files.insert(WAIVERS.into(), waiver::to_json(waivers)?.into());
    files.insert(JUNIT.into(), junit::xml(report).into_bytes().into());
    files.insert(HTML.into(), html.as_bytes().into());
    for profile in lists.profiles() {
        files.insert(list_name(profile), lists.text(profile).into_bytes().into());
    }
    add_outputs(report, &mut files)?;
    let hashes = |files: &Files<'_>| -> Vec<(String, String)> {
        files.iter().map(|(name, bytes)| (name.clone(), hex(&Sha256::digest(bytes)))).collect()
    };
    let contents = contents_sha256(hashes(&files).iter().map(|(n, h)| (n.as_str(), h.clone())));
    let statement = statement::text(report, &contents).ok();
    if let Some(text) = &statement {
        files.insert(STATEMENT.into(), text.clone().into_bytes().into());
    }
    let listed = manifest(hashes(&files).iter().map(|(n, h)| (n.as_str(), h.clone())));
    files.insert(MANIFEST.into(), listed.into_bytes().into());
    Ok((pack(&files)?, statement))
}

/// Writes a bundle's file. Returns the statement if the run yields one.
pub fn write(
    path: &Path,
    report: &Report,
    lists: &MustPass,
    waivers: &[Waiver],
    html: &str,
) -> Result<Option<String>, ReportError> {
    let (bytes, statement) = to_bytes(report, lists, waivers, html)?;
    std::fs::write(path, bytes).map_err(ReportError::io(path))?;
    Ok(statement)
}

fn add_outputs<'a>(report: &'a Report, files: &mut Files<'a>) -> Result<(), ReportError> {
    for case in report.cases() {
        for output in &case.outputs {
            let bad = |why: String| ReportError::malformed(format!("outputs of `{}`", case.id), why);
            let small = output_bytes(&output.dtype, &output.shape).is_none_or(|size| size <= MAX_OUTPUT);
            let Some(bytes) = output.bytes.as_ref().filter(|_| small) else {
                if small {
                    return Err(bad(format!("argument `{}` is small enough to be kept and has no bytes", output.arg)));
                }
                continue;
            };
            let name = output_name(&case.id, &output.arg)
                .ok_or_else(|| bad(format!("argument `{}` cannot be the name of a file", output.arg)))?;
            if files.insert(name, bytes.as_slice().into()).is_some() {
                return Err(bad(format!("argument `{}` stands there twice", output.arg)));
            }
        }
    }
    Ok(())
}

fn pack(files: &Files<'_>) -> Result<Vec<u8>, ReportError> {
    too_large("bundle", files.values().map(|b| b.len() as u64).sum(), MAX_UNPACKED)?;
    let failed = |e: std::io::Error| ReportError::malformed("bundle", format!("cannot be packed: {e}"));
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
    let mut archive = tar::Builder::new(encoder);
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, name, bytes.as_ref()).map_err(failed)?;
    }
    archive.into_inner().and_then(|encoder| encoder.finish()).map_err(failed)
}
