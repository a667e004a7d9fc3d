//! The scripts of the `runtime`, `soak` and `fault` profiles on devices that are known: honest ones pass, each planted mistake is found.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::{Args, Backend, DType, ErrorKind, MemoryKind, Stream, View};
use omnihal_conformance::script::{Script, Verdict};
use omnihal_conformance::{CaseResult, Outcome, Profile, Target, fault, runtime, script, soak};
use omnihal_cpu::CpuBackend;
use omnihal_mutants::{Class, Variant, VariantsBackend, failing_plan, variant};
use omnihal_null::NullBackend;
use omnihal_reference::ReferenceBackend;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

fn target(backend: impl Backend + 'static) -> Target {
    Target::open(Arc::new(backend), 0).unwrap()
}

fn judge(script: &Script, target: &Target) -> CaseResult {
    let seed = script.id.bytes().fold(7, |s: u64, b| s.wrapping_mul(31).wrapping_add(u64::from(b)));
    let start = Instant::now();
    let result = script.judge(target, seed);
    println!("{:9} {:6.0} ms  {}", result.outcome, start.elapsed().as_secs_f64() * 1e3, script.id);
    result
}

/// The scripts of the three profiles.
fn scripts() -> impl Iterator<Item = Script> {
    let own = |s: &Script| matches!(s.profile, Profile::Runtime | Profile::Soak | Profile::Fault);
    script::all().into_iter().filter(own)
}

fn quick() -> impl Iterator<Item = Script> {
    scripts().filter(|s| s.quick)
}

/// Scripts look at the size of the process and at the clock: those of other tests would show there.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn all_pass(target: &Target, scripts: impl Iterator<Item = Script>) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let failed: Vec<String> = scripts
        .map(|s| judge(&s, target))
        .filter(|r| r.outcome != Outcome::Pass)
        .map(|r| format!("{}: {:?}", r.id, r.message))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn names_are_distinct_and_say_where_they_belong() {
    let mut seen = HashSet::new();
    for s in scripts() {
        assert!(seen.insert(s.id), "{} occurs twice", s.id);
        assert!(s.id.starts_with(&format!("{}/", s.group.replace('.', "/"))), "{} is not of {}", s.id, s.group);
        assert!(s.id.starts_with(s.profile.name()), "{} is of {}", s.id, s.profile);
    }
    let of = |p: Profile| scripts().filter(|s| s.profile == p).count();
    assert_eq!(of(Profile::Runtime), runtime::scripts().len());
    assert_eq!((of(Profile::Soak), of(Profile::Fault)), (soak::SCRIPTS.len(), fault::SCRIPTS.len()));
}

#[test]
fn the_cpu_passes() {
    all_pass(&target(CpuBackend), quick());
}

#[test]
fn the_reference_passes() {
    all_pass(&target(ReferenceBackend), quick());
}

#[test]
#[ignore = "takes a minute and more: run it before a release"]
fn the_cpu_passes_in_full() {
    all_pass(&target(CpuBackend), scripts());
}

#[test]
#[ignore = "takes a minute and more: run it before a release"]
fn the_plain_device_passes_in_full() {
    all_pass(&target(VariantsBackend(None)), scripts());
}

/// The C interface loses nothing on the way: a device behind it passes what it passes in front of it.
#[test]
fn devices_behind_the_c_interface_pass() {
    let behind = |backend: Box<dyn Backend>| Target::open(Arc::from(omnihal_abi::through_table(backend)), 0).unwrap();
    all_pass(&behind(Box::new(CpuBackend)), quick());
    all_pass(&behind(Box::new(VariantsBackend(None))), quick());
}

fn streams(class: Class) -> impl Iterator<Item = &'static Variant> {
    variant::all().into_iter().filter(move |v| v.family() == "stream" && v.class == class && v.equivalent.is_none())
}

#[test]
fn honest_streams_pass() {
    all_pass(&target(VariantsBackend(None)), quick());
    for v in streams(Class::Honest) {
        println!("-- {}", v.id);
        all_pass(&target(VariantsBackend(Some(v))), quick());
    }
}

/// Mistakes that show only after a run has failed.
const AFTER_A_FAILURE: [&str; 3] = [
    "stream.later_cause_replaces_the_first",
    "stream.poison_is_not_passed_by_events",
    "stream.poison_is_forgotten_after_sync",
];

/// Names the variant that a child process of this test works on.
const VARIANT: &str = "KIT_TEST_VARIANT";

