use super::sample::{case, full, full_with, lists, output, waived, waiver};
use crate::outcome::OutputRecord;
use crate::report::bundle::{self, MANIFEST, REPORT, STATEMENT};
use crate::report::{Published, Report, ReportError, hex, publish};
use crate::{CaseResult, Outcome};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

type Files = BTreeMap<String, Vec<u8>>;

fn packed() -> Vec<u8> {
    bundle::to_bytes(&waived(), &lists(), &[waiver()], "<!doctype html>").unwrap().0
}

/// Files of a good bundle.
fn files() -> Files {
    let tar = zstd::decode_all(packed().as_slice()).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

/// The manifest that fits the files.
fn sign(files: &mut Files) {
    files.remove(MANIFEST);
    let lines = files.iter().map(|(n, b)| format!("{}  {n}\n", hex(&Sha256::digest(b))));
    let manifest: String = lines.collect();
    files.insert(MANIFEST.into(), manifest.into_bytes());
}

/// A header that says whatever it is told to, valid or not.
fn entry(name: &[u8], size: u64, kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn tar_of(files: &Files) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        tar.extend(entry(name.as_bytes(), bytes.len() as u64, tar::EntryType::Regular));
        tar.extend(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar
}

fn zip(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 3).unwrap()
}

fn pack(files: &Files) -> Vec<u8> {
    let mut tar = tar_of(files);
    tar.extend([0; 1024]);
    zip(&tar)
}

fn error(bytes: &[u8]) -> String {
    bundle::read(bytes).unwrap_err().to_string()
}

#[test]
fn a_bundle_opens_as_what_was_packed() {
    let read = bundle::read(&packed()).unwrap();
    assert_eq!(read.report, waived());
    assert_eq!((read.lists, read.waivers), (lists(), vec![waiver()]));
    assert!(read.statement.unwrap().contains(&read.contents));
    assert_eq!(read.report.results[1].outputs[0].bytes.as_ref().map(Vec::len), Some(16));
    bundle::read(&pack(&files())).unwrap();
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(packed(), packed());
}

#[test]
fn a_bundle_on_disk_opens_too_and_other_files_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.tar.zst");
    let statement = bundle::write(&path, &waived(), &lists(), &[waiver()], "").unwrap();
    assert_eq!(bundle::open(&path).unwrap().statement, statement);
    let missing = bundle::open(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, ReportError::Io { .. }) && missing.to_string().contains("none"));
}

#[test]
fn a_folder_holds_every_form_of_the_report_and_no_statement_of_an_earlier_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("new/folder");
    let names =
        |p: &Published| p.files.iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>();
    let good = publish(&at, &waived(), &lists(), &[waiver()], None).unwrap();
    assert!(good.stated);
    let all = ["report.json", "junit.xml", "report.html", "bundle.tar.zst", "statement.txt"];
    assert_eq!(names(&good), all);
    assert_eq!(Report::open(&good.files[0]).unwrap().verdicts, bundle::open(&good.files[3]).unwrap().report.verdicts);
    let bad = publish(&at, &full_with([case("gemm.linear/b", 4.0)]), &lists(), &[], None).unwrap();
    assert_eq!((names(&bad), bad.stated), (all[..4].iter().map(|n| (*n).to_owned()).collect(), false));
    assert!(!good.files[4].exists());
}

#[test]
fn only_conformant_runs_bring_a_statement() {
    let (bytes, statement) = bundle::to_bytes(&full_with([case("gemm.linear/b", 4.0)]), &lists(), &[], "").unwrap();
    assert_eq!(statement, None);
    assert_eq!(bundle::read(&bytes).unwrap().statement, None);
}

#[test]
fn every_changed_byte_of_every_file_is_found() {
    for name in files().keys() {
        let mut changed = files();
        let bytes = changed.get_mut(name).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        assert!(bundle::read(&pack(&changed)).is_err(), "{name}");
    }
}

#[test]
fn missing_and_extra_files_are_named() {
    for name in files().keys() {
        let mut less = files();
        less.remove(name);
        assert!(error(&pack(&less)).contains(name.as_str()), "{name}");
        sign(&mut less);
        let needed = !matches!(name.as_str(), STATEMENT | MANIFEST) && !name.starts_with("must-pass/");
        assert_eq!(bundle::read(&pack(&less)).is_err(), needed, "{name}, with a manifest that does not know it");
    }
    let mut more = files();
    more.insert("notes.txt".into(), b"trust me".to_vec());
    assert!(error(&pack(&more)).contains("`notes.txt` is not in MANIFEST.sha256"));
    sign(&mut more);
    assert!(error(&pack(&more)).contains("`notes.txt` belongs to nothing"));
}

