//! Events: what is seen after them, on other streams and on the host.

use super::foreign;
use super::load::{Load, occupy};
use super::rig::{Notes, PATIENCE, Queue, Rig};
use super::{Chain, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{ErrorKind, Mem, Result};
use std::time::Duration;

const GROUP: &str = "runtime.events";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/events/an_event_that_was_never_recorded_has_passed", GROUP, unrecorded),
    quick("runtime/events/an_event_passes_after_the_work_before_it", GROUP, passes_after),
    quick("runtime/events/a_stream_waits_for_the_work_before_an_event", GROUP, stream_waits),
    quick("runtime/events/an_event_can_be_recorded_again", GROUP, again),
    quick("runtime/events/a_wait_is_for_the_latest_record_before_it", GROUP, latest),
    quick("runtime/events/work_passes_to_and_fro_between_two_streams", GROUP, to_and_fro),
    quick("runtime/events/work_passes_along_eight_streams", GROUP, along),
    quick("runtime/events/events_of_another_device_are_refused", GROUP, other_device),
];

const BYTES: usize = 300;

fn unrecorded(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let event = rig.device().event()?;
    notes.rule(event.poll()?, || "poll says that an event that was never recorded has not passed".into());
    notes.done("sync of an event that was never recorded", event.sync(Duration::ZERO));
    let marker = rig.alloc(BYTES)?;
    for byte in [3, 4] {
        notes.done("a wait for an event that was never recorded", queue.wait(&*event));
        queue.fill(marker, byte)?;
        notes.same(Check::Stream, || "work after such a wait".into(), &queue.read(marker)?, &[byte; BYTES]);
    }
    notes.verdict()
}

/// The host sees the work once the event has passed, by poll as by sync, through a stream that waits for nothing.
fn passes_after(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let (first, second, observer) = (rig.queue()?, rig.queue()?, rig.queue()?);
    let load = Load::find(&rig, &first)?;
    let marker = rig.alloc(BYTES)?;
    for (round, queue) in [&first, &second, &first, &second].into_iter().enumerate() {
        let byte = 10 + round as u8;
        observer.fill(marker, 0)?;
        observer.finish()?;
        let event = rig.device().event()?;
        occupy(&load, queue)?;
        queue.fill(marker, byte)?;
        queue.record(&*event)?;
        let by = if round < 2 { "poll" } else { "sync" };
        let passed = match by {
            "poll" => event.poll()?,
            _ => event.sync(PATIENCE).map(|()| true)?,
        };
        if passed {
            let what = || format!("the last call before an event that has passed by {by}");
            notes.same(Check::Stream, what, &observer.read(marker)?, &[byte; BYTES]);
        }
        queue.finish()?;
        notes.rule(event.poll()?, || "the stream is done and the event on it has not passed".into());
    }
    notes.verdict()
}

/// What the last call before an event is.
#[derive(Clone, Copy, Debug)]
enum Last {
    Fill,
    Copy,
    Write,
    Run,
}

/// Memory that is written on one stream and seen on another.
struct Handover {
    marker: Mem,
    seen: Mem,
    fresh: Mem,
}

impl Handover {
    fn new(rig: &Rig) -> Result<Handover> {
        Ok(Handover { marker: rig.alloc(BYTES)?, seen: rig.alloc(BYTES)?, fresh: rig.alloc(BYTES)? })
    }

    /// Does `last` on `from` after a load, and looks at it on `to` after an event.
    fn check(&self, notes: &mut Notes, rig: &Rig, load: &Option<Load>, pair: [&Queue; 2], last: Last) -> Result<()> {
        let [from, to] = pair;
        let byte = 0x21 + last as u8;
        let run = load.as_ref().filter(|_| matches!(last, Last::Run));
        let marker = run.map_or(self.marker, |l| Mem { len: BYTES, ..l.result });
        let expected = run
            .map_or(vec![byte; BYTES], |l| l.value.to_le_bytes().into_iter().cycle().take(BYTES).collect::<Vec<u8>>());
        to.fill(marker, 0)?;
        from.fill(self.fresh, byte)?;
        to.finish()?;
        from.finish()?;
        occupy(load, from)?;
        match last {
            Last::Fill => from.fill(marker, byte)?,
            Last::Copy => from.copy(marker, self.fresh)?,
            Last::Write => from.write(marker, &[byte; BYTES])?,
            // The load ends with it.
            Last::Run if run.is_some() => {}
            Last::Run => from.fill(marker, byte)?,
        }
        let event = from.mark(rig)?;
        to.wait(&*event)?;
        to.copy(self.seen, marker)?;
        let what = || format!("the {last:?} before an event, on a stream that waits for it,");
        notes.same(Check::Stream, what, &to.read(self.seen)?, &expected);
        from.finish()
    }
}

