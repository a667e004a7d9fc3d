//! Reports to try things on.

use crate::outcome::{OutputRecord, Worst};
use crate::report::{CapsFacts, DeviceFacts, Kit, MustPass, PerfRow, PluginFacts, Report, Selection, hex};
use crate::waiver::{Context, VersionRange, Waiver, apply};
use crate::{CaseResult, Check, Finding, Outcome, Profile};
use sha2::{Digest, Sha256};

pub const STARTED: &str = "2026-06-15T08:30:00Z";

/// A device that is none of anybody's.
pub fn device() -> DeviceFacts {
    DeviceFacts {
        backend: "plugin".into(),
        index: 0,
        name: "Example Chip 9B".into(),
        memory: Some(64 << 30),
        versions: vec![("driver".into(), "5.2.10".into()), ("library".into(), "8.0.RC2".into())],
        stand_in: false,
        plugin: Some(PluginFacts { path: "/opt/example/libexample.so".into(), sha256: "ab".repeat(32) }),
        composed: None,
        abi: Some("0.2".into()),
        caps: CapsFacts {
            activations: vec!["F32".into(), "BF16".into()],
            ops: vec!["gemm.linear".into(), "norm.rms".into()],
            host_addressable: false,
            native_graphs: true,
            alignment: 256,
        },
    }
}

/// An output of four numbers: what the device gave is what the judge has, moved by a share of a bound of 1.
pub fn output(arg: &str, share: f32) -> OutputRecord {
    let found = [share, 0.0, 0.0, 0.0];
    let bytes: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()).collect();
    let share = f64::from(share);
    OutputRecord {
        arg: arg.into(),
        dtype: "F32".into(),
        shape: vec![2, 2],
        sha256: hex(&Sha256::digest(&bytes)),
        compared: 4,
        worst: Some(Worst { element: 0, found: share, expected: 0.0, bound: 1.0, share }),
        bytes: Some(bytes),
    }
}

/// A case of an operator whose output lies at this share of its bound.
pub fn case(id: &str, share: f32) -> CaseResult {
    let op = id.split('/').next().unwrap();
    let findings = if share > 1.0 { vec![finding(share)] } else { Vec::new() };
    let base = CaseResult::new(id, op, "BF16 x F8E4M3", Outcome::Pass).with_findings(findings);
    CaseResult {
        outputs: vec![output("y", share)],
        accumulation: Some("F32".into()),
        determinism: Some("D1".into()),
        millis: 12.5,
        ..base
    }
}

pub fn finding(share: f32) -> Finding {
    let text = format!("{share:e}, the judge has 0e0 and allows 1.000e0");
    let element = Some(vec![0, 0]);
    Finding { share: Some(f64::from(share)), count: 1, element, ..Finding::new(Check::Bound, text).in_arg("y") }
}

pub fn script(id: &str, outcome: Outcome) -> CaseResult {
    CaseResult::new(id, "runtime.copy", "-", outcome)
}

/// Two lists of three cases.
pub fn lists() -> MustPass {
    MustPass::new("1")
        .with(Profile::Runtime, ["runtime/copy/every_size"])
        .with(Profile::Core, ["gemm.linear/a", "gemm.linear/b", "norm.rms/a"])
}

/// A waiver of `gemm.linear/b`.
pub fn waiver() -> Waiver {
    Waiver {
        cases: vec!["gemm.linear/b".into()],
        device: "Example Chip*".into(),
        versions: vec![VersionRange { of: "driver".into(), from: "5.2".into(), to: "5.3".into() }],
        reason: "f16 partial sums".into(),
        link: "https://example.org/1".into(),
        expires: "2026-12-31".into(),
        allowed_share: 3.0,
    }
}

/// A full run of both profiles in which every required case passes.
pub fn full() -> Report {
    let profiles = vec![Profile::Runtime, Profile::Core];
    let selection = Selection { profiles, salt: 7, ..Selection::default() };
    let kit = Kit { version: env!("CARGO_PKG_VERSION").into(), commit: "0123abc".into() };
    let mut report = Report::new(kit, "omnihal conform --plugin libexample.so", STARTED, selection, device());
    report.seconds = 65.0;
    report.host.insert("cpu".into(), "8 cores".into());
    report.results = vec![
        script("runtime/copy/every_size", Outcome::Pass),
        case("gemm.linear/a", 0.5),
        case("gemm.linear/b", 0.25),
        case("norm.rms/a", 0.0),
        CaseResult::new("norm.rms/extra", "norm.rms", "F16", Outcome::Unsupported).because("no F16 kernel"),
    ];
    report.perf = vec![PerfRow {
        id: "gemm.linear/a".into(),
        op: "gemm.linear".into(),
        types: "BF16".into(),
        runs: 10,
        median_us: 100.0,
        fastest_us: 90.0,
        flops: Some(1e9),
        ..PerfRow::default()
    }];
    report.conclude(&lists());
    report
}

/// [`full`], with some results replaced.
pub fn full_with(cases: impl IntoIterator<Item = CaseResult>) -> Report {
    let mut report = full();
    for case in cases {
        match report.results.iter().position(|r| r.id == case.id) {
            Some(at) => report.results[at] = case,
            None => report.results.push(case),
        }
    }
    report.conclude(&lists());
    report
}

/// [`full`] with a failure that a waiver covers.
pub fn waived() -> Report {
    let mut report = full_with([case("gemm.linear/b", 2.0)]);
    let (device, lists) = (device(), lists());
    let context = Context { today: "2026-06-15", device: &device, required: &lists, partial: false };
    report.waivers = apply(&[waiver()], &mut report.results, &context).unwrap();
    report.conclude(&lists);
    report
}
