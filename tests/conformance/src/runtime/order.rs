//! Streams: calls take effect in their order, waits wait, and limits of waits are kept.

use super::chain::Chain;
use super::load::{Load, occupy};
use super::rig::{Notes, Queue, Rig, SHORT, always};
use super::{full, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{ErrorKind, Mem, Result, Severity};
use std::time::{Duration, Instant};

const GROUP: &str = "runtime.order";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/order/dependent_calls_take_effect_in_order", GROUP, |t, s| chain(t, s, 60)),
    full("runtime/order/two_thousand_dependent_calls_take_effect_in_order", GROUP, |t, s| chain(t, s, 400)),
    quick("runtime/order/copies_wait_for_runs_and_runs_for_copies", GROUP, alternate),
    quick("runtime/order/many_streams_do_not_disturb_each_other", GROUP, side_by_side),
    quick("runtime/order/after_sync_everything_is_done", GROUP, sync_means_done),
    quick("runtime/order/poll_answers_at_once_and_truly", GROUP, poll),
    quick("runtime/order/waits_keep_their_limit_and_change_nothing", GROUP, limits),
    quick("runtime/order/waits_may_have_any_limit", GROUP, any_limit),
];

fn chain(target: &Target, seed: u64, steps: usize) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    for n in [1, 7, 64, 257, 1000] {
        let mut chain = Chain::new(&rig, &queue, n, &mut random)?;
        chain.walk(&queue, steps, &mut random)?;
        let what = || format!("{steps} dependent calls on {n} numbers");
        notes.same(Check::Stream, what, &chain.found(&queue)?, &chain.expected_bytes());
    }
    notes.verdict()
}

/// Each run's result is copied at once, each copy's result is used at once.
fn alternate(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let load = Load::find(&rig, &queue)?;
    let mut chain = Chain::new(&rig, &queue, 100, &mut random)?;
    let rounds = 8;
    let log: Vec<Mem> = (0..rounds).map(|_| rig.alloc(chain.state.len)).collect::<Result<_>>()?;
    let mut expected = Vec::new();
    occupy(&load, &queue)?;
    for mem in &log {
        chain.walk(&queue, 3, &mut random)?;
        queue.copy(*mem, chain.state)?;
        queue.fill(chain.state, 0)?;
        queue.copy(chain.state, *mem)?;
        expected.push(chain.expected_bytes());
    }
    for (round, (mem, expected)) in log.iter().zip(&expected).enumerate() {
        let found: Vec<f32> =
            queue.read(*mem)?.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]) + 0.0).collect();
        let what = || format!("the copy of round {round} between runs");
        notes.same(Check::Stream, what, &super::rig::bytes_of(&found), expected);
    }
    notes.verdict()
}

fn side_by_side(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let mut all: Vec<(Queue, Chain)> = Vec::new();
    for i in 0..16 {
        let queue = rig.queue()?;
        let chain = Chain::new(&rig, &queue, 20 + 13 * i, &mut random)?;
        all.push((queue, chain));
    }
    for _ in 0..10 {
        for (queue, chain) in &mut all {
            chain.walk(queue, 3, &mut random)?;
        }
    }
    for (i, (queue, chain)) in all.iter().enumerate() {
        let what = || format!("stream {i} of 16");
        notes.same(Check::Stream, what, &chain.found(queue)?, &chain.expected_bytes());
    }
    notes.verdict()
}

/// A mark that work leaves behind, seen from a stream that does not wait for that work.
struct Marker {
    mem: Mem,
    seen_from: Queue,
}

impl Marker {
    const BYTES: usize = 256;

    fn new(rig: &Rig) -> Result<Marker> {
        Ok(Marker { mem: rig.alloc(Self::BYTES)?, seen_from: rig.queue()? })
    }

    fn clear(&self) -> Result<()> {
        self.seen_from.fill(self.mem, 0)?;
        self.seen_from.finish()
    }

    fn is(&self, byte: u8) -> Result<bool> {
        Ok(self.seen_from.read(self.mem)? == [byte; Self::BYTES])
    }
}

