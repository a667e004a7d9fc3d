//! Host memory with a limit, and what can go wrong with its bookkeeping.

use crate::Variant;
use omnihal::{Buffer, Error, ErrorKind, Mem, MemoryKind, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Bytes that one device may hand out. Small enough for a test to reach on any machine: untouched pages cost nothing.
const LIMIT: usize = 1 << 30;

/// Alignment of an allocation, a cache line. A misaligned one is off by a quarter of it.
pub const ALIGNMENT: usize = 64;

/// The memory of one device.
pub struct Heap {
    used: Arc<AtomicUsize>,
    variant: Option<&'static Variant>,
    /// The latest block, which a broken allocator hands out a second time.
    latest: Mutex<Weak<Block>>,
}

struct Block {
    start: *mut u8,
    layout: Layout,
    charged: usize,
    used: Arc<AtomicUsize>,
}

// SAFETY: the block owns its memory and gives access to nobody; its address is data.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        self.used.fetch_sub(self.charged, SeqCst);
        // SAFETY: allocated with this very layout, and freed only here.
        unsafe { dealloc(self.start, self.layout) };
    }
}

fn exhausted(bytes: usize, used: usize) -> Error {
    Error::new(
        ErrorKind::OutOfMemory,
        format!("{bytes} bytes were asked for, {used} of {LIMIT} are in use, free some or ask for less"),
    )
}

impl Heap {
    /// An empty heap.
    pub fn new(variant: Option<&'static Variant>) -> Heap {
        Heap { used: Arc::default(), variant, latest: Mutex::default() }
    }

    fn is(&self, id: &str) -> bool {
        crate::stream::is(self.variant, id)
    }

    /// Allocates, or says that nothing is left.
    pub fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        let size = if self.is("stream.huge_allocation_wraps_around") { bytes % LIMIT } else { bytes };
        let used = self.used.load(SeqCst);
        if size > LIMIT - used.min(LIMIT) {
            if self.is("stream.out_of_memory_breaks_later_allocations") {
                self.used.fetch_add(size.min(LIMIT), SeqCst);
            }
            return Err(exhausted(bytes, used));
        }
        let block = Arc::new(self.block(size)?);
        let mut start = block.start as u64;
        if self.is("stream.allocation_is_misaligned") {
            start += ALIGNMENT as u64 / 4;
        }
        let mut owner = block.clone();
        if self.is("stream.two_allocations_share_memory") {
            (start, owner) = self.shared(block, bytes);
        }
        let told = if self.is("stream.length_is_rounded_up") { bytes.next_multiple_of(ALIGNMENT) } else { bytes };
        let kind = if self.is("stream.pinned_memory_is_called_device") { MemoryKind::Device } else { kind };
        Ok(Buffer::new(Mem { addr: start, len: told }, kind, owner as Arc<dyn Any + Send + Sync>))
    }

    fn block(&self, size: usize) -> Result<Block> {
        self.used.fetch_add(size, SeqCst);
        let charged = if self.is("stream.freed_memory_is_not_returned") { 0 } else { size };
        // One line more than asked for: a misaligned block must still be long enough for the test to survive it.
        let layout = Layout::from_size_align(size.next_multiple_of(ALIGNMENT) + ALIGNMENT, ALIGNMENT)
            .map_err(|_| exhausted(size, self.used.load(SeqCst)))?;
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            self.used.fetch_sub(size, SeqCst);
            return Err(exhausted(size, self.used.load(SeqCst)));
        }
        Ok(Block { start, layout, charged, used: self.used.clone() })
    }

    /// Planted: a block that fits into the one before is laid over its end.
    fn shared(&self, block: Arc<Block>, bytes: usize) -> (u64, Arc<Block>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let room = bytes.next_multiple_of(ALIGNMENT);
        if let Some(before) = latest.upgrade().filter(|b| b.charged >= room && room > 0) {
            let last = (before.charged - room) / ALIGNMENT * ALIGNMENT;
            return (before.start as u64 + last as u64, before);
        }
        *latest = Arc::downgrade(&block);
        (block.start as u64, block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_can_be_had_again_and_a_refusal_changes_nothing() {
        let heap = Heap::new(None);
        for _ in 0..3 {
            let half = heap.alloc(LIMIT / 2, MemoryKind::Device).unwrap();
            assert_eq!(half.mem().addr as usize % ALIGNMENT, 0);
            assert_eq!(heap.alloc(LIMIT, MemoryKind::Device).err().unwrap().kind(), ErrorKind::OutOfMemory);
            assert!(heap.alloc(usize::MAX, MemoryKind::Device).is_err());
            assert!(heap.alloc(LIMIT / 2, MemoryKind::Pinned).is_ok());
        }
    }
}
