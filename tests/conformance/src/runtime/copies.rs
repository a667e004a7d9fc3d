//! Copies, fills, reads and writes: every length at every alignment, and nothing beside them.

use super::load::{Load, occupy};
use super::rig::{Notes, PATIENCE, Queue, Rig};
use super::{full, quick};
use crate::outcome::Check;
use crate::random::Random;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::{ErrorKind, Mem, MemoryKind, Result};

const GROUP: &str = "runtime.copies";

pub(super) const SCRIPTS: &[Script] = &[
    quick("runtime/copies/copies_of_small_sizes_at_odd_addresses", GROUP, |t, s| small(t, s, Way::Copy, false)),
    quick("runtime/copies/fills_of_small_sizes_at_odd_addresses", GROUP, |t, s| small(t, s, Way::Fill, false)),
    quick("runtime/copies/writes_of_small_sizes_at_odd_addresses", GROUP, |t, s| small(t, s, Way::Write, false)),
    quick("runtime/copies/reads_of_small_sizes_at_odd_addresses", GROUP, |t, s| small(t, s, Way::Read, false)),
    full("runtime/copies/copies_of_every_size_at_every_address", GROUP, |t, s| small(t, s, Way::Copy, true)),
    full("runtime/copies/fills_of_every_size_at_every_address", GROUP, |t, s| small(t, s, Way::Fill, true)),
    full("runtime/copies/writes_of_every_size_at_every_address", GROUP, |t, s| small(t, s, Way::Write, true)),
    full("runtime/copies/reads_of_every_size_at_every_address", GROUP, |t, s| small(t, s, Way::Read, true)),
    quick("runtime/copies/fills_with_every_byte_value", GROUP, values),
    quick("runtime/copies/large_copies_between_kinds_of_memory", GROUP, large),
    quick("runtime/copies/the_source_of_a_write_can_be_reused_at_once", GROUP, reuse),
    quick("runtime/copies/reads_wait_for_earlier_work", GROUP, reads_wait),
    quick("runtime/copies/unequal_lengths_are_refused", GROUP, unequal),
];

/// How bytes get to their place.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Copy,
    Fill,
    Write,
    Read,
}

/// One transfer: its bytes, and how far source and destination are from an aligned address.
#[derive(Clone, Copy, Debug)]
struct Move {
    bytes: usize,
    from: usize,
    to: usize,
}

/// Sizes up to this many bytes.
const LARGEST: usize = 300;

/// Offsets below this: past a 16-byte word.
const OFFSETS: usize = 18;

/// Bytes between two destinations, and what holds them until they are written to.
const GAP: usize = 16;
const UNTOUCHED: u8 = 0xB7;

/// Sizes around which transfers in words, vectors and lines change their ways.
const EDGES: [usize; 20] = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129];

fn moves(random: &mut Random, every: bool) -> Vec<Move> {
    let mut all = Vec::new();
    for bytes in 0..=LARGEST {
        if every {
            for offset in 0..OFFSETS {
                all.push(Move { bytes, from: random.below(OFFSETS), to: offset });
                all.push(Move { bytes, from: offset, to: random.below(OFFSETS) });
            }
        } else {
            all.push(Move { bytes, from: random.below(OFFSETS), to: random.below(OFFSETS) });
        }
    }
    if !every {
        let edge = |bytes| move |to| Move { bytes, from: (5 * to + bytes) % OFFSETS, to };
        all.extend(EDGES.into_iter().flat_map(|bytes| (0..OFFSETS).map(edge(bytes))));
    }
    all
}

/// Start of each destination in an arena, and the arena's size.
fn places(moves: &[Move]) -> (Vec<usize>, usize) {
    let mut next = 0;
    let starts = moves.iter().map(|m| {
        let start = next + GAP + m.to;
        next = (start + m.bytes + GAP).next_multiple_of(64);
        start
    });
    (starts.collect(), next + 64)
}

fn small(target: &Target, seed: u64, way: Way, every: bool) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let moves = moves(&mut random, every);
    let source: Vec<u8> = (0..LARGEST + OFFSETS).map(|_| random.bits() as u8).collect();
    let (starts, size) = places(&moves);
    let mut expected = vec![UNTOUCHED; size];
    for (m, start) in moves.iter().zip(&starts) {
        let part = &mut expected[*start..start + m.bytes];
        match way {
            Way::Fill => part.fill(source[m.from]),
            _ => part.copy_from_slice(&source[m.from..m.from + m.bytes]),
        }
    }
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let found = match way {
        Way::Read => read_all(&rig, &queue, &source, &moves, &starts, size)?,
        _ => {
            let arena = rig.alloc(size)?;
            queue.fill(arena, UNTOUCHED)?;
            let on_device = rig.filled(&queue, &source)?;
            for (m, start) in moves.iter().zip(&starts) {
                let dst = arena.slice(*start, m.bytes)?;
                match way {
                    Way::Copy => queue.copy(dst, on_device.slice(m.from, m.bytes)?)?,
                    Way::Fill => queue.fill(dst, source[m.from])?,
                    _ => queue.write(dst, &source[m.from..m.from + m.bytes])?,
                }
            }
            queue.read(arena)?
        }
    };
    if let Some(at) = (0..size).find(|&i| found[i] != expected[i]) {
        let i = starts.partition_point(|s| s.saturating_sub(GAP) <= at).saturating_sub(1);
        let (m, start) = (moves[i], starts[i]);
        let inside = (start..start + m.bytes).contains(&at);
        let check = if inside { Check::Exact } else { Check::Guards };
        notes.expect(false, check, || {
            format!(
                "{} bytes from offset {} to offset {}: byte {} relative to the destination is {:#04x}, expected {:#04x}",
                m.bytes,
                m.from,
                m.to,
                at as i64 - start as i64,
                found[at],
                expected[at]
            )
        });
    }
    notes.verdict()
}