fn sync_means_done(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let load = Load::find(&rig, &queue)?;
    let marker = Marker::new(&rig)?;
    for byte in 1..=4 {
        marker.clear()?;
        occupy(&load, &queue)?;
        queue.fill(marker.mem, byte)?;
        queue.finish()?;
        notes.expect(marker.is(byte)?, Check::Stream, || "after sync the last call was not done".into());
        notes.rule(queue.poll()?, || "after sync poll says that work is pending".into());
        if let Some(load) = &load {
            queue.fill(load.result, 0)?;
            load.enqueue(&queue)?;
            queue.finish()?;
            let found = marker.seen_from.read(load.result.slice(load.result.len - 4, 4)?)?;
            notes.same(Check::Stream, || "the last run, after sync".into(), &found, &load.value.to_le_bytes());
        }
    }
    notes.verdict()
}

fn poll(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    notes.rule(queue.poll()?, || "a fresh stream says that work is pending".into());
    let load = Load::find(&rig, &queue)?;
    let marker = Marker::new(&rig)?;
    let mut byte = 0;
    let waits = always(|| {
        byte += 1;
        marker.clear()?;
        occupy(&load, &queue)?;
        queue.fill(marker.mem, byte)?;
        let start = Instant::now();
        let done = queue.poll()?;
        let took = start.elapsed();
        notes.expect(!done || marker.is(byte)?, Check::Stream, || {
            "poll said that all work is done before it was".into()
        });
        queue.finish()?;
        Ok(took > Duration::from_millis(10))
    })?;
    notes.rule(!waits, || "poll waited for the work, expected an answer at once".into());
    // It turns true without any other call.
    occupy(&load, &queue)?;
    let start = Instant::now();
    while !queue.poll()? && start.elapsed() < super::rig::PATIENCE {
        std::thread::sleep(SHORT);
    }
    notes.rule(queue.poll()?, || "poll never said that the work is done".into());
    notes.verdict()
}

/// Calls a wait with a limit that the work does not keep.
fn too_short(notes: &mut Notes, what: &str, wait: impl FnOnce() -> Result<()>) -> Duration {
    let start = Instant::now();
    let result = wait();
    let took = start.elapsed();
    if let Err(error) = result {
        notes.rule(error.kind() == ErrorKind::Timeout && error.severity() == Severity::Rejected, || {
            format!("{what} with a limit that the work does not keep failed as {:?}: {error}", error.kind())
        });
    }
    took
}

fn limits(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let load = Load::find(&rig, &queue)?;
    let mut chain = Chain::new(&rig, &queue, 50, &mut random)?;
    for what in ["sync", "a read", "sync of an event"] {
        let late = always(|| {
            occupy(&load, &queue)?;
            chain.walk(&queue, 2, &mut random)?;
            let event = queue.mark(&rig)?;
            let mut host = vec![0; chain.state.len];
            let took = match what {
                "sync" => too_short(&mut notes, what, || queue.sync(SHORT)),
                "a read" => too_short(&mut notes, what, || queue.read_into(chain.state, &mut host, SHORT)),
                _ => too_short(&mut notes, what, || event.sync(SHORT)),
            };
            chain.walk(&queue, 2, &mut random)?;
            let Some(found) = notes.done(&format!("work after {what} ran out of time"), chain.found(&queue)) else {
                return Ok(false);
            };
            let text = || format!("the state after {what} ran out of time");
            notes.same(Check::Stream, text, &found, &chain.expected_bytes());
            Ok(took > Duration::from_millis(15))
        })?;
        notes.rule(!late, || format!("{what} with a limit of 1 ms waited for more than 15 ms"));
    }
    notes.verdict()
}

/// No limit is too long or too short to be added to a clock.
fn any_limit(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let marker = rig.alloc(64)?;
    for limit in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000_000_000), Duration::from_secs(1 << 40)] {
        queue.fill(marker, 1)?;
        let event = queue.mark(&rig)?;
        notes.done(&format!("sync of an event with a limit of {limit:?}"), event.sync(limit));
        notes.done(&format!("sync with a limit of {limit:?}"), queue.sync(limit));
        let mut host = [0; 64];
        notes.done(&format!("a read with a limit of {limit:?}"), queue.read_into(marker, &mut host, limit));
        notes.same(Check::Stream, || "a read with a long limit".into(), &host, &[1; 64]);
        // Done work needs no time. A read is done when its bytes are there, its stream perhaps a moment later.
        queue.finish()?;
        notes.done("sync with a limit of 0 after the work", queue.sync(Duration::ZERO));
        notes.done("sync of an event with a limit of 0 after the work", event.sync(Duration::ZERO));
    }
    notes.verdict()
}
