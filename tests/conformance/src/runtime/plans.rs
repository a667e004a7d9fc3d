//! Plans: what is said before is what happens, and a plan is a value that anybody may use at any time.

use super::chain::{binary, flip};
use super::rig::{Call, Notes, Queue, Rig, bytes_of, floats};
use super::samples;
use super::{full, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::op::elementwise::Arith;
use omnihal::{Args, Determinism, ErrorKind, Mem, Op, Plan, Result, Severity, Support, View};
use std::sync::Arc;

const GROUP: &str = "runtime.plans";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/plans/supports_and_plan_agree", GROUP, |t, _| agree(t, false)),
    full("runtime/plans/supports_and_plan_agree_on_every_case", GROUP, |t, _| agree(t, true)),
    quick("runtime/plans/a_plan_can_be_used_by_many_threads_at_once", GROUP, shared),
    quick("runtime/plans/a_plan_does_not_change_by_use", GROUP, unchanged),
    quick("runtime/plans/runs_keep_to_their_workspace", GROUP, workspace),
];

fn agree(target: &Target, every: bool) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = target.device();
    let mut ops: Vec<Op> = crate::cases::all().into_iter().filter(|c| every || c.quick).map(|c| c.op).collect();
    ops.dedup();
    for op in ops {
        let name = op.kind().name();
        match (device.supports(&op), device.plan(&op)) {
            (Support::No(reason), Err(error)) => {
                notes.rule(!reason.is_empty(), || format!("supports refuses {op:?} without a reason"));
                notes.rule(error.op() == Some(op.kind()), || {
                    format!("the refusal of {name} names no operator: {error}")
                });
                let kind = error.kind();
                notes.rule(kind == ErrorKind::Unsupported && error.severity() == Severity::Rejected, || {
                    format!("a good descriptor of {name} was refused as {kind:?}, expected Unsupported: {error}")
                });
                notes.rule(reason.contains(error.message()) || error.to_string().contains(&reason), || {
                    format!("supports refuses {name} as `{reason}`, plan as `{error}`")
                });
            }
            (Support::No(reason), Ok(_)) => {
                notes.rule(false, || format!("supports refuses {op:?} ({reason}), and plan accepts it"));
            }
            (support, Err(error)) => {
                notes.rule(false, || format!("supports says {support:?} of {op:?}, and plan refuses it: {error}"));
            }
            (Support::Emulated(reason), Ok(_)) => {
                notes.rule(!reason.is_empty(), || format!("{name} is emulated without a word on how"));
            }
            (Support::Native, Ok(plan)) => {
                notes.rule(*plan.op() == op, || format!("the plan of {op:?} says that it is of {:?}", plan.op()));
            }
        }
    }
    notes.verdict()
}

fn run_and_read(queue: &Queue, call: &Call, output: Mem) -> Result<Vec<u8>> {
    queue.fill(output, 0xFF)?;
    queue.run(call)?;
    queue.read(output)
}

fn last(mems: &[Mem]) -> Mem {
    mems.last().copied().unwrap_or_default()
}

/// Runs with exactly the scratch memory that was asked for, between guards, with other bytes in it each time.
fn workspace(target: &Target, seed: u64) -> Result<Verdict> {
    const GUARD: usize = 512;
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let guard = GUARD.next_multiple_of(target.device().caps().alignment.max(1));
    for op in samples::ops() {
        let name = op.kind().name();
        let plan = rig.device().plan(&op)?;
        let mems = samples::arguments(&rig, &queue, &op, &mut random)?;
        let place =
            |(mem, arg): (&Mem, omnihal::op::ArgType)| View::contiguous(*mem, arg.format.dtype(), arg.shape).map(Some);
        let views: Vec<Option<View>> = mems.iter().zip(op.arg_types()).map(place).collect::<Result<_>>()?;
        let bytes = plan.workspace_for(&views)?;
        let slab = rig.alloc(bytes + 2 * guard)?;
        let inside = slab.slice(guard, bytes)?;
        let bound = plan.bind(&Args { views: &views, workspace: inside, rows_hint: usize::MAX })?;
        let call = Call { plan: bound.unwrap_or_else(|| plan.clone()), views, workspace: inside };
        let mut first: Option<Vec<u8>> = None;
        for byte in [0xFF, 0x00, 0x5A] {
            queue.fill(slab, byte)?;
            let output = run_and_read(&queue, &call, last(&mems))?;
            let around = queue.read(slab)?;
            let clean = around[..guard].iter().chain(&around[guard + bytes..]).all(|b| *b == byte);
            notes.expect(clean, Check::Guards, || format!("{name} wrote outside its {bytes} bytes of workspace"));
            let nan = output.chunks_exact(4).any(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]).is_nan());
            notes.expect(!nan, Check::Written, || {
                format!("{name} gave NaN from ordinary numbers, with {byte:#04x} in its workspace")
            });
            if plan.determinism() >= Determinism::Repeatable {
                let before = first.get_or_insert_with(|| output.clone());
                let what = || format!("{name}, with other bytes in its workspace,");
                notes.same(Check::Repeat, what, &output, before);
            }
        }
    }
    notes.verdict()
}

fn facts(plan: &dyn Plan) -> (Op, usize, Determinism, String) {
    (*plan.op(), plan.workspace(), plan.determinism(), format!("{:?} {:?}", plan.accumulation(), plan.cost()))
}

/// A plan runs on any stream of its device, with any memory, any number of times, and stays what it was.
fn unchanged(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let (a, b) = (rig.queue()?, rig.queue()?);
    let plan = rig.device().plan(&flip(100, 3.0))?;
    let before = facts(&*plan);
    for round in 0..20 {
        let queue = if round % 2 == 0 { &a } else { &b };
        let values: Vec<f32> = (0..100).map(|_| random.below(90) as f32).collect();
        let (input, output) = (rig.filled(queue, &bytes_of(&values))?, rig.alloc(floats(100))?);
        let call = rig.call_planned(plan.clone(), &[input, output])?;
        let expected: Vec<f32> = values.iter().map(|v| 3.0 - v + 0.0).collect();
        let found = run_and_read(queue, &call, output)?;
        notes.same(Check::Exact, || format!("run {round} of one plan"), &found, &bytes_of(&expected));
        // Plans of the same and of other descriptors come and go meanwhile.
        drop(rig.device().plan(&flip(100 + round % 3, 5.0))?);
    }
    let after = facts(&*plan);
    notes.rule(before == after, || format!("a plan was {before:?} and is {after:?} after runs"));
    notes.verdict()
}

fn shared(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let n = 300;
    let plan: Arc<dyn Plan> = rig.device().plan(&binary(n, Arith::Sub))?;
    let work = |thread: u64| -> Result<Notes> {
        let mut notes = Notes::default();
        let mut random = Random::new(seed ^ thread);
        let queue = rig.queue()?;
        let mut draw = || -> Vec<f32> { (0..n).map(|_| random.below(1000) as f32).collect() };
        for round in 0..15 {
            let (x, y) = (draw(), draw());
            let (a, b) = (rig.filled(&queue, &bytes_of(&x))?, rig.filled(&queue, &bytes_of(&y))?);
            let call = rig.call_planned(plan.clone(), &[a, b, a])?;
            queue.run(&call)?;
            let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x - y + 0.0).collect();
            let what = || format!("run {round} of a shared plan on thread {thread}");
            notes.same(Check::Exact, what, &queue.read(a)?, &bytes_of(&expected));
        }
        Ok(notes)
    };
    super::threads::on_threads(4, &work)?.into_iter().for_each(|n| notes.merge(n));
    notes.verdict()
}
