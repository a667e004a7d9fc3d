//! Reading bundles that may come from anyone.

use super::{HTML, JUNIT, MANIFEST, MAX_NAME, REPORT, STATEMENT, WAIVERS, contents_sha256, output_name};
use crate::report::json::{MAX_REPORT, read_file, too_large};
use crate::report::{MustPass, Report, ReportError, hex};
use crate::waiver::{self, Waiver};
use omnihal::DType;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

/// Largest bundle that is read, packed.
const MAX_PACKED: u64 = 1 << 30;
/// Largest bundle, unpacked: ten thousand cases with two outputs of 32 KiB take two thirds of it.
pub(super) const MAX_UNPACKED: u64 = 1 << 30;
/// Every bundle may unpack to this much, and beyond it to `MAX_RATIO` times what it takes packed: the random name of the file
/// of an output alone takes 32 bytes packed, and the largest output 64 KiB.
const FREE_UNPACKED: u64 = 64 << 20;
const MAX_RATIO: u64 = 2048;
/// Window of the decoder, as a power of two: what the kit's level asks for, with room.
const WINDOW_LOG: u32 = 25;
/// A header in an archive, and what contents are filled up to.
const BLOCK: u64 = 512;
/// Most files of a bundle.
const MAX_FILES: usize = 500_000;
/// Largest file for reading, list or waiver file.
const MAX_TEXT: u64 = 64 << 20;
/// Outputs of up to this size are kept whole.
pub(crate) const MAX_OUTPUT: u64 = 64 << 10;

type Files = BTreeMap<String, Vec<u8>>;

/// A bundle whose files are those of its manifest, and whose outputs are those of its report.
#[derive(Debug)]
pub struct Bundle {
    /// The report. Its outputs hold their bytes where they were kept.
    pub report: Report,
    /// The must-pass lists that it brought.
    pub lists: MustPass,
    /// The waivers that it brought.
    pub waivers: Vec<Waiver>,
    /// The statement, if it brought one.
    pub statement: Option<String>,
    /// SHA-256 of the contents that a statement speaks of.
    pub contents: String,
}

/// Opens a bundle's file.
pub fn open(path: &Path) -> Result<Bundle, ReportError> {
    read(&read_file(path, MAX_PACKED)?)
}

/// Reads a bundle: sizes first, then hashes, then what the files say.
pub fn read(bytes: &[u8]) -> Result<Bundle, ReportError> {
    let mut files = unpack(bytes)?;
    let hashes = check_manifest(&files)?;
    let contents = contents_sha256(hashes.iter().map(|(n, h)| (n.as_str(), h.clone())));
    let mut report = Report::from_json(files.get(REPORT).ok_or_else(|| missing(REPORT))?)?;
    let waivers = waiver::parse(files.get(WAIVERS).ok_or_else(|| missing(WAIVERS))?)?;
    let statement = files.get(STATEMENT).map(|b| utf8(STATEMENT, b).map(str::to_owned)).transpose()?;
    let texts = files.iter().filter(|(name, _)| name.starts_with("must-pass/"));
    let texts: Vec<&str> = texts.map(|(name, bytes)| utf8(name, bytes)).collect::<Result<_, _>>()?;
    let lists = MustPass::parse(texts)?;
    let expected = lists.profiles().map(super::list_name).collect::<BTreeSet<_>>();
    let mut known: BTreeSet<String> = [REPORT, WAIVERS, JUNIT, HTML, STATEMENT, MANIFEST].map(str::to_owned).into();
    known.extend(expected);
    take_outputs(&mut report, &mut files, &mut known)?;
    if let Some(extra) = files.keys().find(|name| !known.contains(*name)) {
        return Err(ReportError::Integrity(format!("file `{extra}` belongs to nothing in the report")));
    }
    for name in [JUNIT, HTML] {
        files.get(name).ok_or_else(|| missing(name))?;
    }
    Ok(Bundle { report, lists, waivers, statement, contents })
}

fn missing(name: &str) -> ReportError {
    ReportError::Integrity(format!("file `{name}` is missing"))
}

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, ReportError> {
    std::str::from_utf8(bytes).map_err(|e| ReportError::malformed(name, e.to_string()))
}

