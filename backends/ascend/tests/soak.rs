//! The demo model over the stand-ins for many steps, as captured graphs, with failures injected all along. `FAKE_CANN_STEPS` says how many steps; few without it.
//!
//! Sequences come and go and say what the model is known to say; what fails is asked again, or costs the one sequence that asked for more; afterwards the books are empty.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::{Device, ErrorKind, Severity};
use omnihal_deepseek::demo::{self, Expected};
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::error::ModelError;
use omnihal_deepseek::state::SeqId;
use stand_in::StandIn;
use std::sync::Arc;

/// Sequences that are decoded together.
const TOGETHER: usize = 2;
/// Steps of one engine: loading and leaving are part of the soak.
const LIFE: usize = 500;

const NO_MEMORY: i32 = 207_001;
const INVALIDATED: i32 = 507_903;
const EXHAUSTED: i32 = 207_005;

/// Calls of a captured decode step by which a host waits, asks or allocates. The step waits once: for its logits.
const WAITS: [&str; 8] = [
    "aclrtSynchronizeEventWithTimeout",
    "aclrtSynchronizeStreamWithTimeout",
    "aclrtSynchronizeDevice",
    "aclrtStreamQuery",
    "aclrtQueryEventStatus",
    "aclrtMemcpy",
    "aclrtMalloc",
    "aclCreateTensor",
];

/// A sequence that says a known text.
struct Told<'a> {
    seq: SeqId,
    text: &'a Expected,
    said: usize,
}

struct Soak<'a> {
    cann: &'a StandIn,
    texts: &'a [Expected],
    next: usize,
    steps: usize,
    finished: usize,
    lost: usize,
    again: usize,
    replayed: u64,
}

fn best(row: &[f32]) -> u32 {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a))).unwrap() as u32
}

fn refused(error: &ModelError) -> ErrorKind {
    match error {
        ModelError::Hal(error) if error.severity() == Severity::Rejected => error.kind(),
        other => panic!("{other}"),
    }
}

impl<'a> Soak<'a> {
    /// Plans the failure that is due; calls and codes from the vendor's table.
    fn injure(&self) {
        match self.steps % 60 {
            7 => self.cann.fail("aclmdlRIExecuteAsync", 0, EXHAUSTED),
            19 => self.cann.fail("aclrtMemcpyAsync", 0, NO_MEMORY),
            _ => {}
        }
    }

    /// Makes a step; one that is refused is made again.
    fn step(&mut self, engine: &mut Engine, feeds: &[Feed<'_>]) -> Vec<u32> {
        self.steps += 1;
        for _ in 0..3 {
            match engine.step(feeds) {
                Ok(logits) => return (0..logits.len()).map(|i| best(logits.row(i))).collect(),
                Err(error) => _ = refused(&error),
            }
            self.again += 1;
        }
        panic!("a step was refused three times");
    }

    /// A new sequence, with its prompt fed.
    fn begin(&mut self, engine: &mut Engine) -> Told<'a> {
        let text = &self.texts[self.next % self.texts.len()];
        self.next += 1;
        let seq = engine.add().unwrap();
        let said = self.step(engine, &[Feed { seq, tokens: &text.tokens, want: Want::Last }]);
        assert_eq!(said[0], text.continuation_tokens[0], "{}", text.prompt);
        Told { seq, text, said: 1 }
    }

    /// A sequence that asks for more memory than there is, while others go on: it alone is lost.
    fn lose(&mut self, engine: &mut Engine) {
        let seq = engine.add().unwrap();
        let long: Vec<u32> = self.texts[0].tokens.iter().copied().cycle().take(40).collect();
        self.cann.fail("aclrtMalloc", 0, NO_MEMORY);
        let error = engine.step(&[Feed { seq, tokens: &long, want: Want::Last }]).err().unwrap();
        assert_eq!(refused(&error), ErrorKind::OutOfMemory);
        engine.remove(seq).unwrap();
        self.lost += 1;
    }

    /// One engine's life.
    fn live(&mut self, device: Arc<dyn Device>, most: usize) {
        let checkpoint = demo::checkpoint().unwrap();
        let mut options = EngineOptions::new(checkpoint.config(), 160);
        options.sequences = TOGETHER + 1;
        options.max_rows = 64;
        let mut engine = Engine::load(device, &checkpoint, options, &mut |_| {}).unwrap();
        let end = self.steps + most;
        // The first capture of every second engine fails: its steps run call by call.
        if self.steps / LIFE % 2 == 1 {
            self.cann.fail("capture", 0, INVALIDATED);
        }
        let mut told: Vec<Told<'a>> = (0..TOGETHER).map(|_| self.begin(&mut engine)).collect();
        self.lose(&mut engine);
        while self.steps < end {
            self.injure();
            let feeds: Vec<Feed<'_>> = told
                .iter()
                .map(|t| Feed { seq: t.seq, tokens: &t.text.continuation_tokens[t.said - 1..t.said], want: Want::Last })
                .collect();
            let before = self.counts();
            let again = self.again;
            let said = self.step(&mut engine, &feeds);
            self.judge_calls(before, again);
            for (i, word) in said.into_iter().enumerate() {
                let one = &mut told[i];
                assert_eq!(word, one.text.continuation_tokens[one.said], "{}, word {}", one.text.prompt, one.said);
                one.said += 1;
                if one.said == one.text.continuation_tokens.len() {
                    engine.remove(one.seq).unwrap();
                    self.finished += 1;
                    told[i] = self.begin(&mut engine);
                }
            }
        }
    }

    fn counts(&self) -> ([u64; 8], u64) {
        (WAITS.map(|name| self.cann.calls(name)), self.cann.calls("aclmdlRIExecuteAsync"))
    }

    /// A step that was one replay waited for its logits only.
    fn judge_calls(&mut self, (before, launched): ([u64; 8], u64), again: usize) {
        let (after, launches) = self.counts();
        if launches != launched + 1 || self.again != again {
            return;
        }
        let made: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(made, [1, 0, 0, 0, 0, 0, 0, 0], "{WAITS:?} in step {}", self.steps);
        self.replayed += 1;
    }
}

#[test]
fn many_steps_with_failures_all_along_leave_nothing_behind() {
    let steps = std::env::var("FAKE_CANN_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let cann = StandIn::stage("Ascend910B2");
    let texts = demo::expected().unwrap();
    let mut soak = Soak { cann: &cann, texts: &texts, next: 0, steps: 0, finished: 0, lost: 0, again: 0, replayed: 0 };
    let mut left = 0;
    while soak.steps < steps {
        let device = cann.open();
        let most = LIFE.min(steps - soak.steps);
        soak.live(device, most);
        assert_eq!(
            cann.live(),
            [0; 8],
            "after {} steps: streams, events, graphs, device, pinned, tensors, others, executors",
            soak.steps
        );
        assert_eq!(cann.broken(), "");
        left += 1;
    }
    println!(
        "{} steps of {left} engines: {} replays, {} texts, {} refused calls made again, {} sequences lost to memory, nothing left, no rule broken",
        soak.steps, soak.replayed, soak.finished, soak.again, soak.lost
    );
    assert!(soak.replayed as usize > soak.steps / 4, "{} replays", soak.replayed);
}
