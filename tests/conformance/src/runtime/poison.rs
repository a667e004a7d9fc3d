//! What becomes of a stream whose work fails while it executes. No legal call makes an honest device fail, so whoever can provoke a failure
//! (a layer that injects one, a vendor's test build) hands in the call that does.

use super::rig::{Notes, PATIENCE, Queue, Rig};
use crate::outcome::Check;
use crate::script::Verdict;
use omnihal::{Device, Error, ErrorKind, Event, Mem, Result, Severity, Stream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time that dropping a failed stream may take.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// Judges a device by the rules of failed streams. `fail` enqueues a run that fails while it executes; it may say so at once or leave it
/// to a later call. All other work here is copies and fills.
pub fn rules(device: &Arc<dyn Device>, fail: &dyn Fn(&dyn Stream) -> Result<()>) -> Result<Verdict> {
    let mut notes = Notes::default();
    let scene = Scene::new(device, fail)?;
    scene.first_cause(&mut notes)?;
    scene.events_carry_it(&mut notes)?;
    scene.others_go_on(&mut notes)?;
    scene.recovery(&mut notes)?;
    notes.verdict()
}

struct Scene<'a> {
    rig: Rig,
    healthy: Queue,
    marker: Mem,
    other: Mem,
    fail: &'a dyn Fn(&dyn Stream) -> Result<()>,
}

