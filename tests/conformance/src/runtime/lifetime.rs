//! Opening, closing, making and dropping, many times: nothing is left behind.

use super::chain::flip;
use super::load::{Load, occupy};
use super::rig::{Notes, Queue, Rig, bytes_of};
use super::{Chain, Resident, full, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{MemoryKind, Result};

const GROUP: &str = "runtime.lifetime";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/lifetime/opened_and_closed_50_times", GROUP, |t, s| opened(t, s, 50)),
    full("runtime/lifetime/opened_and_closed_2000_times", GROUP, |t, s| opened(t, s, 2000)),
    quick("runtime/lifetime/memory_allocated_and_freed_1000_times", GROUP, |t, s| allocated(t, s, 1000)),
    full("runtime/lifetime/memory_allocated_and_freed_10000_times", GROUP, |t, s| allocated(t, s, 10_000)),
    quick("runtime/lifetime/streams_and_events_made_200_times", GROUP, |t, s| made(t, s, 200)),
    full("runtime/lifetime/streams_and_events_made_2000_times", GROUP, |t, s| made(t, s, 2000)),
    quick("runtime/lifetime/plans_and_graphs_made_200_times", GROUP, |t, s| planned(t, s, 200)),
    quick("runtime/lifetime/work_outlives_what_enqueued_it", GROUP, dropped_early),
];

/// Growth of the process that is no leak: allocators keep pages, other threads of this process come and go.
const SLACK: u64 = 32 << 20;

/// Does something many times and watches the process. The first part of it is warm-up: pools and caches fill then.
pub(crate) fn flat(
    notes: &mut Notes,
    what: &str,
    times: usize,
    mut once: impl FnMut(usize, &mut Notes) -> Result<()>,
) -> Result<()> {
    let warm_up = (times / 5).max(1);
    let mut before = None;
    for i in 0..times {
        once(i, notes)?;
        if i + 1 == warm_up {
            before = Resident::bytes();
        }
        if !notes.clean() {
            return Ok(());
        }
    }
    let (Some(before), Some(after)) = (before, Resident::bytes()) else {
        tracing::info!("this system does not tell the size of a process: its growth is not checked");
        return Ok(());
    };
    notes.rule(after < before + SLACK, || {
        format!("the process grew from {before} to {after} bytes while {what} happened {} times", times - warm_up)
    });
    Ok(())
}

fn opened(target: &Target, seed: u64, times: usize) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    flat(&mut notes, "opening and closing", times, |i, notes| {
        let device = target.reopen()?;
        if i % 10 == 0 {
            let rig = Rig::new(&device);
            let queue = rig.queue()?;
            let mut chain = Chain::new(&rig, &queue, 50, &mut random)?;
            chain.walk(&queue, 4, &mut random)?;
            let what = || format!("work on the device opened for the {i}th time");
            notes.same(Check::Stream, what, &chain.found(&queue)?, &chain.expected_bytes());
        }
        Ok(())
    })?;
    notes.verdict()
}

fn allocated(target: &Target, seed: u64, times: usize) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let in_use = target.device().memory_in_use();
    let mut total = 0;
    flat(&mut notes, "allocating and freeing", times, |i, notes| {
        let bytes = 1 + random.below([100, 10_000, 1 << 20][i % 3]);
        total += bytes as u64;
        let kind = if random.below(4) == 0 { MemoryKind::Pinned } else { MemoryKind::Device };
        let buffer = target.device().alloc(bytes, kind)?;
        // Touched, so that what is not freed is resident.
        queue.fill(buffer.mem(), i as u8)?;
        if i % 50 == 0 {
            let expected = vec![i as u8; bytes];
            notes.same(Check::Exact, || format!("allocation {i}"), &queue.read(buffer.mem())?, &expected);
        }
        queue.finish()
    })?;
    if let (Some(before), Some(after)) = (in_use, target.device().memory_in_use()) {
        // Others may use the device too, so only the bulk counts.
        notes.rule(after < before + total / 2 + u64::from(u32::MAX) / 8, || {
            format!("{before} bytes of device memory were in use, {after} are after {total} were allocated and freed")
        });
    }
    notes.verdict()
}

fn made(target: &Target, seed: u64, times: usize) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let marker = rig.alloc(40)?;
    let device = target.device();
    flat(&mut notes, "making streams and events", times, |_, notes| {
        let byte = random.bits() as u8;
        let (first, second) = (Queue::from(device.stream()?), Queue::from(device.stream()?));
        let event = device.event()?;
        first.fill(marker, byte)?;
        first.record(&*event)?;
        second.wait(&*event)?;
        let found = second.read(marker)?;
        notes.same(Check::Stream, || "work on a fresh stream behind another".into(), &found, &[byte; 40]);
        first.finish()
    })?;
    notes.verdict()
}

fn planned(target: &Target, seed: u64, times: usize) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(&omnihal_runtime::soft_graph::with_graphs(target.device().clone()));
    let queue = rig.queue()?;
    let mut chain = Chain::new(&rig, &queue, 64, &mut random)?;
    if !chain.capture_safe() {
        return Ok(Verdict::Unsupported("the plans of elementwise operators are not safe to capture".into()));
    }
    flat(&mut notes, "making plans and graphs", times, |i, notes| {
        drop(rig.device().plan(&flip(1 + i % 1000, i as f32))?);
        let steps = chain.steps(4, &mut random);
        let graph = queue.capture(|| chain.enqueue(&queue, &steps))?;
        queue.launch(&*graph)?;
        queue.finish()?;
        chain.advance(&steps);
        if i % 20 == 0 {
            notes.same(Check::Graph, || format!("graph {i}"), &chain.found(&queue)?, &chain.expected_bytes());
        }
        Ok(())
    })?;
    notes.verdict()
}

/// Enqueued work needs memory to stay, and nothing else: plans, events, graphs and the stream itself may go as soon as the calls return.
fn dropped_early(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(&omnihal_runtime::soft_graph::with_graphs(target.device().clone()));
    let observer = rig.queue()?;
    let load = Load::find(&rig, &observer)?;
    let (input, output, copied) = (rig.alloc(400)?, rig.alloc(400)?, rig.alloc(400)?);
    for _ in 0..3 {
        let values: Vec<f32> = (0..100).map(|_| random.below(50) as f32).collect();
        observer.write(input, &bytes_of(&values))?;
        observer.finish()?;
        let stream = Queue::from(rig.device().stream()?);
        let call = rig.call(&flip(100, 60.0), &[input, output])?;
        let graph = stream.capture(|| stream.copy(copied, output))?;
        let done = rig.device().event()?;
        occupy(&load, &stream)?;
        stream.run(&call)?;
        drop(call);
        stream.launch(&*graph)?;
        drop(graph);
        stream.record(&*done)?;
        drop(stream);
        observer.wait(&*done)?;
        drop(done);
        let expected = bytes_of(&values.iter().map(|v| 60.0 - v).collect::<Vec<_>>());
        let what = |what: &str| format!("the result of a {what} whose objects were dropped after the call");
        notes.same(Check::Stream, || what("run"), &observer.read(output)?, &expected);
        notes.same(Check::Graph, || what("graph"), &observer.read(copied)?, &expected);
    }
    notes.verdict()
}