/// Every file of the archive. No more is unpacked than the limits allow, whatever the headers say.
fn unpack(bytes: &[u8]) -> Result<Files, ReportError> {
    let packed = bytes.len() as u64;
    too_large("bundle", packed, MAX_PACKED)?;
    let limit = FREE_UNPACKED.max(packed.saturating_mul(MAX_RATIO)).min(MAX_UNPACKED);
    let bad = |e: std::io::Error| ReportError::malformed("bundle", format!("cannot be unpacked: {e}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(bad)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(bad)?;
    let mut archive = tar::Archive::new(decoder.take(limit));
    let mut files = Files::new();
    let mut left = limit;
    // Raw: names and sizes are those of the plain headers, and extensions are refused as what they are.
    for entry in archive.entries().map_err(bad)?.raw(true) {
        let mut entry = entry.map_err(bad)?;
        let name = check_entry(&entry)?;
        let size = entry.size();
        too_large(&format!("file `{name}` of the bundle"), size, file_limit(&name))?;
        let taken = BLOCK + size.next_multiple_of(BLOCK);
        if taken > left || files.len() >= MAX_FILES {
            let why =
                format!("unpacks to more than {limit} bytes or {MAX_FILES} files, far above what its size explains");
            return Err(ReportError::malformed("bundle", why));
        }
        left -= taken;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(bad)?;
        if content.len() as u64 != size {
            return Err(ReportError::Integrity(format!("file `{name}` ends before its {size} bytes")));
        }
        if files.insert(name.clone(), content).is_some() {
            return Err(ReportError::Integrity(format!("file `{name}` stands there twice")));
        }
    }
    check_tail(archive.into_inner()).map(|()| files)
}

/// Nothing may lie behind the last file, where no hash covers it.
fn check_tail(mut archive: io::Take<zstd::Decoder<'_, &[u8]>>) -> Result<(), ReportError> {
    let hidden = || ReportError::Integrity("bytes lie behind the last file".to_owned());
    let mut chunk = [0; 4096];
    loop {
        match archive.read(&mut chunk).map_err(|_| hidden())? {
            0 => break,
            n if chunk[..n].iter().any(|b| *b != 0) => return Err(hidden()),
            _ => {}
        }
    }
    if archive.into_inner().finish().is_empty() { Ok(()) } else { Err(hidden()) }
}

/// The name of an entry: a plain file, with a relative name without tricks.
fn check_entry<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String, ReportError> {
    let raw = entry.path_bytes();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    let shown: String = String::from_utf8_lossy(&raw).chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if !entry.header().entry_type().is_file() {
        return Err(ReportError::Integrity(format!("entry `{shown}` is no plain file")));
    }
    let parts_plain = raw.split(|b| *b == b'/').all(|part| !part.is_empty() && part[0] != b'.');
    if raw.len() > MAX_NAME || !raw.iter().all(|b| plain(*b)) || !parts_plain {
        return Err(ReportError::Integrity(format!("entry `{shown}` has a name that no bundle gives a file")));
    }
    Ok(shown)
}

fn file_limit(name: &str) -> u64 {
    match name {
        REPORT => MAX_REPORT,
        WAIVERS => waiver::MAX_FILE,
        _ if name.starts_with("outputs/") => MAX_OUTPUT,
        _ => MAX_TEXT,
    }
}

/// Hashes of all files but the manifest, which must list exactly these.
fn check_manifest(files: &Files) -> Result<Vec<(String, String)>, ReportError> {
    let text = utf8(MANIFEST, files.get(MANIFEST).ok_or_else(|| missing(MANIFEST))?)?;
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        let (hash, name) = line
            .split_once("  ")
            .ok_or_else(|| ReportError::malformed(MANIFEST, "a line is not `<sha256>  <name>`"))?;
        if listed.insert(name, hash).is_some() {
            return Err(ReportError::Integrity(format!("{MANIFEST} lists `{name}` twice")));
        }
    }
    let mut hashes = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| *name != MANIFEST) {
        let hash = hex(&Sha256::digest(bytes));
        match listed.remove(name.as_str()) {
            None => return Err(ReportError::Integrity(format!("file `{name}` is not in {MANIFEST}"))),
            Some(wanted) if wanted != hash => {
                let why = format!("file `{name}` has SHA-256 {hash}, {MANIFEST} says {wanted}");
                return Err(ReportError::Integrity(why));
            }
            Some(_) => hashes.push((name.clone(), hash)),
        }
    }
    match listed.keys().next() {
        Some(name) => Err(missing(name)),
        None => Ok(hashes),
    }
}

/// Moves the files of outputs into the report. An output that is small enough to be kept must be there.
fn take_outputs(report: &mut Report, files: &mut Files, known: &mut BTreeSet<String>) -> Result<(), ReportError> {
    let Report { results, soak, fault, .. } = report;
    for case in results.iter_mut().chain(soak).chain(fault) {
        for output in &mut case.outputs {
            let what = || format!("output `{}` of `{}`", output.arg, case.id);
            let name = output_name(&case.id, &output.arg)
                .ok_or_else(|| ReportError::malformed(what(), "has a name that no argument has"))?;
            let size = output_bytes(&output.dtype, &output.shape)
                .ok_or_else(|| ReportError::malformed(what(), "has no type and shape that can be held"))?;
            if !known.insert(name.clone()) {
                return Err(ReportError::malformed(what(), "stands there twice"));
            }
            if size > MAX_OUTPUT {
                if files.contains_key(&name) {
                    return Err(ReportError::malformed(what(), "is too large to be kept, yet has a file"));
                }
                continue;
            }
            let bytes = files.remove(&name).ok_or_else(|| missing(&name))?;
            let hash = hex(&Sha256::digest(&bytes));
            if bytes.len() as u64 != size || hash != output.sha256 {
                let why = format!(
                    "{}: its file has {} bytes and SHA-256 {hash}, the report says {size} bytes and {}",
                    what(),
                    bytes.len(),
                    output.sha256
                );
                return Err(ReportError::Integrity(why));
            }
            output.bytes = Some(bytes);
        }
    }
    Ok(())
}

/// Bytes of a tensor without gaps, if its type is known and its size no overflow.
pub(super) fn output_bytes(dtype: &str, shape: &[usize]) -> Option<u64> {
    let dtype = DType::ALL.into_iter().find(|t| t.name() == dtype)?;
    let elements = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    Some(dtype.checked_bytes(elements)? as u64)
}
