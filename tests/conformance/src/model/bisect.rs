//! Finding the operator that is wrong in a whole model: the judge and a device side by side, the device on the judge's inputs in every call.

use super::compare::{Comparator, Compared};
use super::places::{Places, layer};
use super::report::{Composed, Failure, OperatorRow, Report};
use super::tap::{Call, Watch, lock, tap};
use crate::case::fields;
use omnihal::{DType, Device, Error, Mem, Result};
use omnihal_deepseek::config::Precision;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::error::ModelError;
use omnihal_deepseek::weights::Checkpoint;
use omnihal_runtime::TierLimit;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tokens of the prompt, which one step takes.
    pub prompt: Vec<u32>,
    /// Steps of one token after it, each the judge's most probable one.
    pub decode: usize,
    /// Activation type.
    pub act: DType,
    /// Which operators may run natively; the others are composed.
    pub limit: TierLimit,
    /// Where values are rounded. `None`: as suits the checkpoint.
    pub precision: Option<Precision>,
    /// Go on after the first call that is wrong.
    pub all: bool,
}

impl Options {
    /// A prompt, four steps after it, in F32, with all that the device has, up to the first wrong call.
    pub fn new(prompt: Vec<u32>) -> Options {
        Options { prompt, decode: 4, act: DType::F32, limit: TierLimit::All, precision: None, all: false }
    }
}

/// The part of a run that a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bringing weights into the device's form.
    Load,
    /// The step that takes the prompt.
    Prefill,
    /// A step of one token, from 1.
    Decode(usize),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Load => f.write_str("load"),
            Phase::Prefill => f.write_str("prefill"),
            Phase::Decode(n) => write!(f, "decode {n}"),
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Which part.
    pub phase: Phase,
    /// Calls judged so far, of all parts.
    pub calls: u64,
    /// Calls that were wrong.
    pub failed: u64,
    /// Operator of the call just judged.
    pub op: &'static str,
    /// The part of the model that it belongs to.
    pub layer: &'a str,
}

