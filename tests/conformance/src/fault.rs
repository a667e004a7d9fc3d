//! The `fault` profile: calls fail in the middle of work, by the runtime's fault layer, and the device under the layer has to take it: errors
//! are what they should be, what went wrong stays where it was, a new stream does the work that the old one did not.

use crate::Profile;
use crate::outcome::Check;
use crate::random::Random;
use crate::runtime::{Chain, Notes, PATIENCE, Queue, Rig, poison};
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::op::copy::Fill;
use omnihal::{Args, DType, Device, Error, ErrorKind, MemoryKind, Result, Severity, Stream, View};
use omnihal_runtime::layers::{Effect, FaultPlan, FaultRule, Site, fault};
use omnihal_runtime::soft_graph::with_graphs;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GROUP: &str = "fault";

const fn script(id: &'static str, quick: bool, run: fn(&Target, u64) -> Result<Verdict>) -> Script {
    Script { id, group: GROUP, profile: Profile::Fault, quick, run }
}

/// Every script of the profile.
pub const SCRIPTS: &[Script] = &[
    script("fault/a_failed_run_stays_on_its_stream", true, |t, _| failed_runs(t, Effect::Execution)),
    script("fault/a_failure_told_late_stays_on_its_stream", true, |t, _| failed_runs(t, Effect::Late)),
    script("fault/work_is_done_again_after_a_failure_at_some_calls", true, |t, s| each_call(t, s, 5)),
    script("fault/work_is_done_again_after_a_failure_at_any_call", false, |t, s| each_call(t, s, 1)),
    script("fault/refused_calls_can_be_made_again", true, refused),
    script("fault/allocations_fail_and_later_ones_do_not", true, allocations),
    script("fault/a_wait_out_of_time_leaves_the_stream_usable", true, out_of_time),
    script("fault/a_lost_device_is_dropped_and_opened_anew", true, lost),
    script("fault/slow_calls_change_no_result", true, slow),
];

/// Calls of each kind in the program of these scripts, at most.
const CALLS: u64 = 24;

/// A fresh device whose calls fail as planned.
fn faulty(target: &Target, rules: Vec<FaultRule>) -> Result<Arc<dyn Device>> {
    Ok(fault(with_graphs(target.reopen()?), FaultPlan { rules, memory: None }))
}

fn rule(site: Site, nth: u64, effect: Effect) -> FaultRule {
    FaultRule { site, nth, effect }
}

/// Every run of the device fails.
fn failed_runs(target: &Target, effect: Effect) -> Result<Verdict> {
    let device = faulty(target, (1..=100).map(|n| rule(Site::Run, n, effect)).collect())?;
    let plan = device.plan(&Fill { shape: [4].into(), value: 0.0, dtype: DType::F32 }.into())?;
    let buffer = device.alloc(16, MemoryKind::Device)?;
    let views = [Some(View::contiguous(buffer.mem(), DType::F32, [4])?)];
    // SAFETY: the view is the operator's, and its buffer outlives every stream of the rules.
    poison::rules(&device, &|stream: &dyn Stream| unsafe { stream.run(&*plan, &Args::new(&views)) })
}

/// Runs, copies, fills, a write and a graph, on a chain that starts anew each time.
fn program(rig: &Rig, queue: &Queue, seed: u64) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut random = Random::new(seed);
    let mut chain = Chain::new(rig, queue, 60, &mut random)?;
    chain.walk(queue, 6, &mut random)?;
    if chain.capture_safe() {
        let steps = chain.steps(4, &mut random);
        let graph = queue.capture(|| chain.enqueue(queue, &steps))?;
        for _ in 0..2 {
            queue.launch(&*graph)?;
            chain.advance(&steps);
        }
    }
    queue.finish()?;
    chain.walk(queue, 4, &mut random)?;
    Ok((chain.found(queue)?, chain.expected_bytes()))
}

