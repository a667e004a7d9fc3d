//! Host memory as device memory.

use omnihal::{Buffer, Error, ErrorKind, Mem, MemoryKind, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::sync::Arc;

/// Alignment of an allocation: the widest that a listed device asks of an operand.
pub(crate) const ALIGNMENT: usize = 64;

/// Every byte of fresh memory: NaN in each float format, -1 in each integer, so that reading before writing shows.
const FRESH: u8 = 0xFF;

/// One allocation, freed on drop.
struct Block {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the block is only an address until it is dropped; access is through `unsafe` calls whose callers order it.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` with this layout and is freed once.
        unsafe { dealloc(self.start, self.layout) }
    }
}

pub(crate) fn allocate(bytes: usize, kind: MemoryKind) -> Result<Buffer> {
    let refused =
        || Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes were asked for, the host has no such block"));
    // A block of no bytes still needs an address of its own.
    let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).map_err(|_| refused())?;
    // SAFETY: the layout has a size of at least 1.
    let start = unsafe { alloc(layout) };
    if start.is_null() {
        return Err(refused());
    }
    // SAFETY: `start` is a fresh block of this size.
    unsafe { start.write_bytes(FRESH, layout.size()) };
    let mem = Mem { addr: start as u64, len: bytes };
    Ok(Buffer::new(mem, kind, Arc::new(Block { start, layout })))
}
