//! Allocations: what is promised of each, and what becomes of the others.

use super::rig::{Notes, Queue, Rig};
use super::{full, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{Buffer, Device, Error, ErrorKind, MemoryKind, Result};
use std::any::Any;
use std::sync::Arc;

const GROUP: &str = "runtime.memory";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/memory/allocations_are_as_asked_for", GROUP, as_asked),
    quick("runtime/memory/live_allocations_do_not_overlap", GROUP, apart),
    quick("runtime/memory/clones_keep_memory_alive", GROUP, clones),
    quick("runtime/memory/absurd_sizes_are_refused", GROUP, absurd),
    quick("runtime/memory/freed_memory_can_be_had_again", GROUP, freed),
    quick("runtime/memory/imported_memory_is_read_in_place", GROUP, imported),
    full("runtime/memory/exhaustion_is_survived", GROUP, exhausted),
];

const KINDS: [MemoryKind; 2] = [MemoryKind::Device, MemoryKind::Pinned];

/// Sizes that no device has: the last two overflow when rounded up to a page.
const ABSURD: [usize; 4] = [1 << 60, isize::MAX as usize, usize::MAX - 4096, usize::MAX];

fn as_asked(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = target.device();
    let alignment = device.caps().alignment.max(1);
    let sizes = [0, 1, 2, 3, 7, 63, 64, 65, 255, 256, 4095, 4097, (1 << 20) + 1, 32 << 20];
    for kind in KINDS {
        let mut live = Vec::new();
        for bytes in sizes {
            let what = format!("an allocation of {bytes} bytes of {kind:?} memory");
            let Some(buffer) = notes.done(&what, device.alloc(bytes, kind)) else { continue };
            notes.rule(buffer.len() == bytes && buffer.is_empty() == (bytes == 0), || {
                format!("{what} has {} bytes", buffer.len())
            });
            notes.rule(buffer.kind() == kind, || format!("{what} says that it is {:?} memory", buffer.kind()));
            let addr = buffer.mem().addr;
            notes.rule(bytes == 0 || (addr != 0 && addr % alignment as u64 == 0), || {
                format!("{what} lies at {addr:#x}, expected a multiple of {alignment}")
            });
            live.push(buffer);
        }
    }
    notes.verdict()
}

/// A buffer and the byte that fills it.
struct Filled {
    buffer: Buffer,
    byte: u8,
}

/// Fills, frees and checks allocations in random order.
fn apart(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let mut live: Vec<Filled> = Vec::new();
    for round in 0..300 {
        let most = [16, 300, 5000, 100_000][random.below(4)];
        let bytes = 1 + random.below(most);
        let buffer = target.device().alloc(bytes, KINDS[random.below(2)])?;
        let byte = (round % 251) as u8;
        let range = |b: &Buffer| (b.mem().addr, b.mem().addr + b.len() as u64);
        let (start, end) = range(&buffer);
        for other in live.iter().filter(|o| o.buffer.kind() == buffer.kind()) {
            let (s, e) = range(&other.buffer);
            notes.rule(end <= s || e <= start, || {
                format!("an allocation at {start:#x}..{end:#x} overlaps another at {s:#x}..{e:#x}, both alive")
            });
        }
        if !notes.clean() {
            break;
        }
        queue.fill(buffer.mem(), byte)?;
        // Nothing may be freed while work that names it is pending.
        queue.finish()?;
        live.push(Filled { buffer, byte });
        if live.len() > 60 {
            check_filled(&mut notes, &queue, &live.swap_remove(random.below(60)))?;
        }
    }
    for filled in &live {
        check_filled(&mut notes, &queue, filled)?;
    }
    notes.verdict()
}

fn check_filled(notes: &mut Notes, queue: &Queue, filled: &Filled) -> Result<()> {
    let bytes = queue.read(filled.buffer.mem())?;
    let expected = vec![filled.byte; bytes.len()];
    notes.same(Check::Exact, || "memory after other allocations were made and freed".into(), &bytes, &expected);
    Ok(())
}

fn clones(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let contents: Vec<u8> = (0..10_000).map(|_| random.bits() as u8).collect();
    let first = target.device().alloc(contents.len(), MemoryKind::Device)?;
    queue.write(first.mem(), &contents)?;
    queue.finish()?;
    let (second, third) = (first.clone(), first.clone());
    drop(first);
    for left in [&second, &third] {
        for _ in 0..20 {
            let other = target.device().alloc(contents.len(), MemoryKind::Device)?;
            queue.fill(other.mem(), 0xEE)?;
            queue.finish()?;
        }
        notes.same(Check::Exact, || "memory with a clone left".into(), &queue.read(left.mem())?, &contents);
    }
    drop(second);
    notes.same(Check::Exact, || "memory with its last clone left".into(), &queue.read(third.mem())?, &contents);
    notes.verdict()
}

/// A small allocation and a round trip through it.
fn usable(notes: &mut Notes, device: &Arc<dyn Device>, when: &str) -> Result<()> {
    let rig = Rig::new(device);
    let queue = rig.queue()?;
    for kind in KINDS {
        let what = format!("an allocation of 1 MiB {when}");
        let Some(mem) = notes.done(&what, rig.alloc_kind(1 << 20, kind)) else { continue };
        queue.fill(mem, 0x5C)?;
        notes.same(Check::Exact, || what, &queue.read(mem)?, &[0x5C; 1 << 20]);
    }
    Ok(())
}

