//! What a stream allows while it is captured, and what a capture does not concern.

use super::super::foreign;
use super::super::rig::{Notes, PATIENCE, Queue, Rig};
use super::super::{Chain, quick};
use super::{GROUP, compare, not_captured, start};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{Error, ErrorKind, Result};

pub(in crate::runtime) const SCRIPTS: &[Script] = &[
    quick("runtime/capture/graphs_are_there_exactly_where_promised", GROUP, promised),
    quick("runtime/capture/illegal_calls_are_refused_and_the_capture_goes_on", GROUP, illegal),
    quick("runtime/capture/captures_begin_and_end_in_turn", GROUP, in_turn),
    quick("runtime/capture/a_capture_does_not_concern_other_streams", GROUP, others),
    quick("runtime/capture/an_abandoned_capture_harms_nothing", GROUP, abandoned),
];

fn promised(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let marker = rig.filled(&queue, &[1; 40])?;
    let begun = queue.begin_capture();
    if rig.device().caps().native_graphs {
        if notes.done("a capture on a device that promises graphs", begun).is_some() {
            queue.fill(marker, 2)?;
            let graph = queue.end_capture()?;
            queue.launch(&*graph)?;
        }
    } else {
        notes.refused("a capture on a device that promises no graphs", begun, &[ErrorKind::Unsupported]);
        let ended = queue.end_capture().map(|_| ());
        notes.refused("the end of a capture there", ended, &[ErrorKind::Unsupported, ErrorKind::InvalidState]);
        let launched = queue.launch(&foreign::Graph);
        let kinds = &[ErrorKind::Unsupported, ErrorKind::InvalidArgument];
        notes.refused("the launch of a graph there", launched, kinds);
        queue.fill(marker, 2)?;
    }
    notes.same(Check::Graph, || "memory after that".into(), &queue.read(marker)?, &[2; 40]);
    notes.verdict()
}

fn illegal(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, mut chain)) = start(target, &mut random, 30)? else { return not_captured() };
    let marker = rig.alloc(16)?;
    let before = queue.capture(|| chain.enqueue(&queue, &[]))?;
    let steps = chain.steps(6, &mut random);
    queue.begin_capture()?;
    let kinds = &[ErrorKind::InvalidState];
    let outcome: Result<()> = steps.iter().enumerate().try_for_each(|(i, step)| {
        chain.enqueue(&queue, std::slice::from_ref(step))?;
        let mut host = [0; 16];
        match i {
            0 => notes.refused("sync during a capture", queue.sync(PATIENCE), kinds),
            1 => notes.refused("poll during a capture", queue.poll(), kinds),
            2 => notes.refused("a read during a capture", queue.read_into(marker, &mut host, PATIENCE), kinds),
            3 => notes.refused("a write during a capture", queue.write(marker, &[1; 16]), kinds),
            4 => notes.refused("a second capture", queue.begin_capture(), kinds),
            _ => notes.refused("a launch during a capture", queue.launch(&*before), kinds),
        }
        Ok(())
    });
    let graph = queue.end_capture();
    outcome?;
    let graph = graph?;
    compare(&mut notes, &queue, &chain, "the state after a capture with refused calls in it")?;
    queue.launch(&*graph)?;
    chain.advance(&steps);
    compare(&mut notes, &queue, &chain, "the state after the launch of a capture with refused calls in it")?;
    notes.verdict()
}

fn in_turn(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((_rig, queue, mut chain)) = start(target, &mut random, 30)? else { return not_captured() };
    let kinds = &[ErrorKind::InvalidState];
    for round in 0..3 {
        let ended = queue.end_capture().map(|_| ());
        notes.refused("the end of a capture that was not begun", ended, kinds);
        chain.walk(&queue, 2, &mut random)?;
        let steps = chain.steps(3, &mut random);
        let graph = queue.capture(|| chain.enqueue(&queue, &steps))?;
        let ended = queue.end_capture().map(|_| ());
        notes.refused("the end of a capture that was ended", ended, kinds);
        // Calls are eager again.
        chain.walk(&queue, 2, &mut random)?;
        compare(&mut notes, &queue, &chain, &format!("the state after capture {round}"))?;
        queue.launch(&*graph)?;
        chain.advance(&steps);
        let foreign = queue.launch(&foreign::Graph);
        notes.refused("a graph of another device", foreign, &[ErrorKind::InvalidArgument]);
    }
    compare(&mut notes, &queue, &chain, "the state after all captures")?;
    notes.verdict()
}

/// While one stream captures, others work, wait, allocate and capture, from this thread and from another.
fn others(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, mut chain)) = start(target, &mut random, 30)? else { return not_captured() };
    let other = rig.queue()?;
    let mut eager = Chain::new(&rig, &other, 30, &mut random)?;
    let steps = chain.steps(4, &mut random);
    queue.begin_capture()?;
    let mut meanwhile = || -> Result<()> {
        chain.enqueue(&queue, &steps[..2])?;
        work(&rig, &other, &mut eager, &mut random, &mut notes)?;
        let from_elsewhere = std::thread::scope(|scope| {
            let handle = scope.spawn(|| work(&rig, &other, &mut eager, &mut random, &mut notes));
            handle.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::Execution, "the other thread panicked")))
        });
        from_elsewhere?;
        chain.enqueue(&queue, &steps[2..])
    };
    let outcome = meanwhile();
    let graph = queue.end_capture();
    outcome?;
    queue.launch(&*graph?)?;
    chain.advance(&steps);
    compare(&mut notes, &queue, &chain, "the state after a capture beside other streams' work")?;
    notes.verdict()
}

fn work(rig: &Rig, queue: &Queue, eager: &mut Chain, random: &mut Random, notes: &mut Notes) -> Result<()> {
    rig.alloc(1000)?;
    drop(rig.device().alloc(1 << 20, omnihal::MemoryKind::Device)?);
    eager.walk(queue, 3, random)?;
    let steps = eager.steps(2, random);
    let graph = queue.capture(|| eager.enqueue(queue, &steps))?;
    queue.launch(&*graph)?;
    eager.advance(&steps);
    let event = queue.mark(rig)?;
    event.sync(PATIENCE)?;
    queue.finish()?;
    compare(notes, queue, eager, "the work of a stream beside a capture")
}

fn abandoned(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, mut chain)) = start(target, &mut random, 30)? else { return not_captured() };
    for _ in 0..3 {
        let stream = Queue::from(rig.device().stream()?);
        stream.begin_capture()?;
        chain.enqueue(&stream, &chain.steps(3, &mut random))?;
    }
    chain.walk(&queue, 3, &mut random)?;
    compare(&mut notes, &queue, &chain, "the state after streams were dropped in the middle of a capture")?;
    let steps = chain.steps(3, &mut random);
    let graph = queue.capture(|| chain.enqueue(&queue, &steps))?;
    queue.launch(&*graph)?;
    chain.advance(&steps);
    compare(&mut notes, &queue, &chain, "a graph after streams were dropped in the middle of a capture")?;
    notes.verdict()
}
