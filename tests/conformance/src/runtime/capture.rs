//! Graphs: what may be captured, when it runs, how often, and with whose arguments. Where a device does not capture, the runtime's own graphs
//! stand in, as they do for the model.

use super::chain::{Chain, flip};
use super::load::{Load, occupy};
use super::quick;
use super::rig::{Notes, PATIENCE, Queue, Rig, bytes_of, floats};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{Mem, Result};
use omnihal_runtime::soft_graph::with_graphs;

mod calls;

const GROUP: &str = "runtime.capture";

pub(super) use calls::SCRIPTS as CALLS;

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/capture/captured_calls_run_at_launch_and_not_before", GROUP, at_launch),
    quick("runtime/capture/a_graph_can_be_launched_many_times", GROUP, many),
    quick("runtime/capture/graphs_and_eager_calls_keep_their_order", GROUP, mixed),
    quick("runtime/capture/every_captured_run_keeps_its_own_arguments", GROUP, own_arguments),
    quick("runtime/capture/launches_see_what_changed_in_memory", GROUP, changed),
    quick("runtime/capture/graphs_outlive_captures_and_streams", GROUP, outlive),
    quick("runtime/capture/captured_events_work_at_every_launch", GROUP, events),
];

/// A rig whose streams capture, a stream, and a chain on it; `None` where the chain may not be captured.
fn start(target: &Target, random: &mut Random, n: usize) -> Result<Option<(Rig, Queue, Chain)>> {
    let rig = Rig::new(&with_graphs(target.device().clone()));
    let queue = rig.queue()?;
    let chain = Chain::new(&rig, &queue, n, random)?;
    queue.finish()?;
    Ok(chain.capture_safe().then_some((rig, queue, chain)))
}

fn not_captured() -> Result<Verdict> {
    Ok(Verdict::Unsupported(
        "the plans of elementwise operators are not safe to capture, so no graph can be tested".into(),
    ))
}

fn compare(notes: &mut Notes, queue: &Queue, chain: &Chain, what: &str) -> Result<()> {
    notes.same(Check::Graph, || what.to_owned(), &chain.found(queue)?, &chain.expected_bytes());
    Ok(())
}

fn at_launch(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((_rig, queue, mut chain)) = start(target, &mut random, 90)? else { return not_captured() };
    for length in [1, 2, 12] {
        let steps = chain.steps(length, &mut random);
        let graph = queue.capture(|| chain.enqueue(&queue, &steps))?;
        notes.rule(graph.nodes() > 0, || format!("a graph of {length} steps has no node"));
        compare(&mut notes, &queue, &chain, "the state after a capture and before its launch")?;
        queue.launch(&*graph)?;
        chain.advance(&steps);
        compare(&mut notes, &queue, &chain, "the state after a launch")?;
    }
    // Each kind of call alone, as the only and as the last one.
    for single in ["run", "copy", "fill"] {
        let steps = loop {
            let steps = chain.steps(1, &mut random);
            let kind = match steps[0] {
                super::chain::Step::Flip(_) | super::chain::Step::Sub(_) => "run",
                super::chain::Step::Take(..) => "copy",
                super::chain::Step::Clear(_) => "fill",
                super::chain::Step::Detour(_) => "",
            };
            if kind == single {
                break steps;
            }
        };
        let graph = queue.capture(|| chain.enqueue(&queue, &steps))?;
        queue.launch(&*graph)?;
        chain.advance(&steps);
        compare(&mut notes, &queue, &chain, &format!("the state after a graph of one {single}"))?;
    }
    let empty = queue.capture(|| Ok(()))?;
    queue.launch(&*empty)?;
    compare(&mut notes, &queue, &chain, "the state after an empty graph")?;
    notes.verdict()
}

fn many(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((_rig, queue, mut chain)) = start(target, &mut random, 61)? else { return not_captured() };
    let steps = chain.steps(9, &mut random);
    let graph = queue.capture(|| chain.enqueue(&queue, &steps))?;
    for launch in 0..30 {
        queue.launch(&*graph)?;
        chain.advance(&steps);
        // Often behind each other, sometimes alone.
        if launch % 7 == 0 || launch == 1 {
            compare(&mut notes, &queue, &chain, &format!("the state after launch {launch} of a graph"))?;
        }
    }
    compare(&mut notes, &queue, &chain, "the state after 30 launches of a graph")?;
    notes.verdict()
}

fn mixed(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, mut chain)) = start(target, &mut random, 45)? else { return not_captured() };
    let load = Load::find(&rig, &queue)?;
    let captured = [chain.steps(4, &mut random), chain.steps(3, &mut random)];
    let graphs = [
        queue.capture(|| chain.enqueue(&queue, &captured[0]))?,
        queue.capture(|| chain.enqueue(&queue, &captured[1]))?,
    ];
    occupy(&load, &queue)?;
    for round in 0..16 {
        chain.walk(&queue, 2, &mut random)?;
        let which = random.below(2);
        queue.launch(&*graphs[which])?;
        chain.advance(&captured[which]);
        if round == 8 {
            occupy(&load, &queue)?;
        }
    }
    compare(&mut notes, &queue, &chain, "the state after graphs between eager calls")?;
    notes.verdict()
}