fn absurd(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    for round in 0..20 {
        for kind in KINDS {
            let bytes = ABSURD[round % ABSURD.len()];
            let refused = target.device().alloc(bytes, kind).map(|_| ());
            notes.refused(&format!("{bytes} bytes of {kind:?} memory"), refused, &[ErrorKind::OutOfMemory]);
        }
    }
    usable(&mut notes, target.device(), "after refused ones")?;
    notes.verdict()
}

/// More than the device has, but never much at once.
fn freed(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = target.device();
    let piece = 64 << 20;
    // Memory of a host is nearly without limit, and filling it takes time: 1.25 GiB there. Elsewhere all there is, and a quarter more.
    let total = match device.info().memory {
        Some(memory) if !device.caps().host_addressable => memory as usize / 4 * 5,
        _ => 5 << 28,
    };
    let before = device.memory_in_use();
    for round in 0..total.div_ceil(piece) {
        let what = format!("64 MiB, after {round} such blocks were allocated and freed,");
        if notes.done(&what, device.alloc(piece, KINDS[round % 2])).is_none() {
            break;
        }
    }
    if let (Some(before), Some(after)) = (before, device.memory_in_use()) {
        // Others may use the device too, so only the bulk counts.
        notes.rule(after < before + total as u64 / 2, || {
            format!("{before} bytes of device memory were in use, {after} are after {total} were allocated and freed")
        });
    }
    usable(&mut notes, device, "after many")?;
    notes.verdict()
}

fn imported(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    // A whole number of pages from the start of one, as mapped files are.
    const PAGE: usize = 65_536;
    let mut pages = vec![0u8; 3 * PAGE];
    let skip = pages.as_ptr().align_offset(PAGE);
    pages[skip..].iter_mut().for_each(|b| *b = random.bits() as u8);
    let owner = Arc::new(pages);
    let part = &owner[skip..skip + PAGE];
    // SAFETY: the owner keeps the bytes, and nobody writes to them.
    let imported =
        unsafe { target.device().import(part.as_ptr(), part.len(), owner.clone() as Arc<dyn Any + Send + Sync>) };
    let buffer = match imported {
        Ok(buffer) => buffer,
        Err(error) => {
            notes.refused::<()>("host memory", Err(error), &[ErrorKind::Unsupported]);
            return notes.verdict();
        }
    };
    notes.rule(buffer.len() == PAGE, || format!("{PAGE} imported bytes have become {}", buffer.len()));
    notes.rule(Arc::strong_count(&owner) > 1, || "the owner of imported memory was not kept".into());
    notes.same(Check::Exact, || "imported memory".into(), &queue.read(buffer.mem())?, part);
    let copy = rig.alloc(PAGE)?;
    queue.copy(copy, buffer.mem())?;
    notes.same(Check::Exact, || "a copy of imported memory".into(), &queue.read(copy)?, part);
    drop(buffer);
    notes.rule(Arc::strong_count(&owner) == 1, || "the owner of imported memory is kept after its last buffer".into());
    notes.verdict()
}

/// Most that a device whose memory is the host's is asked for: it may have no limit of its own, and the host must not swap.
const HOST_LIMIT: usize = 5 << 28;

/// The same for a device that does not tell how much it has.
const UNTOLD_LIMIT: usize = 4 << 30;

/// Allocates until the device refuses, frees everything, and goes on.
fn exhausted(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let device = target.reopen()?;
    let host = device.caps().host_addressable;
    let memory = device.info().memory.map(|m| m as usize);
    let (piece, limit) = match memory {
        _ if host => (128 << 20, memory.map_or(HOST_LIMIT, |m| HOST_LIMIT.min(m / 4))),
        Some(memory) => (1 << 30, memory),
        // Who knows whose memory it is.
        None => (256 << 20, UNTOLD_LIMIT),
    };
    for round in 0..2 {
        let (held, refusal) = take_all(&device, piece, limit);
        match refusal {
            Some(error) => {
                notes.refused::<()>("memory beyond what is left", Err(error), &[ErrorKind::OutOfMemory]);
            }
            None if host => notes.refused(
                "2^60 bytes",
                device.alloc(1 << 60, MemoryKind::Device).map(|_| ()),
                &[ErrorKind::OutOfMemory],
            ),
            None => notes.rule(memory.is_none(), || format!("{} bytes were given, of {memory:?}", held.len() * piece)),
        }
        let kept = held.len();
        drop(held);
        notes.rule(kept > 0, || format!("not even {piece} bytes could be allocated in round {round}"));
        usable(&mut notes, &device, "after the memory was exhausted and freed")?;
        let (again, _) = take_all(&device, piece, (piece * kept).saturating_sub(piece).max(1));
        notes.rule(again.len() + 1 >= kept, || {
            format!("{kept} blocks of {piece} bytes could be allocated, {} after they were freed", again.len())
        });
    }
    notes.verdict()
}

/// Blocks up to a limit in bytes, and why no more, if they ended before.
fn take_all(device: &Arc<dyn Device>, piece: usize, limit: usize) -> (Vec<Buffer>, Option<Error>) {
    let mut held = Vec::new();
    while held.len() * piece < limit {
        match device.alloc(piece, MemoryKind::Device) {
            Ok(buffer) => held.push(buffer),
            Err(error) => return (held, Some(error)),
        }
    }
    (held, None)
}
