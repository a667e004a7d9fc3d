//! The `soak` profile: a small program, many times. Results stay what they are, memory stays flat.

use crate::Profile;
use crate::outcome::Check;
use crate::random::Random;
use crate::runtime::{Chain, Notes, Queue, Rig, flat, samples};
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{Determinism, Event, Graph, Result};

const GROUP: &str = "soak";

const fn script(id: &'static str, quick: bool, run: fn(&Target, u64) -> Result<Verdict>) -> Script {
    Script { id, group: GROUP, profile: Profile::Soak, quick, run }
}

/// Every script of the profile.
pub const SCRIPTS: &[Script] = &[
    script("soak/200_steps", true, |t, s| soak(t, s, 200)),
    script("soak/10000_steps", false, |t, s| soak(t, s, 10_000)),
];

/// Steps between two looks at the state.
const LOOK: usize = 50;

/// Growth of the memory in use on the device that is no leak: others may use it too.
const DEVICE_SLACK: u64 = 256 << 20;

/// What every step uses again.
struct Program {
    rig: Rig,
    queues: [Queue; 2],
    events: [Box<dyn Event>; 2],
    chain: Chain,
    /// Steps of a graph, and the graph; `None` where runs may not be captured.
    graph: Option<(Vec<crate::runtime::Step>, Box<dyn Graph>)>,
    fixed: Vec<samples::Prepared>,
}

impl Program {
    fn new(target: &Target, random: &mut Random) -> Result<Program> {
        let rig = Rig::new(&omnihal_runtime::soft_graph::with_graphs(target.device().clone()));
        let queues = [rig.queue()?, rig.queue()?];
        let events = [rig.device().event()?, rig.device().event()?];
        let chain = Chain::new(&rig, &queues[0], 200, random)?;
        let steps = chain.steps(6, random);
        let graph = match chain.capture_safe() {
            true => Some(queues[0].capture(|| chain.enqueue(&queues[0], &steps))?),
            false => None,
        };
        let fixed = samples::prepare(&rig, &queues[1], random)?;
        queues[1].finish()?;
        Ok(Program { rig, queues, events, chain, graph: graph.map(|g| (steps, g)), fixed })
    }

    /// One step: work on the first stream that the second waits for, and the other way round.
    fn step(&mut self, random: &mut Random) -> Result<()> {
        let [first, second] = &self.queues;
        self.chain.walk(first, 2, random)?;
        if let Some((steps, graph)) = &self.graph {
            first.launch(&**graph)?;
            self.chain.advance(steps);
        }
        first.record(&*self.events[0])?;
        second.wait(&*self.events[0])?;
        self.chain.walk(second, 1, random)?;
        self.fixed.iter().try_for_each(|sample| sample.enqueue(second))?;
        second.record(&*self.events[1])?;
        first.wait(&*self.events[1])
    }

    /// Looks at the state, and whether the samples still give the bits they gave first.
    fn look(&mut self, notes: &mut Notes, step: usize) -> Result<()> {
        let found = self.chain.found(&self.queues[0])?;
        notes.same(Check::Stream, || format!("the state after step {step}"), &found, &self.chain.expected_bytes());
        for sample in &mut self.fixed {
            let output = self.queues[1].read(sample.output)?;
            let first = sample.first.get_or_insert_with(|| output.clone());
            if sample.call.plan.determinism() >= Determinism::Repeatable {
                let name = sample.call.plan.op().kind().name();
                notes.same(Check::Repeat, || format!("{name} in step {step}"), &output, first);
            }
        }
        self.rig.device().health()
    }
}

fn soak(target: &Target, seed: u64, times: usize) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let mut program = Program::new(target, &mut random)?;
    let before = target.device().memory_in_use();
    flat(&mut notes, "a step", times, |step, notes| {
        program.step(&mut random)?;
        if step % LOOK == 0 || step + 1 == times {
            program.look(notes, step)?;
        }
        Ok(())
    })?;
    if let (Some(before), Some(after)) = (before, target.device().memory_in_use()) {
        notes.rule(after < before + DEVICE_SLACK, || {
            format!("{before} bytes of device memory were in use, {after} are after {times} steps")
        });
    }
    notes.verdict()
}
