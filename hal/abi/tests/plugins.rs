//! Plug-ins of all sorts, good and broken, loaded from shared libraries: each a clear answer, and the host lives on.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "common/build.rs"]
mod build;

use build::{crate_file, plugin};
use omnihal::op::{copy, norm};
use omnihal::{Args, Backend, DType, Error, ErrorKind, MemoryKind, Op, OpKind, Severity, Shape, Support, View};
use omnihal_abi::{Imported, Importer, LoadError, LoadOptions, Loaded, ProbeCommand, load};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Far more than any of these plug-ins needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The child process: this very test program, told to run this test only. In an ordinary run there is no plug-in to try.
#[test]
fn child() {
    let Some(path) = std::env::args().skip(1).last().filter(|a| a.starts_with('/')) else { return };
    let code = omnihal_abi::probe_child(Path::new(&path));
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

fn command(limit: Duration) -> ProbeCommand {
    ProbeCommand {
        program: std::env::current_exe().unwrap(),
        args: ["--exact", "child", "--nocapture"].map(Into::into).into(),
        limit,
    }
}

fn tried() -> LoadOptions {
    LoadOptions { probe: Some(command(PATIENCE)), ..LoadOptions::default() }
}

fn build(switch: &str, folder: &Path) -> PathBuf {
    let switches: &[&str] = if switch.is_empty() { &[] } else { &[switch] };
    plugin("cc", &crate_file("include"), switches, folder)
}

/// Loads the plug-in broken by a switch, without a child.
fn loaded(switch: &str) -> Result<Loaded, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    load(&build(switch, folder.path()), &LoadOptions::default())
}

fn backend(switch: &str) -> Imported {
    loaded(switch).unwrap().backend
}

/// What a child says of the plug-in broken by a switch.
fn refusal(switch: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    load(&build(switch, folder.path()), &tried()).unwrap_err().to_string()
}

/// The same, and what comes of loading it without a child.
fn both(switch: &str) -> (String, Result<Loaded, LoadError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = build(switch, folder.path());
    let refusal = load(&path, &tried()).unwrap_err().to_string();
    (refusal, load(&path, &LoadOptions::default()))
}

fn fill(value: f32) -> Op {
    copy::Fill { shape: Shape::from([2, 3]), value, dtype: DType::F32 }.into()
}

/// Runs a fill and returns its outcome with what the buffer holds.
fn run_fill(backend: &Imported) -> (omnihal::Result<()>, Vec<u8>) {
    let device = backend.open(0).unwrap();
    let (stream, plan) = (device.stream().unwrap(), device.plan(&fill(2.5)).unwrap());
    let buffer = device.alloc(24, MemoryKind::Device).unwrap();
    let views = [Some(View::contiguous(buffer.mem(), DType::F32, [2, 3]).unwrap())];
    let mut bytes = vec![0; 24];
    // SAFETY: the buffer outlives the work, which is done at once.
    let outcome = unsafe { stream.run(&*plan, &Args::new(&views)) };
    // SAFETY: as above.
    unsafe { stream.read(buffer.mem(), &mut bytes, PATIENCE).unwrap() };
    (outcome, bytes)
}

#[test]
fn a_good_plug_in_is_tried_loaded_and_used() {
    for compiler in ["cc", "c++"] {
        let folder = tempfile::tempdir().unwrap();
        let path = plugin(compiler, &crate_file("include"), &[], folder.path());
        let loaded = load(&path, &tried()).unwrap();
        let report = loaded.report.unwrap();
        assert_eq!((report.name.as_str(), report.version.as_str(), report.abi), ("fill", "7.8", (0, 2)));
        assert_eq!((report.devices.len(), report.searched.as_slice()), (1, &["the host's memory".to_owned()][..]));
        assert!(report.missing_functions.iter().any(|f| f == "plan_bind"));
        assert!(!loaded.backend.missing_functions().contains(&"device_memory"));
        let (outcome, bytes) = run_fill(&loaded.backend);
        assert_eq!((outcome, bytes), (Ok(()), 2.5f32.to_ne_bytes().repeat(6)));
        let device = loaded.backend.open(0).unwrap();
        assert_eq!((device.memory_in_use(), device.info().memory), (Some(4321), None));
        let again = load(&path, &LoadOptions::default());
        assert!(matches!(again, Err(LoadError::AlreadyLoaded(_))));
    }
}

