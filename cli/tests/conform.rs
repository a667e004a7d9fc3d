//! `omnihal conform` as a vendor meets it: the sample conforms, plug-ins that misbehave are reported as just that, reports can be checked.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn omnihal(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omnihal"));
    command.args(args).env_remove("OMNIHAL_LOG").env_remove("OMNIHAL_THREADS").env_remove("OMNIHAL_PLUGIN_PATH");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Builds the sample and its misbehaving kin with the C compiler.
fn plug_ins() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let build = Path::new(ROOT).join("tests/plugin-sample/build");
    let output = Command::new(build).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

/// Runs the kit and reads the report.
fn conform(plug_in: &Path, more: &[&str]) -> (i32, Value, PathBuf, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    let args = ["conform", "--plugin", plug_in.to_str().unwrap(), "--out", out.path().to_str().unwrap(), "--quick"];
    let output = omnihal(&[&args, more].concat());
    let report = std::fs::read(out.path().join("report.json"))
        .unwrap_or_else(|e| panic!("{e}: {} {}", text(&output.stdout), text(&output.stderr)));
    let report = serde_json::from_slice(&report).unwrap();
    (output.status.code().unwrap(), report, out.path().to_owned(), out)
}

fn outcomes<'a>(report: &'a Value, op: &str) -> Vec<&'a str> {
    let results = report["results"].as_array().unwrap();
    results.iter().filter(|r| r["op"] == op).map(|r| r["outcome"].as_str().unwrap()).collect()
}

fn messages<'a>(report: &'a Value, op: &str) -> Vec<&'a str> {
    let results = report["results"].as_array().unwrap();
    results.iter().filter(|r| r["op"] == op).filter_map(|r| r["message"].as_str()).collect()
}

#[test]
fn the_sample_passes_and_its_bundle_verifies_until_an_output_is_changed() {
    let folder = plug_ins();
    let sample = folder.path().join("ohal_sample.so");
    let (code, report, out, _keep) =
        conform(&sample, &["--filter", "norm.*", "--filter", "copy.*", "--profile", "core"]);
    assert_eq!(code, 0, "{}", report["counts"]);
    assert!(report["results"].as_array().unwrap().iter().all(|r| r["outcome"] == "PASS"));
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("norm.rms"));
    // Filtered: no statement, whatever it found.
    assert!(!out.join("statement.txt").exists());
    let bundle = out.join("bundle.tar.zst");
    let verified = omnihal(&["conform", "verify", bundle.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    assert!(text(&verified.stdout).contains("integrity can be verified, origin"));
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    assert!(!omnihal(&["conform", "verify", bundle.to_str().unwrap()]).status.success());
}

#[test]
fn misbehaving_plug_ins_are_reported_as_just_that_and_the_rest_goes_on() {
    let folder = plug_ins();
    let cases: [(&str, &str, &str, &str); 10] = [
        ("segfault", "norm.rms", "CRASH", "SIGSEGV"),
        ("hang", "rope.apply", "TIMEOUT", "no answer within"),
        ("outside", "gemm.linear", "FAIL", "guards"),
        ("exit", "copy.gather", "CRASH", "exit code 3"),
        ("abort", "sample.topk", "CRASH", "SIGABRT"),
        ("glutton", "quant.qdq", "CRASH", "MiB and was stopped"),
        ("refuses", "gemm.batched", "UNDECLARED", "refuses to plan it"),
        ("accepts", "moe.group", "UNDECLARED", "plans it all the same"),
        ("fallback", "gemm.linear", "UNDECLARED", "the device let the host compute"),
        ("idle", "copy.fill", "FAIL", ""),
    ];
    for (how, op, outcome, words) in cases {
        let plug_in = folder.path().join(format!("ohal_misbehave_{how}.so"));
        let own = format!("{op}/*");
        // Two cases of its operator and all of one that is right: enough to see both.
        let list = omnihal(&["conform", "--list", "--quick", "--profile", "core", "--filter", &own]);
        let names: Vec<&str> = text(&list.stdout).lines().take(2).collect();
        let filters: Vec<&str> = names.iter().chain([&"cache.rows/*"]).flat_map(|name| ["--filter", *name]).collect();
        let timeout = if how == "hang" { "2" } else { "60" };
        let limits = ["--profile", "core", "--case-timeout", timeout, "--case-memory", "700"];
        let (code, report, _, _keep) = conform(&plug_in, &[&limits[..], &filters].concat());
        assert_ne!(code, 0, "{how}");
        assert_eq!(outcomes(&report, op), [outcome; 2], "{how}: {:?}", messages(&report, op));
        assert!(messages(&report, op).iter().all(|m| m.contains(words)), "{how}: {:?}", messages(&report, op));
        let others = outcomes(&report, "cache.rows");
        let expected = if how == "idle" { "FAIL" } else { "PASS" };
        assert!(!others.is_empty() && others.iter().all(|o| *o == expected), "{how}: {others:?}");
    }
}

#[test]
fn a_device_that_does_nothing_passes_no_case_of_an_operator() {
    let out = tempfile::tempdir().unwrap();
    let args = ["conform", "--backend", "null", "--profile", "core", "--quick", "--fraction", "1/4", "--out"];
    let output = omnihal(&[&args[..], &[out.path().to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(out.path().join("report.json")).unwrap()).unwrap();
    let results = report["results"].as_array().unwrap();
    assert!(results.len() > 100);
    assert!(results.iter().all(|r| r["outcome"] != "PASS"), "{}", report["counts"]);
}

#[test]
fn a_case_can_be_replayed_and_shrunk() {
    let folder = plug_ins();
    let plug_in = folder.path().join("ohal_misbehave_outside.so");
    let plug_in = plug_in.to_str().unwrap();
    let list = omnihal(&["conform", "--list", "--profile", "core", "--filter", "gemm.linear/rows=33*"]);
    let name = text(&list.stdout).lines().next().unwrap();
    let replayed = omnihal(&["conform", "--plugin", plug_in, "--replay", name]);
    assert_eq!(replayed.status.code(), Some(1));
    assert!(text(&replayed.stdout).contains("guards"), "{}", text(&replayed.stdout));
    let shrunk = omnihal(&["conform", "--plugin", plug_in, "--shrink", name]);
    assert!(text(&shrunk.stdout).contains("rows=1,inner=1,outer=1"), "{}", text(&shrunk.stdout));
}

#[test]
fn backends_can_be_named_by_the_path_of_a_plug_in() {
    let folder = plug_ins();
    let sample = folder.path().join("ohal_sample.so");
    let output = omnihal(&["generate", "--backend", sample.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("OmniHAL is a hardware abstraction layer"), "{}", text(&output.stdout));
    let broken = folder.path().join("none.so");
    let output = omnihal(&["generate", "--backend", broken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn selections_that_make_no_sense_are_refused_in_one_line() {
    for args in [
        &["conform", "--filter", "nothing.of/this*"][..],
        &["conform", "--replay", "no.case/of=this"],
        &["conform", "--replay", "{\"op\": 1}"],
        &["conform", "--backend", "nobody"],
        &["conform", "--plugin", "/nowhere/lib.so"],
        &["conform", "verify", "/nowhere/bundle.tar.zst"],
    ] {
        let output = omnihal(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1, "{args:?}: {}", text(&output.stderr));
    }
}
