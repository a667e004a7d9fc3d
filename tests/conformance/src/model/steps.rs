//! Recorded steps of the demo model: every call of a step judged, on the inputs that the judge has at that point of the model.

use super::bisect::{Phase, Session, load};
use super::demo::checkpoint;
use super::report::Failure;
use super::runs::{Kind, hal, tokens};
use super::tap::lock;
use crate::outcome::Finding;
use crate::script::Verdict;
use crate::target::Target;
use omnihal::{DType, ErrorKind, Result};
use omnihal_deepseek::engine::{Engine, Feed, Want};
use omnihal_deepseek::state::SeqId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A moment in the life of two sequences: what was fed before, and the steps that are judged. Lengths are for both sequences; 0: not in the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    before: &'static [(usize, usize)],
    judged: &'static [(usize, usize)],
}

/// Two prompts from the start. The longer one overruns the window of 16 and closes entries of 4 and of 16 positions.
pub const PREFILL: Moment = Moment { before: &[], judged: &[(21, 9)] };
/// One sequence decodes while the other one's second chunk ends on the last position of an entry of 16.
pub const MIXED: Moment = Moment { before: &[(21, 9)], judged: &[(1, 7)] };
/// Both decode: past the border of the window, before and on the end of an entry of 4.
pub const DECODE: Moment = Moment { before: &[(22, 16)], judged: &[(1, 1), (1, 1)] };
/// A chunk whose entries end one page and begin the next, then a step that reads both. A page holds 256 positions of either ratio; the other
/// sequence has taken the page between.
pub const PAGE: Moment = Moment { before: &[(254, 17)], judged: &[(6, 0), (1, 1)] };

/// Judges every call of the steps of a moment.
pub fn judge(target: &Target, seed: u64, kind: Kind, act: DType, moment: &Moment) -> Result<Verdict> {
    let device = target.device();
    if !device.caps().activations.contains(&act) {
        return Ok(Verdict::Unsupported(format!("the device takes no activations of type {act}")));
    }
    let session = Arc::new(Mutex::new(Session::new(Arc::clone(device), true, Box::new(|_| {}))?));
    match run(target, seed, (kind, act), moment, &session) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Verdict::Unsupported(error.to_string())),
        Err(error) => Err(error),
        Ok(()) => Ok(Verdict::Ran(findings(&lock(&session).failures))),
    }
}

fn run(
    target: &Target,
    seed: u64,
    (kind, act): (Kind, DType),
    moment: &Moment,
    session: &Arc<Mutex<Session>>,
) -> Result<()> {
    let checkpoint = checkpoint(kind.stored()).map_err(hal)?;
    let sum = |pick: fn(&(usize, usize)) -> usize| moment.before.iter().chain(moment.judged).map(pick).sum::<usize>();
    let lengths = [sum(|l| l.0), sum(|l| l.1)];
    let mut options = kind.options(checkpoint.config(), act, lengths[0].max(lengths[1]));
    options.sequences = 2;
    let mut engine = load(&checkpoint, target.device(), options, session).map_err(hal)?;
    let mut sequences = [
        Fed { seq: engine.add().map_err(hal)?, tokens: tokens(seed, lengths[0])?, at: 0 },
        Fed { seq: engine.add().map_err(hal)?, tokens: tokens(seed + 1, lengths[1])?, at: 0 },
    ];
    for &(a, b) in moment.before {
        lock(session).enter(Phase::Prefill, false);
        step(&mut engine, &mut sequences, [a, b])?;
    }
    for (i, &(a, b)) in moment.judged.iter().enumerate() {
        let phase = if moment.before.is_empty() { Phase::Prefill } else { Phase::Decode(i + 1) };
        lock(session).enter(phase, true);
        step(&mut engine, &mut sequences, [a, b])?;
    }
    Ok(())
}

/// A sequence and how far it has been fed.
struct Fed {
    seq: SeqId,
    tokens: Vec<u32>,
    at: usize,
}

fn step(engine: &mut Engine, sequences: &mut [Fed; 2], lengths: [usize; 2]) -> Result<()> {
    let fed = sequences.iter().zip(lengths).filter(|(_, len)| *len > 0);
    let feed = |(s, len): (&Fed, usize)| (s.seq, s.tokens[s.at..s.at + len].to_vec());
    let pieces: Vec<(SeqId, Vec<u32>)> = fed.map(feed).collect();
    let feeds: Vec<Feed<'_>> =
        pieces.iter().map(|(seq, tokens)| Feed { seq: *seq, tokens, want: Want::Last }).collect();
    engine.step(&feeds).map_err(hal)?;
    sequences.iter_mut().zip(lengths).for_each(|(s, len)| s.at += len);
    Ok(())
}

/// The first wrong call of each operator, in the order of the run.
fn findings(failures: &[Failure]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let firsts = failures.iter().filter(|f| seen.insert(f.op.as_str()));
    let finding = |failure: &Failure| {
        let count = failures.iter().filter(|f| f.op == failure.op).count();
        let more = if count > 1 { format!(" ({} more wrong calls of it)", count - 1) } else { String::new() };
        let first = failure.findings.first()?;
        let text = format!(
            "{}, call {}, {}: {}; {}{more}",
            failure.step, failure.call, failure.layer, first.text, failure.descriptor
        );
        Some(Finding { text, ..first.clone() })
    };
    firsts.filter_map(finding).collect()
}