#[test]
fn an_output_exchanged_with_its_hash_is_found_by_the_report() {
    let mut changed = files();
    let name = changed.keys().find(|n| n.starts_with("outputs/")).unwrap().clone();
    changed.insert(name, vec![9; 16]);
    sign(&mut changed);
    assert!(error(&pack(&changed)).contains("the report says 16 bytes and "));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["/etc/passwd", "../up", "outputs/../../up", "a/./b", "a//b", ".hidden", "a\\b", "C:x", "a b", "é", ""]
    {
        let mut tar = entry(name.as_bytes(), 0, tar::EntryType::Regular);
        tar.extend([0; 1024]);
        assert!(error(&zip(&tar)).contains("a name that no bundle gives a file"), "{name}");
    }
}

#[test]
fn only_plain_files_are_read() {
    use tar::EntryType as Kind;
    for kind in [
        Kind::Symlink,
        Kind::Link,
        Kind::Directory,
        Kind::Fifo,
        Kind::Block,
        Kind::GNULongName,
        Kind::XHeader,
        Kind::GNUSparse,
    ] {
        let mut tar = entry(b"report.json", 0, kind);
        tar.extend([0; 1024]);
        assert!(error(&zip(&tar)).contains("is no plain file"), "{kind:?}");
    }
}

#[test]
fn sizes_are_checked_before_anything_is_held() {
    for (name, size) in
        [("report.json", 1u64 << 40), ("outputs/x/y.bin", 65537), ("waivers.json", 5 << 20), ("x", u64::MAX / 2)]
    {
        let mut tar = entry(name.as_bytes(), size, tar::EntryType::Regular);
        tar.extend([0; 1024]);
        let error = bundle::read(&zip(&tar)).unwrap_err();
        assert!(matches!(error, ReportError::TooLarge { .. }), "{name}: {error}");
    }
    let mut short = entry(b"report.json", 4096, tar::EntryType::Regular);
    short.extend([0; 512]);
    assert!(error(&zip(&short)).contains("ends before its 4096 bytes"));
}

#[test]
fn a_bomb_is_left_packed() {
    let mut tar = Vec::new();
    for i in 0..40 {
        tar.extend(entry(format!("text{i}").as_bytes(), 2 << 20, tar::EntryType::Regular));
        tar.resize(tar.len() + (2 << 20), 0);
    }
    tar.extend([0; 1024]);
    let bomb = zip(&tar);
    assert!(bomb.len() < 32 << 10, "{}", bomb.len());
    assert!(error(&bomb).contains("far above what its size explains"));
}

#[test]
fn nothing_hides_behind_the_files() {
    let mut hidden = pack(&files());
    hidden.extend(b"more");
    assert!(error(&hidden).contains("behind the last file"));
    let mut tar = tar_of(&files());
    tar.extend([0; 1024]);
    tar.extend([7; 512]);
    assert!(error(&zip(&tar)).contains("behind the last file"));
}

#[test]
fn files_may_not_stand_there_twice() {
    let mut tar = tar_of(&files());
    let again: Files = files().into_iter().filter(|(n, _)| n == REPORT).collect();
    tar.extend(tar_of(&again));
    tar.extend([0; 1024]);
    assert!(error(&zip(&tar)).contains("`report.json` stands there twice"));
}

#[test]
fn rubbish_is_refused_at_every_length() {
    let good = packed();
    for len in (0..good.len()).step_by(97) {
        assert!(bundle::read(&good[..len]).is_err(), "{len}");
    }
    assert!(bundle::read(b"not a bundle").is_err());
    assert!(bundle::read(&zip(b"not a tar")).is_err());
}

#[test]
fn outputs_of_impossible_sizes_are_refused() {
    let report = String::from_utf8(files()[REPORT].clone()).unwrap();
    for shape in ["[18446744073709551615,2]", "[4294967296,4294967296,4294967296]"] {
        let mut changed = files();
        let text = report.replacen("\"shape\":[2,2]", &format!("\"shape\":{shape}"), 1);
        assert_ne!(text, report);
        changed.insert(REPORT.into(), text.into_bytes());
        sign(&mut changed);
        assert!(error(&pack(&changed)).contains("no type and shape that can be held"), "{shape}");
    }
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let with = |output: OutputRecord| {
        let mut report = full_with([CaseResult { outputs: vec![output], ..case("gemm.linear/b", 0.5) }]);
        report.conclude(&lists());
        bundle::to_bytes(&report, &lists(), &[], "").unwrap_err().to_string()
    };
    assert!(with(output("../y", 0.5)).contains("cannot be the name of a file"));
    assert!(with(OutputRecord { bytes: None, ..output("y", 0.5) }).contains("has no bytes"));
    let mut twice = full();
    twice.results.push(CaseResult::new("gemm.linear/a", "gemm.linear", "F32", Outcome::Pass));
    twice.conclude(&lists());
    assert!(bundle::to_bytes(&twice, &lists(), &[], "").unwrap_err().to_string().contains("twice"));
}
