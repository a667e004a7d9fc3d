//! What a backend finds, and what a device says of itself.

use super::rig::{Notes, Rig, bytes_of};
use super::{Chain, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{Device, DeviceInfo, ErrorKind, OpKind, Result, Support};
use std::collections::HashSet;

const GROUP: &str = "runtime.discovery";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/discovery/probe_finds_the_same_devices_again", GROUP, probe),
    quick("runtime/discovery/device_numbers_out_of_range_are_refused", GROUP, out_of_range),
    quick("runtime/discovery/device_facts_make_sense", GROUP, facts),
    quick("runtime/discovery/listed_operators_and_no_others_are_supported", GROUP, listed),
    quick("runtime/discovery/a_device_opened_twice_is_two_devices", GROUP, twice),
    quick("runtime/discovery/streams_and_memory_outlive_the_device_handle", GROUP, outlive),
];

fn probe(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let facts = |d: &DeviceInfo| (d.backend, d.index, d.name.clone(), d.memory, d.versions.clone());
    let first = target.backend().probe()?;
    for _ in 0..3 {
        let again = target.backend().probe()?;
        notes.rule(first.devices.iter().map(facts).eq(again.devices.iter().map(facts)), || {
            format!("a second probe found {:?} after {:?}", again.devices, first.devices)
        });
    }
    for (place, device) in first.devices.iter().enumerate() {
        notes.rule(device.index == place, || format!("device {place} says that its index is {}", device.index));
        notes.rule(device.backend == target.backend().name(), || {
            format!("device {place} says that its backend is {}, expected {}", device.backend, target.backend().name())
        });
    }
    let own = target.device().info();
    notes.rule(first.devices.iter().any(|d| facts(d) == facts(own)), || {
        format!("the open device {own:?} is not among those found: {:?}", first.devices)
    });
    notes.verdict()
}

fn out_of_range(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let found = target.backend().probe()?.devices.len();
    for index in [found, found + 1, found + 1000, usize::MAX] {
        let opened = target.backend().open(index);
        notes.refused(
            &format!("device {index} of {found}"),
            opened.map(|_| ()),
            &[ErrorKind::NotFound, ErrorKind::InvalidArgument],
        );
    }
    notes.verdict()
}

fn facts(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let (info, caps) = (target.device().info(), target.device().caps());
    notes.rule(!info.name.is_empty(), || "the device has no name".into());
    notes
        .rule(info.memory != Some(0), || "the device says that it has 0 bytes of memory, expected none or some".into());
    // Above 1 MiB it would be a page size, and each small tensor would cost one.
    notes.rule(caps.alignment.is_power_of_two() && caps.alignment <= 1 << 20, || {
        format!("the alignment is {}, expected a power of two up to 2^20", caps.alignment)
    });
    let distinct: HashSet<_> = caps.activations.iter().map(|d| d.name()).collect();
    notes.rule(!caps.activations.is_empty(), || "the device takes no activation type".into());
    notes.rule(distinct.len() == caps.activations.len() && caps.activations.iter().all(|d| d.is_float()), || {
        format!("activation types are {:?}, expected distinct float types", caps.activations)
    });
    notes.rule(!caps.ops.is_empty(), || "the device lists no operator".into());
    notes.done("asking a fresh device for its health", target.device().health());
    notes.verdict()
}

/// Every operator in the list has a native descriptor among the kit's cases, and none of the others has.
fn listed(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = target.device();
    let mut native: HashSet<OpKind> = HashSet::new();
    for case in crate::cases::all() {
        let kind = case.op.kind();
        if !native.contains(&kind) && device.supports(&case.op) == Support::Native {
            native.insert(kind);
        }
    }
    for kind in OpKind::ALL {
        let (listed, found) = (device.caps().ops.contains(*kind), native.contains(kind));
        let word = |yes| if yes { "" } else { "not " };
        notes.rule(listed == found, || {
            format!("{} is {}in the list of operators and {}supported", kind.name(), word(listed), word(found))
        });
    }
    notes.verdict()
}

fn twice(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let (a, b) = (target.reopen()?, target.reopen()?);
    let rig = Rig::new(&a);
    let queue = rig.queue()?;
    let mut chain = Chain::new(&rig, &queue, 33, &mut random)?;
    chain.walk(&queue, 10, &mut random)?;
    {
        let rig = Rig::new(&b);
        let queue = rig.queue()?;
        let mut chain = Chain::new(&rig, &queue, 33, &mut random)?;
        chain.walk(&queue, 10, &mut random)?;
        notes.same(Check::Exact, || "the second device".into(), &chain.found(&queue)?, &chain.expected_bytes());
    }
    drop(b);
    chain.walk(&queue, 10, &mut random)?;
    let found = chain.found(&queue)?;
    notes.same(Check::Exact, || "the first device after the second".into(), &found, &chain.expected_bytes());
    notes.verdict()
}

/// Streams, events, plans and buffers are values of their own: safe code may drop the device first.
fn outlive(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let device = target.reopen()?;
    let buffer = device.alloc(1000, omnihal::MemoryKind::Device)?;
    let (stream, event) = (device.stream()?, device.event()?);
    drop(device);
    let bytes = bytes_of(&(0..250).map(|_| random.unit()).collect::<Vec<_>>());
    let mut back = vec![0; bytes.len()];
    // SAFETY: the buffer outlives the read, which waits for the write.
    let work = unsafe {
        stream
            .write(buffer.mem(), &bytes)
            .and_then(|()| stream.record(&*event))
            .and_then(|()| stream.read(buffer.mem(), &mut back, super::rig::PATIENCE))
    };
    notes.done("work on a stream whose device handle was dropped", work);
    notes.same(Check::Exact, || "memory whose device handle was dropped".into(), &back, &bytes);
    drop((stream, event, buffer));
    let again: Result<std::sync::Arc<dyn Device>> = target.reopen();
    notes.done("opening the device again", again);
    notes.verdict()
}