#[test]
fn functions_that_are_not_there_are_unsupported_and_have_their_defaults() {
    let backend = backend("");
    let device = backend.open(0).unwrap();
    let stream = device.stream().unwrap();
    assert!(backend.missing_functions().contains(&"stream_begin_capture"));
    let error = stream.begin_capture().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // SAFETY: refused before anything is done.
    let error = unsafe { device.import(std::ptr::null(), 0, std::sync::Arc::new(())) }.err().unwrap();
    assert_eq!(error, Error::unsupported("the plug-in has no function `buffer_import`"));
    let plan = device.plan(&fill(1.0)).unwrap();
    assert_eq!(plan.workspace_for(&[]).unwrap(), 0);
    assert!(plan.bind(&Args::new(&[])).unwrap().is_none() && plan.prologue().is_none());
    assert_eq!(plan.cost(), fill(1.0).cost(), "the host's own numbers stand");
    assert!(!plan.capture_safe());
    device.health().unwrap();
}

#[test]
fn refusals_of_a_plug_in_arrive_with_their_reason() {
    let device = backend("").open(0).unwrap();
    let (input, output) = (DType::F32, DType::F32);
    let op: Op = norm::Rms { rows: 1, heads: 1, width: 8, eps: 0.0, weight: None, input, output }.into();
    assert_eq!(device.supports(&fill(0.0)), Support::Native);
    assert_eq!(device.supports(&op), Support::No("only copy.fill of F32".to_owned()));
    assert_eq!(device.plan(&op).err().unwrap(), Error::unsupported("only copy.fill of F32"));
}

#[test]
fn broken_tables_are_refused() {
    let cases = [
        ("BAD_MAGIC", "magic"),
        ("BAD_MAJOR", "speaks version 1.2 of the interface, this host 0.2"),
        ("SHORT_STRUCT", "ends after 64 bytes"),
        ("ZERO_STRUCT", "says that it has 0 bytes"),
        ("HUGE_STRUCT", "says that it has 65537 bytes"),
        ("CUT_STRUCT", "lacks required functions: stream_run, stream_copy"),
        ("NULL_FUNCTIONS", "lacks required functions: supports, stream_sync"),
        ("NULL_TABLE", "returned NULL"),
        ("MISALIGNED_TABLE", "expected an aligned address"),
        ("BAD_NAME", "two words"),
        ("BAD_NAME_TEXT", "name is not UTF-8"),
        ("LONG_NAME", "name has 18446744073709551615 bytes"),
    ];
    for (switch, words) in cases {
        let (refusal, loaded) = both(switch);
        let error = loaded.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("refused while its table was checked"), "{switch}: {error}");
        assert!(refusal.contains(words), "{switch}: {refusal}");
    }
}

#[test]
fn broken_answers_to_a_search_are_refused() {
    let cases = [
        ("BAD_DEVICE_COUNT", "found 18446744073709551615 devices"),
        ("BAD_SEARCHED_COUNT", "lines of search were given, expected at most"),
        ("NULL_ARRAY", "1 lines of search lie at 0x0"),
        ("BAD_TEXT_LENGTH", "has 18446744073709551615 bytes, expected at most"),
        ("NULL_TEXT", "bytes at NULL"),
        ("BAD_TEXT", "a line of search is not UTF-8"),
        ("GARBAGE_ERROR", "which this host did not make"),
        ("ERROR_WITHOUT_DETAILS", "gave no details"),
        ("BAD_ERROR_TEXT", "broken \u{fffd} text"),
    ];
    for (switch, words) in cases {
        let (tried, loaded) = both(switch);
        let error = loaded.unwrap().backend.probe().unwrap_err().to_string();
        assert!(error.contains(words), "{switch}: {error}");
        assert!(tried.contains(words) && tried.contains("refused while it looked for devices"), "{tried}");
    }
}

