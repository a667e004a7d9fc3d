//! Device and pinned memory. A device address lies in a range that no process may read: the bytes are elsewhere, so that a host that follows such an address faults.
//! Addresses are never handed out twice. Fresh and freed bytes are filled with patterns, bytes behind a block are guarded.

use crate::fault::{Answer, broken, code, refuse};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// The vendor aligns every allocation so.
const ALIGN: usize = 64;
/// Bytes after each block that must keep their pattern.
const GUARD: usize = 64;
/// Not a number in every float type.
const FRESH: u8 = 0xff;
const FREED: u8 = 0xfd;
const GUARDED: u8 = 0xa5;
/// Freed pinned blocks that are kept from reuse.
const QUARANTINE: usize = 64;
/// Device addresses: more than any run uses up.
const SPACE: usize = 1 << 42;

/// One allocation.
#[derive(Debug)]
pub struct Block {
    /// The first address, as a client knows it.
    pub start: u64,
    /// Bytes asked for.
    pub bytes: usize,
    /// Pinned host memory, or the device's.
    pub pinned: bool,
    /// Enqueued tasks that name it.
    pub pending: AtomicUsize,
    /// Freed.
    pub freed: AtomicBool,
    data: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the bytes are only reached through raw pointers, by tasks whose order is the client's to keep.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Where the byte with this address really lies.
    pub fn at(&self, addr: u64) -> *mut u8 {
        self.data.as_ptr().wrapping_add((addr - self.start) as usize)
    }

    fn guard_whole(&self) -> bool {
        // SAFETY: the layout has the guard behind the block's bytes.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().add(self.bytes), GUARD) }.iter().all(|&b| b == GUARDED)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nobody holds the block any more.
        unsafe { dealloc(self.data.as_ptr(), self.layout) };
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: BTreeMap<u64, Arc<Block>>,
    quarantine: VecDeque<Arc<Block>>,
    next: u64,
    /// Bytes of device memory in use.
    pub used: usize,
}

/// Bytes of the device: `FAKE_CANN_MEMORY`, or 8 GiB.
pub fn total() -> usize {
    std::env::var("FAKE_CANN_MEMORY").ok().and_then(|text| text.parse().ok()).unwrap_or(8 << 30)
}

/// The start of the unreadable range.
fn space() -> Option<u64> {
    static START: OnceLock<Option<u64>> = OnceLock::new();
    *START.get_or_init(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping anywhere.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SPACE, libc::PROT_NONE, flags, -1, 0) };
        (at != libc::MAP_FAILED).then_some(at as u64)
    })
}

impl Memory {
    /// Allocates.
    pub fn alloc(&mut self, bytes: usize, pinned: bool) -> Answer<u64> {
        if bytes == 0 {
            return broken("sizes", code::PARAM, "an allocation of 0 bytes");
        }
        let none = || crate::fault::Fault { code: code::MEMORY, text: format!("no memory for {bytes} bytes") };
        if !pinned && self.used.checked_add(bytes).is_none_or(|used| used > total()) {
            return Err(none());
        }
        let layout =
            bytes.checked_add(GUARD).and_then(|all| Layout::from_size_align(all, ALIGN).ok()).ok_or_else(none)?;
        // SAFETY: the layout has at least the guard's length.
        let data = NonNull::new(unsafe { alloc(layout) }).ok_or_else(none)?;
        // SAFETY: the block has `bytes + GUARD` bytes.
        unsafe {
            data.write_bytes(FRESH, bytes);
            data.add(bytes).write_bytes(GUARDED, GUARD);
        }
        let start = if pinned { data.as_ptr() as u64 } else { self.address(bytes).ok_or_else(none)? };
        if !pinned {
            self.used += bytes;
        }
        let block =
            Block { start, bytes, pinned, pending: AtomicUsize::new(0), freed: AtomicBool::new(false), data, layout };
        self.blocks.insert(start, Arc::new(block));
        Ok(start)
    }

    /// A device address that was never used.
    fn address(&mut self, bytes: usize) -> Option<u64> {
        let space = space()?;
        let start = self.next.max(space + 4096);
        // A gap between blocks, so that no range reaches from one into the next.
        self.next = start.checked_add((bytes + 4096).next_multiple_of(512) as u64)?;
        (self.next < space + SPACE as u64).then_some(start)
    }

    /// Frees, at once, whoever still uses it.
    pub fn free(&mut self, at: u64, pinned: bool) -> Answer {
        let Some(block) = self.blocks.get(&at).filter(|block| block.pinned == pinned).cloned() else {
            let what = if at == 0 { "null" } else { "no live allocation, or not its start" };
            return broken("free", code::PARAM, format!("a free of address {at:#x}: {what}"));
        };
        self.blocks.remove(&at);
        block.freed.store(true, Relaxed);
        if !pinned {
            self.used -= block.bytes;
        }
        let whole = block.guard_whole();
        // SAFETY: the block has this many bytes and is alive as long as `block`.
        unsafe { block.at(at).write_bytes(FREED, block.bytes) };
        let pending = block.pending.load(Relaxed);
        let bytes = block.bytes;
        if pinned {
            self.quarantine.push_back(block);
            if self.quarantine.len() > QUARANTINE {
                self.quarantine.pop_front();
            }
        }
        if pending > 0 {
            return broken(
                "free in use",
                code::PARAM,
                format!("{bytes} bytes were freed while {pending} enqueued tasks use them"),
            );
        }
        match whole {
            true => Ok(()),
            false => {
                broken("guard", code::PARAM, format!("something was written past the end of a block of {bytes} bytes"))
            }
        }
    }

    /// The block that holds a whole range.
    pub fn find(&self, at: u64, bytes: usize) -> Option<Arc<Block>> {
        let (&start, block) = self.blocks.range(..=at).next_back()?;
        let fits = ((at - start) as usize).checked_add(bytes).is_some_and(|end| end <= block.bytes);
        fits.then(|| block.clone())
    }

    /// The block of device memory that holds a whole range; otherwise a broken rule.
    pub fn device(&self, at: u64, bytes: usize, what: &str) -> Answer<Arc<Block>> {
        match self.find(at, bytes) {
            Some(block) if !block.pinned => Ok(block),
            Some(_) => {
                broken("memory kind", code::MEMORY_TYPE, format!("{what}: host memory where the device's is wanted"))
            }
            None => broken(
                "ranges",
                code::PARAM,
                format!("{what}: {bytes} bytes at {at:#x} are not within one live allocation"),
            ),
        }
    }

    /// Live blocks: of the device, pinned.
    pub fn live(&self) -> [usize; 2] {
        let pinned = self.blocks.values().filter(|block| block.pinned).count();
        [self.blocks.len() - pinned, pinned]
    }
}

/// Whether an address lies in the device's range, in an allocation or not.
pub fn is_device(at: u64) -> bool {
    space().is_some_and(|start| (start..start + SPACE as u64).contains(&at))
}

/// Refuses a size that the vendor's interface cannot mean.
pub fn sane(bytes: usize) -> Answer {
    match bytes > isize::MAX as usize {
        true => refuse(code::MEMORY, format!("no memory for {bytes} bytes")),
        false => Ok(()),
    }
}
