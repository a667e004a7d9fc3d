//! Device and pinned memory. Both are host memory here, so a host that reads a device address is not caught; everything else is: ranges are checked, fresh and freed
//! bytes are filled with patterns, and what was freed is handed out again only after many other frees.

use crate::codes::{self, Code};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, VecDeque};

const ALIGN: usize = 256;
/// Bytes after each block that must keep their pattern.
const GUARD: usize = 256;
/// Not a number in every float type.
const FRESH: u8 = 0xff;
const FREED: u8 = 0xfd;
const GUARDED: u8 = 0xa5;
/// Freed blocks that are kept from reuse.
const QUARANTINE: usize = 64;

/// One allocation.
#[derive(Clone, Copy)]
pub struct Block {
    /// Bytes asked for.
    pub bytes: usize,
    /// Pinned host memory, or the device's.
    pub pinned: bool,
}

/// All of it.
#[derive(Default)]
pub struct Memory {
    /// By address.
    pub blocks: BTreeMap<usize, Block>,
    freed: VecDeque<(usize, usize)>,
    /// Bytes of device memory in use.
    pub used: usize,
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(GUARD)?, ALIGN).ok()
}

/// Bytes of the device: `FAKE_CUDA_MEMORY`, or 4 GiB.
pub fn total() -> usize {
    std::env::var("FAKE_CUDA_MEMORY").ok().and_then(|text| text.parse().ok()).unwrap_or(4 << 30)
}

impl Memory {
    /// Allocates.
    pub fn alloc(&mut self, bytes: usize, pinned: bool) -> Result<usize, Code> {
        if bytes == 0 {
            return Err(codes::INVALID_VALUE);
        }
        if !pinned && self.used.checked_add(bytes).is_none_or(|used| used > total()) {
            return Err(codes::OUT_OF_MEMORY);
        }
        let layout = layout(bytes).ok_or(codes::OUT_OF_MEMORY)?;
        // SAFETY: the layout has at least the guard's length.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            return Err(codes::OUT_OF_MEMORY);
        }
        // SAFETY: the block has `bytes + GUARD` bytes.
        unsafe {
            start.write_bytes(FRESH, bytes);
            start.add(bytes).write_bytes(GUARDED, GUARD);
        }
        if !pinned {
            self.used += bytes;
        }
        self.blocks.insert(start as usize, Block { bytes, pinned });
        Ok(start as usize)
    }

    /// Frees. A block written past its end is an illegal access.
    pub fn free(&mut self, at: usize, pinned: bool) -> Result<(), Code> {
        let block = *self.blocks.get(&at).filter(|block| block.pinned == pinned).ok_or(codes::INVALID_VALUE)?;
        self.blocks.remove(&at);
        if !pinned {
            self.used -= block.bytes;
        }
        // SAFETY: the block has `bytes + GUARD` bytes and is ours until it leaves the quarantine.
        let whole =
            unsafe { std::slice::from_raw_parts((at + block.bytes) as *const u8, GUARD).iter().all(|&b| b == GUARDED) };
        // SAFETY: as above.
        unsafe { (at as *mut u8).write_bytes(FREED, block.bytes) };
        self.freed.push_back((at, block.bytes));
        if self.freed.len() > QUARANTINE
            && let Some((old, bytes)) = self.freed.pop_front()
            && let Some(layout) = layout(bytes)
        {
            // SAFETY: it was allocated with this layout and left the books when it was freed.
            unsafe { dealloc(old as *mut u8, layout) };
        }
        match whole {
            true => Ok(()),
            false => {
                eprintln!("stand-in driver: something was written past the end of a block of {} bytes", block.bytes);
                Err(codes::ILLEGAL_ADDRESS)
            }
        }
    }

    /// The block that holds a whole range.
    pub fn holds(&self, at: usize, bytes: usize) -> Option<Block> {
        let (&start, block) = self.blocks.range(..=at).next_back()?;
        (at - start).checked_add(bytes).is_some_and(|end| end <= block.bytes).then_some(*block)
    }
}