#[test]
fn unknown_numbers_in_an_error_leave_an_error() {
    let error = backend("BAD_ERROR_CODES").probe().unwrap_err();
    assert_eq!((error.kind(), error.severity(), error.op()), (ErrorKind::Unsupported, Severity::StreamPoisoned, None));
    assert!(error.message().contains("error kind 777"), "{error}");
}

#[test]
fn broken_devices_are_refused() {
    let cases = [("NULL_HANDLE", "device_open gave NULL"), ("BAD_ALIGNMENT", "alignment is 48")];
    for (switch, words) in cases {
        let (refusal, loaded) = both(switch);
        let error = loaded.unwrap().backend.open(0).err().unwrap().to_string();
        assert!(error.contains(words), "{switch}: {error}");
        assert!(refusal.contains("refused while device 0 was opened"), "{switch}: {refusal}");
    }
    let cases = [
        ("BAD_LENGTH", "2048 bytes at"),
        ("BAD_ADDRESS", "4096 bytes at 0x0"),
        ("MISALIGNED", "promised an alignment of 64"),
    ];
    for (switch, words) in cases {
        let (refusal, loaded) = both(switch);
        let device = loaded.unwrap().backend.open(0).unwrap();
        let error = device.alloc(4096, MemoryKind::Device).err().unwrap().to_string();
        assert!(error.contains(words), "{switch}: {error}");
        assert!(refusal.contains("refused while memory was allocated"), "{switch}: {refusal}");
    }
}

#[test]
fn unknown_capabilities_are_ignored() {
    let device = backend("UNKNOWN_BITS").open(0).unwrap();
    assert_eq!((device.caps().activations.len(), device.caps().ops.len()), (DType::ALL.len(), OpKind::ALL.len()));
}

#[test]
fn unknown_and_broken_facts_of_a_plan_are_refused() {
    let cases = [
        ("UNKNOWN_DETERMINISM", ErrorKind::Unsupported, "the determinism has number 9"),
        ("UNKNOWN_ACCUMULATION", ErrorKind::Unsupported, "the accumulation has number 9"),
        ("UNKNOWN_COLUMN", ErrorKind::Unsupported, "a column has number 1000"),
        ("BAD_COLUMN_COUNT", ErrorKind::InvalidInput, "17 columns were given, expected at most 16"),
        ("BAD_WORKSPACE", ErrorKind::InvalidInput, "18446744073709551615 bytes of workspace"),
        ("BAD_COST", ErrorKind::InvalidInput, "costs -1 operations"),
    ];
    for (switch, kind, words) in cases {
        let error = backend(switch).open(0).unwrap().plan(&fill(1.0)).err().unwrap();
        assert_eq!((error.kind(), error.op()), (kind, Some(OpKind::Fill)), "{switch}");
        assert!(error.message().contains(words), "{switch}: {error}");
    }
}

#[test]
fn unknown_and_broken_answers_about_support_are_a_no() {
    let op: Op = copy::Fill { shape: Shape::from([1]), value: 0.0, dtype: DType::I32 }.into();
    let answer = backend("UNKNOWN_ANSWERS").open(0).unwrap().supports(&op);
    assert_eq!(answer, Support::No("the plug-in's answer is number 50, unknown to this host".to_owned()));
    let answer = backend("BAD_REASON").open(0).unwrap().supports(&op);
    assert!(matches!(answer, Support::No(reason) if reason.starts_with("only copy.fill of F32")));
}

#[test]
fn plug_ins_that_crash_end_only_the_child() {
    let cases = [("CRASH", "signal 11", "looked for devices"), ("CRASH_AT_ENTRY", "signal 6", "it was loaded")];
    for (switch, how, stage) in cases {
        let error = refusal(switch);
        assert!(error.contains(how) && error.contains(stage), "{error}");
    }
    let error = refusal("EXIT");
    assert!(error.contains("ended its process (exit code 0) while it looked for devices"), "{error}");
}

