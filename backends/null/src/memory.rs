//! Device memory: here, host memory.
//!
//! The boundary hands memory around as [`Mem`], plain addresses without an owner. The owner is the value in a [`Buffer`]; dropping its
//! last clone frees the memory. A failure in that drop cannot be returned: a real backend keeps it for `Device::health`.

use omnihal::{Buffer, Error, ErrorKind, Mem, MemoryKind, Result};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

/// Alignment of every allocation: a cache line, and the widest vector register of today's CPUs.
pub(crate) const ALIGNMENT: usize = 64;

/// One allocation.
struct HostBlock {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the block is only an address and its layout; nothing in it is bound to a thread.
unsafe impl Send for HostBlock {}
// SAFETY: a shared block offers no access to its bytes.
unsafe impl Sync for HostBlock {}

impl Drop for HostBlock {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this layout, and only this value frees it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Allocates. The contents are undefined to the caller, but zeroed here: reading bytes that were never written would be undefined in Rust.
pub(crate) fn allocate(bytes: usize, kind: MemoryKind) -> Result<Buffer> {
    let refused = || Error::new(ErrorKind::OutOfMemory, format!("the host cannot give {bytes} bytes"));
    let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).map_err(|_| refused())?;
    // SAFETY: the layout is of at least one byte.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
    let mem = Mem { addr: start.as_ptr().expose_provenance() as u64, len: bytes };
    Ok(Buffer::new(mem, kind, Arc::new(HostBlock { start, layout })))
}

/// The host pointer of a range.
pub(crate) fn pointer(mem: Mem) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(mem.addr as usize)
}