fn read_all(rig: &Rig, queue: &Queue, source: &[u8], moves: &[Move], starts: &[usize], size: usize) -> Result<Vec<u8>> {
    let on_device = rig.filled(queue, source)?;
    let mut arena = vec![UNTOUCHED; size];
    for (m, start) in moves.iter().zip(starts) {
        queue.read_into(on_device.slice(m.from, m.bytes)?, &mut arena[*start..start + m.bytes], PATIENCE)?;
    }
    Ok(arena)
}

fn values(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let width = 5;
    let arena = rig.alloc(256 * width)?;
    let mut expected = Vec::new();
    for byte in 0..=255u8 {
        queue.fill(arena.slice(usize::from(byte) * width, width)?, byte)?;
        expected.extend([byte; 5]);
    }
    notes.same(Check::Exact, || "fills of 5 bytes with 0, 1, .., 255".into(), &queue.read(arena)?, &expected);
    notes.verdict()
}

fn large(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let bytes: usize = (4 << 20) + 13;
    let contents: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| random.bits().to_le_bytes()).take(bytes).collect();
    let kinds = [MemoryKind::Device, MemoryKind::Pinned];
    for (i, (from, to)) in kinds.into_iter().flat_map(|a| kinds.map(|b| (a, b))).enumerate() {
        let (src, dst) = (rig.alloc_kind(bytes + 64, from)?, rig.alloc_kind(bytes + 64, to)?);
        let (inner_src, inner_dst) = (src.slice(3 * i, bytes)?, dst.slice(5 * i + 1, bytes)?);
        queue.fill(dst, UNTOUCHED)?;
        queue.write(inner_src, &contents)?;
        queue.copy(inner_dst, inner_src)?;
        let found = queue.read(dst)?;
        let start = 5 * i + 1;
        let what = || format!("{bytes} bytes from {from:?} to {to:?} memory");
        notes.same(Check::Exact, what, &found[start..start + bytes], &contents);
        let clean = found[..start].iter().chain(&found[start + bytes..]).all(|b| *b == UNTOUCHED);
        notes.expect(clean, Check::Guards, || format!("{}: bytes beside them were changed", what()));
    }
    notes.verdict()
}

fn reuse(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let load = Load::find(&rig, &queue)?;
    let sizes = [1, 16, 100, 4096, 32 << 10, 64 << 10, 1 << 20];
    let mut sources = Vec::new();
    let mut written: Vec<(Mem, u8)> = Vec::new();
    occupy(&load, &queue)?;
    for bytes in sizes {
        let (byte, dst) = (random.bits() as u8, rig.alloc(bytes)?);
        let mut source = vec![byte; bytes];
        queue.write(dst, &source)?;
        source.fill(!byte);
        written.push((dst, byte));
        // Kept to the end: a device that looks too late must find the wrong bytes, not memory of somebody else.
        sources.push(source);
    }
    for (dst, byte) in written {
        let what = || format!("a write of {} bytes whose source was overwritten after it returned", dst.len);
        notes.same(Check::Exact, what, &queue.read(dst)?, &vec![byte; dst.len]);
    }
    notes.verdict()
}

fn reads_wait(target: &Target, seed: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let mut random = Random::new(seed);
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let load = Load::find(&rig, &queue)?;
    let marker = rig.alloc(5000)?;
    for _ in 0..3 {
        let byte = random.bits() as u8;
        queue.fill(marker, !byte)?;
        queue.finish()?;
        occupy(&load, &queue)?;
        queue.fill(marker, byte)?;
        notes.same(Check::Stream, || "a read after a fill".into(), &queue.read(marker)?, &[byte; 5000]);
        if let Some(load) = &load {
            queue.fill(load.result, 0)?;
            queue.finish()?;
            load.enqueue(&queue)?;
            let first = load.result.slice(0, 4)?;
            notes.same(Check::Stream, || "a read after a run".into(), &queue.read(first)?, &load.value.to_le_bytes());
        }
    }
    notes.verdict()
}

fn unequal(target: &Target, _: u64) -> Result<Verdict> {
    let mut notes = Notes::default();
    let rig = Rig::new(target.device());
    let queue = rig.queue()?;
    let (a, b) = (rig.filled(&queue, &[1; 64])?, rig.filled(&queue, &[2; 64])?);
    for (long, short) in [(64, 63), (8, 7), (1, 0)] {
        let kinds = &[ErrorKind::InvalidArgument];
        let what = |call: &str, from: usize, to: usize| format!("{call} from {from} to {to} bytes");
        let (l, s) = (a.slice(0, long)?, b.slice(0, short)?);
        notes.refused(&what("a copy", short, long), queue.copy(l, s), kinds);
        notes.refused(&what("a copy", long, short), queue.copy(s, l), kinds);
        notes.refused(&what("a write", short, long), queue.write(l, &[9; 64][..short]), kinds);
        notes.refused(&what("a write", long, short), queue.write(s, &[9; 64][..long]), kinds);
        let mut host = [7; 64];
        notes.refused(&what("a read", long, short), queue.read_into(l, &mut host[..short], PATIENCE), kinds);
        notes.refused(&what("a read", short, long), queue.read_into(s, &mut host[..long], PATIENCE), kinds);
        notes.same(Check::Guards, || "the destination of a refused read".into(), &host, &[7; 64]);
    }
    notes.same(Check::Guards, || "memory after refused copies".into(), &queue.read(a)?, &[1; 64]);
    notes.same(Check::Guards, || "memory after refused copies".into(), &queue.read(b)?, &[2; 64]);
    notes.verdict()
}