#[test]
fn a_cpp_exception_ends_only_the_child() {
    let folder = tempfile::tempdir().unwrap();
    let path = plugin("c++", &crate_file("include"), &["THROW"], folder.path());
    let error = load(&path, &tried()).unwrap_err();
    assert!(matches!(&error, LoadError::Crashed { stage, .. } if stage == "it looked for devices"), "{error}");
}

#[test]
fn a_plug_in_that_hangs_is_ended_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = build("HANG", folder.path());
    let limit = Duration::from_millis(1500);
    let (start, options) = (Instant::now(), LoadOptions { probe: Some(command(limit)), ..LoadOptions::default() });
    let error = load(&path, &options).unwrap_err();
    assert!(matches!(&error, LoadError::Hung { stage, .. } if stage == "it looked for devices"), "{error}");
    assert!(start.elapsed() >= limit && start.elapsed() < PATIENCE);
}

#[test]
fn what_is_no_plug_in_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (text, other) = (folder.path().join("text.so"), folder.path().join("other.so"));
    std::fs::write(&text, "not a library").unwrap();
    let source = folder.path().join("other.c");
    std::fs::write(&source, "int other(void);\nint other(void) { return 1; }\n").unwrap();
    build::compile("cc", folder.path(), &source, &["-shared"], &other);
    let plain = LoadOptions::default();
    assert!(matches!(load(&text, &plain), Err(LoadError::NotALibrary { .. })));
    assert!(matches!(load(&other, &plain), Err(LoadError::NoEntry(_))));
    for path in [&text, &other] {
        assert!(matches!(load(path, &tried()), Err(LoadError::Refused { .. })));
    }
    assert!(matches!(load(&folder.path().join("missing.so"), &plain), Err(LoadError::Unreadable { .. })));
    assert!(matches!(load(folder.path(), &plain), Err(LoadError::Unreadable { .. })));
    assert!(matches!(load(Path::new("plugin.so"), &plain), Err(LoadError::NotAbsolute(_))));
    let no_child = ProbeCommand { program: "/nowhere/omnihal".into(), args: Vec::new(), limit: PATIENCE };
    let options = LoadOptions { probe: Some(no_child), ..LoadOptions::default() };
    assert!(matches!(load(&text, &options), Err(LoadError::NoChild { .. })));
}

#[test]
fn a_file_that_is_not_the_one_of_the_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = build("", folder.path());
    let options = LoadOptions { sha256: Some("00".repeat(32)), ..LoadOptions::default() };
    let Err(LoadError::Checksum { found, .. }) = load(&path, &options) else { panic!("not refused") };
    load(&path, &LoadOptions { sha256: Some(found.to_uppercase()), ..LoadOptions::default() }).unwrap();
}

#[test]
fn fallbacks_are_counted_and_a_strict_host_fails_the_run() {
    let lenient = backend("FALLBACK");
    assert_eq!(run_fill(&lenient).0, Ok(()));
    let fallbacks = lenient.fallbacks();
    assert_eq!((fallbacks.total(), fallbacks.of(OpKind::Fill), fallbacks.of(OpKind::Copy)), (1, 1, 0));
    assert_eq!(fallbacks.reasons(), [(Some(OpKind::Fill), "the device cannot fill".to_owned())]);
    let folder = tempfile::tempdir().unwrap();
    let path = build("FALLBACK", folder.path());
    let options = LoadOptions { importer: Importer::new().strict(true), ..LoadOptions::default() };
    let strict = load(&path, &options).unwrap().backend;
    let error = run_fill(&strict).0.unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Unsupported, Some(OpKind::Fill)));
    assert!(error.message().contains("host processor compute this: the device cannot fill"), "{error}");
    assert_eq!(strict.fallbacks().total(), 1);
}