/// Runs the scripts on a variant until one finds something. In a process of its own: a device that lies about its memory may take it down.
#[test]
#[ignore = "started by the test that goes over all planted mistakes"]
fn one_planted_mistake() {
    let v = variant::find(&std::env::var(VARIANT).unwrap()).unwrap();
    let target = target(VariantsBackend(Some(v)));
    let mut scripts: Vec<Script> = quick().collect();
    // On a slow engine thousands of copies take long: what is about order comes first.
    scripts.sort_by_key(|s| !["runtime.order", "runtime.events", "runtime.capture"].contains(&s.group));
    let found = scripts.iter().map(|s| s.judge(&target, 11)).find(|r| r.outcome == Outcome::Fail);
    let found = found.unwrap_or_else(|| panic!("no script finds {}", v.id));
    println!("found by {}: {}", found.id, found.message.unwrap());
}

/// What a child says of a variant: how it was found, or nothing.
fn found_in_a_child(v: &'static Variant) -> Option<String> {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["one_planted_mistake", "--exact", "--ignored", "--nocapture"]).env(VARIANT, v.id);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => text.lines().find_map(|l| Some(l[l.find("found by")?..].to_owned())),
        // A failed test: nothing was found.
        Some(_) => None,
        None => Some(format!("the process died: {}", output.status)),
    }
}

#[test]
fn every_planted_mistake_of_streams_and_memory_is_found() {
    let all: Vec<_> = streams(Class::Planted).filter(|v| !AFTER_A_FAILURE.contains(&v.id)).collect();
    let mut survivors = Vec::new();
    // Slow engines mostly sleep.
    for some in all.chunks(3) {
        let found: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> = some.iter().map(|v| scope.spawn(|| (v.id, found_in_a_child(v)))).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        for (id, how) in found {
            match how {
                Some(how) => println!("{id}: {how}"),
                None => survivors.push(id),
            }
        }
    }
    assert!(survivors.is_empty(), "not found: {survivors:#?}");
}

/// The rules of failed streams on the plain device with a variant.
fn after_a_failure(v: Option<&'static Variant>) -> Vec<String> {
    let device = omnihal_mutants::device(v);
    let plan = failing_plan(&omnihal::op::copy::Fill { shape: [4].into(), value: 0.0, dtype: DType::F32 }.into());
    let buffer = device.alloc(16, MemoryKind::Device).unwrap();
    let views = [Some(View::contiguous(buffer.mem(), DType::F32, [4]).unwrap())];
    // SAFETY: the view is the operator's, and its buffer outlives the streams of the rules.
    let fail = |stream: &dyn Stream| unsafe { stream.run(&*plan, &Args::new(&views)) };
    match runtime::poison::rules(&device, &fail) {
        Ok(Verdict::Ran(findings)) => findings.iter().map(|f| f.to_string()).collect(),
        Ok(Verdict::Unsupported(reason)) => vec![reason],
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn failed_streams_keep_the_rules_and_mistakes_about_them_are_found() {
    assert_eq!(after_a_failure(None), Vec::<String>::new());
    for v in streams(Class::Honest) {
        assert_eq!(after_a_failure(Some(v)), Vec::<String>::new(), "{}", v.id);
    }
    for id in AFTER_A_FAILURE {
        let found = after_a_failure(variant::find(id));
        println!("{id}: {found:#?}");
        assert!(!found.is_empty(), "{id} is not found");
    }
}

/// A device that computes nothing passes where nothing is computed, and nowhere else.
#[test]
fn a_device_that_computes_nothing_passes_no_script_that_computes() {
    let null = target(NullBackend::new());
    let outcome = |id: &str| {
        let script = script::all().into_iter().find(|s| s.id == id).unwrap();
        judge(&script, &null).outcome
    };
    for id in [
        "runtime/memory/allocations_are_as_asked_for",
        "runtime/copies/copies_of_small_sizes_at_odd_addresses",
        "runtime/events/an_event_can_be_recorded_again",
        "runtime/plans/supports_and_plan_agree",
    ] {
        assert_eq!(outcome(id), Outcome::Pass, "{id}");
    }
    for id in [
        "runtime/order/dependent_calls_take_effect_in_order",
        "runtime/capture/captured_calls_run_at_launch_and_not_before",
        "runtime/threads/eight_threads_with_a_stream_each",
        "soak/200_steps",
        "fault/slow_calls_change_no_result",
    ] {
        assert_eq!(outcome(id), Outcome::Fail, "{id}");
    }
}

/// A script that gets an error where it expects none fails, and names it.
#[test]
fn an_unexpected_error_fails_the_script() {
    let run = |_: &Target, _: u64| Err(omnihal::Error::new(ErrorKind::Io, "planted"));
    let script = Script { id: "runtime/x", group: "runtime", profile: Profile::Runtime, quick: true, run };
    let result = script.judge(&target(NullBackend::new()), 0);
    assert_eq!(result.outcome, Outcome::Fail);
    assert!(result.message.unwrap().contains("planted"));
}