/// One plan, several runs, other arguments each; and the arguments' own memory is reused right away.
fn own_arguments(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, _chain)) = start(target, &mut random, 1)? else { return not_captured() };
    let n = 50;
    let plan = rig.device().plan(&flip(n, 9.0))?;
    let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let input = rig.filled(&queue, &bytes_of(&values))?;
    let outputs: Vec<Mem> = (0..4).map(|_| rig.alloc(floats(n))).collect::<Result<_>>()?;
    for output in &outputs {
        queue.fill(*output, 0)?;
    }
    let graph = queue.capture(|| {
        let mut from = input;
        for to in &outputs {
            let mut call = rig.call_planned(plan.clone(), &[from, *to])?;
            queue.run(&call)?;
            // The run has taken what it needs.
            call.views.fill(None);
            from = *to;
        }
        Ok(())
    })?;
    drop(plan);
    queue.launch(&*graph)?;
    for (i, output) in outputs.iter().enumerate() {
        let expected: Vec<f32> = values.iter().map(|v| if i % 2 == 0 { 9.0 - v } else { *v }).collect();
        let what = || format!("the result of run {i} of one plan in a graph");
        notes.same(Check::Graph, what, &queue.read(*output)?, &bytes_of(&expected));
    }
    notes.verdict()
}

fn changed(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, _chain)) = start(target, &mut random, 1)? else { return not_captured() };
    let n = 33;
    let (input, output) = (rig.alloc(floats(n))?, rig.alloc(floats(n))?);
    let (source, copied) = (rig.alloc(70)?, rig.alloc(70)?);
    let call = rig.call(&flip(n, 2.0), &[input, output])?;
    queue.fill(input, 0)?;
    queue.fill(source, 0)?;
    let graph = queue.capture(|| {
        queue.run(&call)?;
        queue.copy(copied, source)
    })?;
    for round in 0..5 {
        let values: Vec<f32> = (0..n).map(|_| random.below(100) as f32).collect();
        let bytes: Vec<u8> = (0..70).map(|_| random.bits() as u8).collect();
        queue.write(input, &bytes_of(&values))?;
        queue.write(source, &bytes)?;
        queue.launch(&*graph)?;
        let expected: Vec<f32> = values.iter().map(|v| 2.0 - v + 0.0).collect();
        let what = |call: &str| format!("the {call} of launch {round} with new contents of the same memory");
        notes.same(Check::Graph, || what("run"), &queue.read(output)?, &bytes_of(&expected));
        notes.same(Check::Graph, || what("copy"), &queue.read(copied)?, &bytes);
    }
    notes.verdict()
}

fn outlive(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, queue, mut chain)) = start(target, &mut random, 40)? else { return not_captured() };
    let early = chain.steps(5, &mut random);
    let late = chain.steps(4, &mut random);
    let first = {
        // Not a stream of the rig: this one goes before its graph does.
        let stream = rig.device().stream()?;
        let short_lived = Queue::from(stream);
        let graph = short_lived.capture(|| chain.enqueue(&short_lived, &early))?;
        short_lived.finish()?;
        graph
    };
    let second = queue.capture(|| chain.enqueue(&queue, &late))?;
    for _ in 0..3 {
        queue.launch(&*first)?;
        chain.advance(&early);
        queue.launch(&*second)?;
        chain.advance(&late);
    }
    compare(&mut notes, &queue, &chain, "the state after a graph whose stream is gone and a later one")?;
    let other = rig.queue()?;
    other.launch(&*second)?;
    chain.advance(&late);
    compare(&mut notes, &other, &chain, "the state after a launch on another stream than that of the capture")?;
    drop(second);
    other.launch(&*first)?;
    chain.advance(&early);
    compare(&mut notes, &other, &chain, "the state after a graph when a later one is gone")?;
    notes.verdict()
}

/// A captured wait is for the event's latest record before each launch; a captured record is made at each launch.
fn events(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let Some((rig, a, _chain)) = start(target, &mut random, 1)? else { return not_captured() };
    let b = rig.queue()?;
    let load = Load::find(&rig, &a)?;
    let (there, back) = (rig.device().event()?, rig.device().event()?);
    let (marker, seen) = (rig.alloc(200)?, rig.alloc(200)?);
    for (producer, consumer) in [(&a, &b), (&b, &a)] {
        let waiting = consumer.capture(|| {
            consumer.wait(&*there)?;
            consumer.copy(seen, marker)?;
            consumer.record(&*back)
        })?;
        for _ in 0..3 {
            let byte = random.bits() as u8 | 1;
            // The marker may be written once the launch before has read it.
            producer.wait(&*back)?;
            occupy(&load, producer)?;
            producer.fill(marker, byte)?;
            producer.record(&*there)?;
            consumer.launch(&*waiting)?;
            producer.wait(&*back)?;
            let found = producer.read(seen)?;
            notes.same(Check::Graph, || "work before an event that a graph waits for".into(), &found, &[byte; 200]);
            back.sync(PATIENCE)?;
        }
        consumer.finish()?;
    }
    notes.verdict()
}