fn stream_waits(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let (a, b) = (rig.queue()?, rig.queue()?);
    let load = Load::find(&rig, &a)?;
    let handover = Handover::new(&rig)?;
    for last in [Last::Fill, Last::Copy, Last::Write, Last::Run] {
        handover.check(&mut notes, &rig, &load, [&a, &b], last)?;
        handover.check(&mut notes, &rig, &load, [&b, &a], last)?;
    }
    notes.verdict()
}

/// One event, recorded many times.
fn again(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let (a, b) = (rig.queue()?, rig.queue()?);
    let load = Load::find(&rig, &a)?;
    let (marker, seen) = (rig.alloc(BYTES)?, rig.alloc(BYTES)?);
    let event = rig.device().event()?;
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let byte = 0x40 + round as u8;
        occupy(&load, from)?;
        from.fill(marker, byte)?;
        from.record(&*event)?;
        to.wait(&*event)?;
        to.copy(seen, marker)?;
        let what = || format!("work before record {round} of one event");
        notes.same(Check::Stream, what, &to.read(seen)?, &[byte; BYTES]);
        // What is written next must wait for the reader.
        from.finish()?;
    }
    occupy(&load, &a)?;
    a.fill(marker, 0x77)?;
    a.record(&*event)?;
    event.sync(PATIENCE)?;
    notes.same(Check::Stream, || "work before an event recorded again".into(), &b.read(marker)?, &[0x77; BYTES]);
    notes.verdict()
}

/// A wait is for what was recorded when it was made. Were it for what comes later, these streams would wait for each other for ever.
fn latest(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let (a, b) = (rig.queue()?, rig.queue()?);
    let load = Load::find(&rig, &a)?;
    for recorded_before in [false, true] {
        let (on_a, on_b) = (rig.device().event()?, rig.device().event()?);
        if recorded_before {
            a.record(&*on_a)?;
            b.record(&*on_b)?;
        }
        a.wait(&*on_b)?;
        b.wait(&*on_a)?;
        occupy(&load, &a)?;
        a.record(&*on_a)?;
        b.record(&*on_b)?;
        let limit = Duration::from_secs(10);
        let what = if recorded_before { "recorded again" } else { "recorded only" };
        for queue in [&a, &b] {
            notes.done(&format!("sync of a stream that waits for an event {what} after the wait"), queue.sync(limit));
        }
        if !notes.clean() {
            break;
        }
        notes.rule(on_a.poll()? && on_b.poll()?, || "events of streams that are done have not passed".into());
    }
    notes.verdict()
}

fn to_and_fro(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let (a, b) = (rig.queue()?, rig.queue()?);
    let mut chain = Chain::new(&rig, &a, 77, &mut random)?;
    for round in 0..24 {
        let (from, to) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        chain.walk(from, 2, &mut random)?;
        let event = from.mark(&rig)?;
        to.wait(&*event)?;
    }
    notes.same(
        Check::Stream,
        || "a state handed to and fro between two streams".into(),
        &chain.found(&a)?,
        &chain.expected_bytes(),
    );
    notes.verdict()
}

fn along(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queues: Vec<Queue> = (0..8).map(|_| rig.queue()).collect::<Result<_>>()?;
    let load = Load::find(&rig, &queues[0])?;
    let mut chain = Chain::new(&rig, &queues[0], 130, &mut random)?;
    // The last streams' waits are made long before the first stream gets there.
    occupy(&load, &queues[0])?;
    for pair in queues.windows(2) {
        chain.walk(&pair[0], 3, &mut random)?;
        let event = pair[0].mark(&rig)?;
        pair[1].wait(&*event)?;
    }
    chain.walk(&queues[7], 3, &mut random)?;
    notes.same(
        Check::Stream,
        || "a state handed along eight streams".into(),
        &chain.found(&queues[7])?,
        &chain.expected_bytes(),
    );
    notes.verdict()
}

fn other_device(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let marker = rig.alloc(BYTES)?;
    let kinds = &[ErrorKind::InvalidArgument];
    for byte in [1, 2] {
        notes.refused("a wait for an event of another device", queue.wait(&foreign::Event), kinds);
        notes.refused("a record in an event of another device", queue.record(&foreign::Event), kinds);
        queue.fill(marker, byte)?;
        notes.same(Check::Stream, || "work after refused events".into(), &queue.read(marker)?, &[byte; BYTES]);
    }
    // The same backend's event may be usable or not: either way nothing hangs, and the stream goes on.
    let other = target.reopen()?;
    let event = other.event()?;
    for (what, result) in [("wait", queue.wait(&*event)), ("record", queue.record(&*event))] {
        if let Err(error) = result {
            notes.refused::<()>(&format!("a {what} with an event of the device opened anew"), Err(error), kinds);
        }
    }
    queue.fill(marker, 9)?;
    notes.same(
        Check::Stream,
        || "work after an event of the device opened anew".into(),
        &queue.read(marker)?,
        &[9; BYTES],
    );
    notes.verdict()
}