/// The program, with a failure at one call after the other; then again, on a new stream of the same device.
fn each_call(target: &Target, seed: u64, stride: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let sites = [Site::Run, Site::Copy, Site::Fill, Site::Write, Site::Read, Site::Launch, Site::Sync];
    for (i, site) in sites.into_iter().enumerate() {
        for effect in [Effect::Execution, Effect::Late] {
            for nth in (1 + i as u64 % stride..=CALLS).step_by(stride as usize) {
                let device = faulty(target, vec![rule(site, nth, effect)])?;
                let what = format!("a failure ({effect:?}) at {site:?} {nth}");
                if !fails_once(&mut notes, &device, seed, &what)? {
                    // The program has no so many calls of this kind.
                    break;
                }
            }
        }
    }
    notes.verdict()
}

/// True if the planned failure came.
fn fails_once(notes: &mut Notes, device: &Arc<dyn Device>, seed: u64, what: &str) -> Result<bool> {
    let rig = Rig::new(device);
    let stream = Queue::from(device.stream()?);
    let came = match program(&rig, &stream, seed) {
        Ok((found, expected)) => {
            // A failure told late, at the very last call, has nobody left to tell it.
            let told = stream.sync(PATIENCE).err();
            notes.same(Check::Stream, || format!("the program before {what}"), &found, &expected);
            told.is_some()
        }
        Err(error) => {
            notes.rule(error.kind() == ErrorKind::Execution && error.severity() == Severity::StreamPoisoned, || {
                format!("{what} is told as {:?}, {:?}: {error}", error.kind(), error.severity())
            });
            true
        }
    };
    let start = Instant::now();
    drop(stream);
    notes.rule(start.elapsed() < Duration::from_secs(10), || format!("a stream took {:?} to drop", start.elapsed()));
    if came {
        let queue = rig.queue()?;
        if let Some((found, expected)) =
            notes.done(&format!("the program again after {what}"), program(&rig, &queue, seed))
        {
            notes.same(Check::Stream, || format!("the program again after {what}"), &found, &expected);
        }
    }
    Ok(came)
}

/// A refused call has not happened: made again, it does, and the result is as if nothing had been.
fn refused(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    for effect in [Effect::Rejected, Effect::OutOfMemory, Effect::Timeout] {
        let rules = [2, 3, 5].into_iter().flat_map(|n| [Site::Run, Site::Copy, Site::Fill].map(|s| rule(s, n, effect)));
        let device = faulty(target, rules.collect())?;
        let rig = Rig::new(&device);
        let queue = rig.queue()?;
        let mut chain = Chain::new(&rig, &queue, 60, &mut random)?;
        let mut refusals = 0;
        while refusals < 9 {
            // Steps of a single call: nothing of a refused one has happened.
            let step = chain.steps(1, &mut random);
            if matches!(step[0], crate::runtime::Step::Detour(_)) {
                continue;
            }
            while let Err(error) = chain.enqueue(&queue, &step) {
                refusals += 1;
                notes.rule(error.severity() == Severity::Rejected && refusals <= 9, || {
                    format!("a call that was made to be refused failed for good: {error}")
                });
                if !notes.clean() {
                    return notes.verdict();
                }
            }
            chain.advance(&step);
        }
        let what = || format!("the state after calls that were refused ({effect:?}) and made again");
        notes.same(Check::Stream, what, &chain.found(&queue)?, &chain.expected_bytes());
    }
    notes.verdict()
}

