//! Refusals: they say what is wrong, and change nothing.

use super::chain::{binary, flip};
use super::foreign;
use super::rig::{Call, Notes, PATIENCE, Rig};
use super::{Chain, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::op::FieldValue;
use omnihal::op::elementwise::Arith;
use omnihal::{ErrorKind, Mem, MemoryKind, Op, OpKind, Result, Support};
use std::collections::HashSet;
use std::sync::Arc;

const GROUP: &str = "runtime.errors";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/errors/bad_descriptors_are_refused_by_field_and_operator", GROUP, bad_descriptors),
    quick("runtime/errors/plans_of_another_device_are_refused", GROUP, foreign_plans),
    quick("runtime/errors/refused_calls_change_nothing", GROUP, change_nothing),
];

/// Descriptors that no backend could honour, made from good ones: each size in turn zero or absurd.
pub(super) fn bad(op: &Op) -> Vec<(Op, &'static str)> {
    let fields = op.fields();
    let specs = op.kind().spec().fields;
    let mut all = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let wrong = match field {
            FieldValue::Size(_) => vec![FieldValue::Size(0), FieldValue::Size(usize::MAX), FieldValue::Size(1 << 40)],
            FieldValue::Number(_) => vec![FieldValue::Number(f32::NAN)],
            _ => Vec::new(),
        };
        for value in wrong {
            let mut fields = fields.clone();
            fields[i] = value;
            if let Ok(bad) = Op::from_fields(op.kind(), &fields)
                && bad.check().is_err()
            {
                all.push((bad, specs[i].name));
            }
        }
    }
    all
}

/// One case of each operator.
pub(super) fn one_of_each() -> Vec<Op> {
    let mut seen: HashSet<OpKind> = HashSet::new();
    crate::cases::all().into_iter().map(|c| c.op).filter(|op| seen.insert(op.kind())).collect()
}

fn bad_descriptors(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = target.device();
    for (op, _) in one_of_each().iter().flat_map(bad) {
        let kind = op.kind();
        let supported = device.supports(&op);
        notes.rule(matches!(supported, Support::No(_)), || format!("supports says {supported:?} of a bad {op:?}"));
        let Err(error) = device.plan(&op) else {
            notes.rule(false, || format!("a bad descriptor was planned: {op:?}"));
            continue;
        };
        notes.rule(error.op() == Some(kind), || {
            format!("the refusal of a bad {} names no operator: {error}", kind.name())
        });
        // An operator that the device does not have needs no look at its fields.
        if device.caps().ops.contains(kind) {
            // Which field is told is the catalogue's choice: a size may be found by a relation or by a shape that it is part of.
            let words = op.check().err().map(|e| e.message().to_owned()).unwrap_or_default();
            // A device may look at sizes where the host looks at shapes: any field or argument of the operator will do.
            let spec = op.kind().spec();
            let names = spec.fields.iter().map(|f| f.name).chain(spec.args.iter().map(|a| a.name));
            let named = names.into_iter().any(|name| error.message().contains(&format!("`{name}`")));
            notes.rule(named, || format!("the refusal of {op:?} is `{error}`, expected the field: {words}"));
            notes.refused::<()>(
                &format!("a plan of a bad {}", kind.name()),
                Err(error),
                &[ErrorKind::InvalidDescriptor],
            );
        }
    }
    notes.verdict()
}

fn foreign_plans(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let mut chain = Chain::new(&rig, &queue, 40, &mut random)?;
    let own = rig.call(&flip(10, 1.0), &[chain.state, chain.state])?;
    let foreign = Call { plan: Arc::new(foreign::Plan(flip(10, 1.0))), ..own };
    for _ in 0..3 {
        chain.walk(&queue, 2, &mut random)?;
        notes.refused("a plan of another device", queue.run(&foreign), &[ErrorKind::InvalidArgument]);
        let found = chain.found(&queue)?;
        notes.same(Check::Stream, || "the state after a refused run".into(), &found, &chain.expected_bytes());
    }
    notes.verdict()
}

/// Refusals of every kind between calls whose order shows.
fn change_nothing(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let device = target.device();
    let mut chain = Chain::new(&rig, &queue, 40, &mut random)?;
    let mut bad_op = binary(3, Arith::Add);
    if let Op::Binary(d) = &mut bad_op {
        d.a_shape = [7].into();
    }
    let (long, short) = (chain.state, Mem { len: 8, ..chain.state });
    let mut host = [0; 4];
    for round in 0..20 {
        chain.walk(&queue, 2, &mut random)?;
        let refused = match round % 5 {
            0 => device.plan(&bad_op).map(|_| ()),
            1 => queue.copy(long, short),
            2 => queue.wait(&foreign::Event),
            3 => device.alloc(usize::MAX, MemoryKind::Device).map(|_| ()),
            _ => queue.read_into(short, &mut host, PATIENCE),
        };
        let kinds = [ErrorKind::InvalidArgument, ErrorKind::InvalidDescriptor, ErrorKind::OutOfMemory];
        notes.refused("a call that no device can do", refused, &kinds);
    }
    notes.done("asking for the device's health after refusals", device.health());
    let found = notes.done("a read after refusals", chain.found(&queue));
    notes.same(
        Check::Stream,
        || "the state after calls with refusals in between".into(),
        &found.unwrap_or_default(),
        &chain.expected_bytes(),
    );
    notes.verdict()
}
