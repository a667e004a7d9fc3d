//! Every oracle case, on every embedded backend, along every path, with all operators and with the core tier alone.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal_deepseek::config::Precision;
use omnihal_deepseek::weights::Checkpoint;
use omnihal_e2e::{Golden, ParityOptions, Path, ops_parity, parity};
use omnihal_runtime::TierLimit;
use std::path::PathBuf;

/// The cases that must be there: a missing one is a failure.
const CASES: [&str; 9] = ["csa", "hash", "hca", "mixed", "mtp", "official", "realratio", "short", "swa"];

fn case(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle/cases").join(name)
}

fn holds(backend: &str, name: &str, limit: TierLimit, precision: Precision) {
    let device = omnihal_backends::registry().open(backend).unwrap();
    let checkpoint = Checkpoint::open(&case(name)).unwrap();
    let golden = Golden::open(&case(name).join("golden.safetensors")).unwrap();
    let options = ParityOptions { paths: Path::ALL.to_vec(), limit, precision };
    let report = parity(&device, &checkpoint, &golden, &options).unwrap();
    let tier = if limit == TierLimit::Core { "core" } else { "all" };
    let again = format!(
        "omnihal parity --model tests/e2e/oracle/cases/{name} --golden tests/e2e/oracle/cases/{name}/golden.safetensors \
         --backend {backend} --tier {tier} --precision {precision}"
    );
    assert!(report.pass, "{backend} {name} {tier} {precision}\n{report}\nrerun: {again}");
}

fn every_case(backend: &str, limit: TierLimit) {
    let mut found: Vec<_> = std::fs::read_dir(case(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n != "ops")
        .collect();
    found.sort();
    assert_eq!(found, CASES);
    for name in CASES {
        holds(backend, name, limit, Precision::Plain);
    }
    for precision in [Precision::QatKv, Precision::QatKvIdx, Precision::QatAll] {
        holds(backend, "official", limit, precision);
    }
}

#[test]
fn the_reference_agrees_with_the_oracle() {
    every_case("reference", TierLimit::All);
}

#[test]
fn the_reference_agrees_with_the_oracle_in_the_core_tier() {
    every_case("reference", TierLimit::Core);
}

#[test]
fn the_cpu_agrees_with_the_oracle() {
    every_case("cpu", TierLimit::All);
}

#[test]
fn the_cpu_agrees_with_the_oracle_in_the_core_tier() {
    every_case("cpu", TierLimit::Core);
}

#[test]
fn single_operators_agree_with_the_oracle() {
    let golden = Golden::open(&case("ops").join("golden.safetensors")).unwrap();
    for backend in ["reference", "cpu"] {
        let device = omnihal_backends::registry().open(backend).unwrap();
        for limit in [TierLimit::All, TierLimit::Core] {
            let report = ops_parity(&device, &golden, limit).unwrap();
            assert!(report.pass, "{backend} {limit:?}\n{report}");
        }
    }
}

#[test]
fn a_vector_that_nothing_was_compared_with_fails_the_report() {
    let mut golden = Golden::open(&case("ops").join("golden.safetensors")).unwrap();
    let vector = golden.tensors["act.fp8_g64"].clone();
    golden.tensors.insert("act.fp9_g64".into(), vector);
    let device = omnihal_backends::registry().open("cpu").unwrap();
    let report = ops_parity(&device, &golden, TierLimit::All).unwrap();
    assert!(!report.pass && report.compared + 1 == report.total && report.first_divergence.is_none(), "{report}");
}