fn allocations(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = faulty(target, (1..40).step_by(3).map(|n| rule(Site::Alloc, n, Effect::OutOfMemory)).collect())?;
    let mut live = Vec::new();
    for nth in 1..40 {
        let allocated = device.alloc(1000 * nth, MemoryKind::Device);
        match nth % 3 {
            1 => notes.refused("an allocation that was made to fail", allocated.map(|_| ()), &[ErrorKind::OutOfMemory]),
            _ => live.extend(notes.done("an allocation after one that failed", allocated)),
        }
    }
    let limited = FaultPlan { rules: Vec::new(), memory: Some(1 << 20) };
    let limited = fault(with_graphs(target.reopen()?), limited);
    let held = limited.alloc(1 << 19, MemoryKind::Device)?;
    let beyond = limited.alloc((1 << 19) + 1, MemoryKind::Device).map(|_| ());
    notes.refused("an allocation beyond the limit", beyond, &[ErrorKind::OutOfMemory]);
    drop(held);
    let rig = Rig::new(&limited);
    let queue = rig.queue()?;
    let (found, expected) = program(&rig, &queue, seed)?;
    notes.same(Check::Stream, || "the program after memory ran out".into(), &found, &expected);
    notes.verdict()
}

fn out_of_time(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let device = faulty(target, vec![rule(Site::Sync, 1, Effect::Timeout), rule(Site::Read, 2, Effect::Timeout)])?;
    let rig = Rig::new(&device);
    let queue = rig.queue()?;
    let mut chain = Chain::new(&rig, &queue, 60, &mut random)?;
    for round in 0..3 {
        chain.walk(&queue, 3, &mut random)?;
        let (synced, found) = (queue.finish(), chain.found(&queue));
        if round == 0 {
            notes.refused("a sync that was made to run out of time", synced, &[ErrorKind::Timeout]);
        } else {
            notes.done("a sync after one that ran out of time", synced);
        }
        match found {
            Err(error) if round == 1 => notes.refused::<()>("a read", Err(error), &[ErrorKind::Timeout]),
            found => {
                let found = notes.done("a read after waits that ran out of time", found).unwrap_or_default();
                let what = || "the state after waits that ran out of time".into();
                notes.same(Check::Stream, what, &found, &chain.expected_bytes());
            }
        }
    }
    notes.verdict()
}

fn lost(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    for nth in [1, 4, 9] {
        let device = faulty(target, vec![rule(Site::Run, nth, Effect::Lost)])?;
        let rig = Rig::new(&device);
        let (queue, other) = (rig.queue()?, rig.queue()?);
        let gone = |notes: &mut Notes, what: &str, result: Result<()>| {
            notes.rule(result.as_ref().is_err_and(|e| e.severity() == Severity::DeviceLost), || {
                format!("{what} on a lost device returned {result:?}, expected the loss")
            });
        };
        gone(&mut notes, "the program", program(&rig, &queue, seed).map(|_| ()));
        gone(&mut notes, "sync of another stream", other.finish());
        gone(&mut notes, "an allocation", device.alloc(1, MemoryKind::Device).map(|_| ()));
        gone(&mut notes, "a stream", device.stream().map(|_| ()));
        gone(&mut notes, "health", device.health());
        drop((queue, other, rig, device));
        let device = with_graphs(target.reopen()?);
        let rig = Rig::new(&device);
        let queue = rig.queue()?;
        let (found, expected) = program(&rig, &queue, seed)?;
        notes.same(Check::Stream, || "the program on the device opened anew".into(), &found, &expected);
    }
    notes.verdict()
}

fn slow(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let delay = Effect::Delay(Duration::from_millis(3));
    let sites = [Site::Run, Site::Copy, Site::Fill, Site::Write, Site::Read, Site::Launch, Site::Sync, Site::Alloc];
    let rules = (1..CALLS).step_by(3).flat_map(|n| sites.map(|site| rule(site, n, delay)));
    let device = faulty(target, rules.collect())?;
    let rig = Rig::new(&device);
    let queue = rig.queue()?;
    let (found, expected) =
        program(&rig, &queue, seed).map_err(|e| Error::new(e.kind(), format!("the program with slow calls: {e}")))?;
    notes.same(Check::Stream, || "the program with slow calls".into(), &found, &expected);
    notes.verdict()
}