/// Called after each call.
pub(super) type OnProgress = Box<dyn FnMut(&Progress<'_>) + Send>;

/// The layer of calls before the first one that reads a weight or state.
const NOWHERE: &str = "before the first weight";

/// Judges every call of a session.
pub(super) struct Session {
    comparator: Comparator,
    pub(super) places: Places,
    pub(super) phase: Phase,
    /// Calls are judged. Steps that only lead to a later one are not.
    pub(super) judging: bool,
    all: bool,
    layer: String,
    in_phase: u64,
    calls: u64,
    elements: u64,
    pub(super) failures: Vec<Failure>,
    operators: BTreeMap<&'static str, OperatorRow>,
    stopped: bool,
    progress: OnProgress,
}

impl Session {
    pub(super) fn new(device: Arc<dyn Device>, all: bool, progress: OnProgress) -> Result<Session> {
        Ok(Session {
            comparator: Comparator::new(device)?,
            places: Places::default(),
            phase: Phase::Load,
            judging: true,
            all,
            layer: NOWHERE.to_owned(),
            in_phase: 0,
            calls: 0,
            elements: 0,
            failures: Vec::new(),
            operators: BTreeMap::new(),
            stopped: false,
            progress,
        })
    }

    /// Begins a part of the run.
    pub(super) fn enter(&mut self, phase: Phase, judging: bool) {
        (self.phase, self.judging, self.in_phase) = (phase, judging, 0);
        self.layer = NOWHERE.to_owned();
    }

    /// True if a wrong call has ended the run.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// The tensors with a name that a call reads, and the layer that they put it in.
    fn locate(&mut self, call: &Call<'_>) -> Vec<String> {
        let mut tensors: Vec<String> = Vec::new();
        for view in call.views.iter().flatten() {
            if let Some(name) = self.places.of(view)
                && tensors.iter().all(|known| **known != **name)
            {
                tensors.push(name.to_string());
            }
        }
        if let Some(first) = tensors.first() {
            self.layer = layer(first);
        }
        tensors
    }

    /// While weights are loaded, what is made of a named tensor has its name.
    fn follow_copies(&mut self, call: &Call<'_>, tensors: &[String]) {
        let (Phase::Load, Some(name)) = (self.phase, tensors.first()) else { return };
        let types = call.op().arg_types();
        for (view, arg) in call.views.iter().zip(&types) {
            if let (Some(view), true) = (view, arg.role != omnihal::op::Role::Read) {
                let mem = Mem { addr: view.addr(), len: view.extent_bytes() };
                self.places.insert(mem, &name.as_str().into());
            }
        }
    }

    fn note(&mut self, call: &Call<'_>, compared: Compared, tensors: Vec<String>) {
        let op = call.op();
        let name = op.kind().name();
        self.elements += compared.elements;
        let row = self.operators.entry(name).or_insert_with(|| OperatorRow::new(name));
        row.calls += 1;
        row.elements += compared.elements;
        row.failed += u64::from(!compared.findings.is_empty());
        if let Some((arg, worst)) = compared.worst
            && row.worst.is_none_or(|share| worst.share > share)
        {
            (row.worst, row.worst_at) = (Some(worst.share), format!("{}, {}, `{arg}`", self.phase, self.layer));
        }
        if !compared.findings.is_empty() {
            self.failures.push(Failure {
                step: self.phase.to_string(),
                call: self.in_phase,
                op: name.to_owned(),
                descriptor: fields(op),
                layer: self.layer.clone(),
                tensors,
                element: compared.element,
                findings: compared.findings,
            });
        }
    }
}

impl Watch for Session {
    fn call(&mut self, call: &Call<'_>) -> Result<()> {
        self.in_phase += 1;
        let tensors = self.locate(call);
        self.follow_copies(call, &tensors);
        if !self.judging {
            return Ok(());
        }
        let compared = self.comparator.compare(call)?;
        self.calls += 1;
        self.note(call, compared, tensors);
        let (failed, op) = (self.failures.len() as u64, call.op().kind().name());
        let progress = Progress { phase: self.phase, calls: self.calls, failed, op, layer: &self.layer };
        (self.progress)(&progress);
        if failed > 0 && !self.all {
            self.stopped = true;
            return Err(Error::argument("the search ends at the first call that is wrong"));
        }
        Ok(())
    }

    fn written(&mut self, mem: Mem) {
        if self.phase == Phase::Load {
            self.places.written(mem);
        }
    }
}

/// Runs a model on the judge and every call of it on a device too, and tells which calls left their bounds, and where in the model they are.
///
/// A call on the device gets copies of the judge's inputs, so that a wrong call is told from one that was given wrong inputs. `progress` hears
/// of each call.
///
/// # Errors
/// When the model cannot be loaded or run at all: what the device refuses or gets wrong in a single call is in the report.
pub fn bisect(
    checkpoint: &Checkpoint,
    device: &Arc<dyn Device>,
    options: &Options,
    progress: impl FnMut(&Progress<'_>) + Send + 'static,
) -> std::result::Result<Report, ModelError> {
    let session = Arc::new(Mutex::new(Session::new(Arc::clone(device), options.all, Box::new(progress))?));
    let mut engine_options = EngineOptions::new(checkpoint.config(), options.prompt.len() + options.decode);
    engine_options.act = options.act;
    engine_options.limit = options.limit;
    engine_options.precision = options.precision.unwrap_or(engine_options.precision);
    engine_options.max_rows = options.prompt.len().max(1);
    let mut composed = Vec::new();
    let outcome = run(checkpoint, device, options, &engine_options, &session, &mut composed);
    let session = lock(&session);
    match outcome {
        Err(error) if !session.stopped() => Err(error),
        outcome => Ok(Report {
            backend: device.info().backend.to_owned(),
            device: device.info().name.clone(),
            act: options.act.name().to_owned(),
            precision: engine_options.precision.to_string(),
            core_only: options.limit == TierLimit::Core,
            prompt: options.prompt.len(),
            decode: options.decode,
            finished: outcome.is_ok(),
            calls: session.calls,
            elements: session.elements,
            failures: session.failures.clone(),
            operators: session.operators.values().cloned().collect(),
            composed,
        }),
    }
}

fn run(
    checkpoint: &Checkpoint,
    device: &Arc<dyn Device>,
    options: &Options,
    engine_options: &EngineOptions,
    session: &Arc<Mutex<Session>>,
    composed: &mut Vec<Composed>,
) -> std::result::Result<(), ModelError> {
    let mut engine = load(checkpoint, device, engine_options.clone(), session)?;
    let placement = engine.placement(options.prompt.len())?;
    composed.extend(placement.rows.iter().filter(|row| row.place == "composed").map(|row| Composed {
        op: row.op.to_owned(),
        calls: row.calls,
        reason: row.reason.clone(),
    }));
    let seq = engine.add()?;
    let mut tokens = options.prompt.clone();
    for step in 0..=options.decode {
        lock(session).enter(if step == 0 { Phase::Prefill } else { Phase::Decode(step) }, true);
        let logits = engine.step(&[Feed { seq, tokens: &tokens, want: Want::Last }])?;
        tokens = vec![likeliest(logits.row(0))];
    }
    Ok(())
}

/// Loads a model on the tapped judge. The session knows afterwards where its weights and its state lie.
pub(super) fn load(
    checkpoint: &Checkpoint,
    device: &Arc<dyn Device>,
    options: EngineOptions,
    session: &Arc<Mutex<Session>>,
) -> std::result::Result<Engine, ModelError> {
    let watch: Arc<Mutex<dyn Watch>> = session.clone();
    let tapped = tap(Arc::clone(device), watch)?;
    let engine = Engine::load(tapped, checkpoint, options, &mut |p| lock(session).places.named(p.name))?;
    let mut session = lock(session);
    session.places.unnamed();
    let pools = engine.pools();
    let backbone = checkpoint.config().blocks.len();
    for (i, block) in pools.blocks.iter().enumerate() {
        let part = if i < backbone { format!("layers.{i}.state") } else { format!("mtp.{}.state", i - backbone) };
        block
            .slot_tensors()
            .chain(block.page_tensors())
            .for_each(|v| session.places.insert(v.mem, &part.as_str().into()));
    }
    session.places.insert(pools.last.mem, &"embed.state".into());
    drop(session);
    Ok(engine)
}

/// The token with the highest logit, the lowest of equals.
pub(super) fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.map_or(0, |(token, _)| token as u32)
}