impl<'a> Scene<'a> {
    fn new(device: &Arc<dyn Device>, fail: &'a dyn Fn(&dyn Stream) -> Result<()>) -> Result<Scene<'a>> {
        let rig = Rig::new(device);
        let healthy = rig.queue()?;
        let marker = rig.filled(&healthy, &[1; 64])?;
        let other = rig.filled(&healthy, &[2; 64])?;
        healthy.finish()?;
        Ok(Scene { rig, healthy, marker, other, fail })
    }

    /// A stream that failed, and the first cause that it told.
    fn failed(&self, notes: &mut Notes) -> Result<(Queue, Error)> {
        let queue = self.rig.queue()?;
        let at_once = (self.fail)(&*queue).err();
        let told = queue.finish().err();
        if let (Some(first), Some(second)) = (&at_once, &told) {
            notes.rule(first == second, || format!("a failed call said `{first}`, sync after it `{second}`"));
        }
        let cause = at_once.or(told).ok_or_else(|| {
            Error::new(ErrorKind::InvalidState, "a run that was made to fail was told neither by its call nor by sync")
        })?;
        notes.rule(cause.kind() == ErrorKind::Execution && cause.severity() == Severity::StreamPoisoned, || {
            format!("a failed run is told as {:?}, {:?}: {cause}", cause.kind(), cause.severity())
        });
        notes.rule(cause.op().is_some(), || format!("a failed run does not name its operator: {cause}"));
        Ok((queue, cause))
    }

    /// Every later call returns the first cause, however often it is asked.
    fn first_cause(&self, notes: &mut Notes) -> Result<()> {
        let (queue, cause) = self.failed(notes)?;
        let event = self.rig.device().event()?;
        let mut host = [0; 64];
        for _ in 0..2 {
            let calls: [(&str, Result<()>); 9] = [
                ("sync", queue.sync(PATIENCE)),
                ("run", (self.fail)(&*queue)),
                ("copy", queue.copy(self.other, self.marker)),
                ("fill", queue.fill(self.other, 9)),
                ("write", queue.write(self.other, &[9; 64])),
                ("read", queue.read_into(self.marker, &mut host, PATIENCE)),
                ("record", queue.record(&*event)),
                ("poll", queue.poll().map(|_| ())),
                ("sync again", queue.sync(PATIENCE)),
            ];
            for (name, result) in calls {
                notes.rule(result.as_ref().err() == Some(&cause), || match result {
                    Ok(()) => format!("{name} on a failed stream was accepted, expected the cause `{cause}`"),
                    Err(e) => format!("{name} on a failed stream returned `{e}`, expected the first cause `{cause}`"),
                });
            }
        }
        self.intact(notes, "after calls on a failed stream")
    }

    fn intact(&self, notes: &mut Notes, when: &str) -> Result<()> {
        for (mem, byte) in [(self.marker, 1), (self.other, 2)] {
            let what = || format!("memory that no work reached, {when},");
            notes.same(Check::Guards, what, &self.healthy.read(mem)?, &[byte; 64]);
        }
        Ok(())
    }

    fn carries(&self, notes: &mut Notes, event: &dyn Event, cause: &Error, when: &str) -> Result<()> {
        let told = event.sync(PATIENCE);
        notes.rule(told.as_ref().err() == Some(cause), || {
            format!("sync of an event recorded {when} returned {told:?}, expected the cause `{cause}`")
        });
        let waiter = self.rig.queue()?;
        let waited = waiter.wait(event);
        let worked = waited.and_then(|()| waiter.fill(self.rig.alloc(16)?, 3)).and_then(|()| waiter.finish());
        notes.rule(worked.as_ref().err() == Some(cause), || {
            format!(
                "a stream that waits for an event recorded {when} returned {worked:?}, expected the cause `{cause}`"
            )
        });
        // And on to the next.
        let further = self.rig.device().event()?;
        let _told_above = waiter.record(&*further);
        let last = self.rig.queue()?;
        let worked = last.wait(&*further).and_then(|()| last.finish());
        notes.rule(worked.as_ref().err() == Some(cause), || {
            format!("a stream behind a stream behind a failed one returned {worked:?}, expected the cause `{cause}`")
        });
        Ok(())
    }

    fn events_carry_it(&self, notes: &mut Notes) -> Result<()> {
        // Recorded before the failure: whoever waits for it goes on.
        let queue = self.rig.queue()?;
        let before = queue.mark(&self.rig)?;
        let event = self.rig.device().event()?;
        let at_once = (self.fail)(&*queue).err();
        // Recorded when the stream may not know yet.
        let _may_know = queue.record(&*event);
        let told = queue.finish().err();
        let Some(cause) = at_once.or(told) else { return Ok(()) };
        self.carries(notes, &*event, &cause, "after the failing call")?;
        notes.done("sync of an event recorded before the failing call", before.sync(PATIENCE));
        let waiter = self.rig.queue()?;
        let went_on = waiter.wait(&*before).and_then(|()| waiter.finish());
        notes.done("work behind an event recorded before the failing call", went_on);
        // Recorded when it knows.
        let late = self.rig.device().event()?;
        let _told = queue.record(&*late);
        self.carries(notes, &*late, &cause, "on a stream that has failed")?;
        // Recorded anew on a healthy stream, it stands for that.
        notes.done("a record, on a healthy stream, of an event of a failed one", self.healthy.record(&*late));
        notes.done("sync of an event that a healthy stream recorded anew", late.sync(PATIENCE));
        let waiter = self.rig.queue()?;
        let went_on = waiter.wait(&*late).and_then(|()| waiter.finish());
        notes.done("work behind an event that a healthy stream recorded anew", went_on);
        Ok(())
    }

    fn others_go_on(&self, notes: &mut Notes) -> Result<()> {
        let (_failed, _) = self.failed(notes)?;
        let scratch = self.rig.alloc(64)?;
        notes.done("a copy on a stream beside a failed one", self.healthy.copy(scratch, self.marker));
        notes.same(Check::Stream, || "that copy".into(), &self.healthy.read(scratch)?, &[1; 64]);
        Ok(())
    }

    /// The failed stream is dropped, another takes its place.
    fn recovery(&self, notes: &mut Notes) -> Result<()> {
        for _ in 0..3 {
            let stream = Queue::from(self.rig.device().stream()?);
            let at_once = (self.fail)(&*stream);
            let told = at_once.and_then(|()| stream.finish());
            notes.rule(told.is_err(), || "a run that was made to fail succeeded".into());
            let start = Instant::now();
            drop(stream);
            notes.rule(start.elapsed() < DROP_LIMIT, || format!("dropping a failed stream took {:?}", start.elapsed()));
            let next = self.rig.queue()?;
            let scratch = self.rig.alloc(64)?;
            next.copy(scratch, self.other)?;
            notes.same(Check::Stream, || "a copy on the next stream".into(), &next.read(scratch)?, &[2; 64]);
        }
        notes.done("asking for the device's health after a stream failed", self.rig.device().health());
        self.intact(notes, "after streams failed")
    }
}
