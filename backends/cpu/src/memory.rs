//! Device memory: host memory, aligned for the widest vectors and, when large, for huge pages.

use omnihal::{Buffer, Error, ErrorKind, Mem, MemoryKind, Result};
use std::alloc::Layout;
use std::sync::Arc;

/// Alignment of every allocation: a cache line and the widest vector.
pub(crate) const ALIGN: usize = 64;

/// A huge page on x86-64 and on aarch64 with 4 KiB pages.
const HUGE: usize = 2 << 20;

struct Block {
    ptr: *mut u8,
    layout: Layout,
}

// SAFETY: a block only owns its memory; access to it is governed by the contract of `Stream::run`.
unsafe impl Send for Block {}
// SAFETY: as above; a shared block gives no access by itself.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `ptr` came from `alloc` with this layout and is freed once.
        unsafe { std::alloc::dealloc(self.ptr, self.layout) }
    }
}

/// Allocates `bytes` bytes of undefined contents.
pub(crate) fn alloc(bytes: usize, kind: MemoryKind) -> Result<Buffer> {
    let refused = || {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("{bytes} bytes were asked of the host, which has no such range left"),
        )
    };
    let align = if bytes >= HUGE { HUGE } else { ALIGN };
    let layout = Layout::from_size_align(bytes.max(1), align).map_err(|_| refused())?;
    // SAFETY: the layout has a size of at least 1.
    let ptr = unsafe { std::alloc::alloc(layout) };
    if ptr.is_null() {
        return Err(refused());
    }
    if bytes >= HUGE {
        advise_huge(ptr, bytes);
    }
    Ok(Buffer::new(Mem { addr: ptr as u64, len: bytes }, kind, Arc::new(Block { ptr, layout })))
}

/// Asks for huge pages: they raise the read bandwidth of streamed weights by about a half. Refusal is harmless.
#[cfg(target_os = "linux")]
fn advise_huge(ptr: *mut u8, bytes: usize) {
    // SAFETY: the range was just allocated, and this advice changes no contents.
    unsafe { libc::madvise(ptr.cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_ptr: *mut u8, _bytes: usize) {}

/// Bytes of memory of this host, if it tells.
#[cfg(unix)]
pub(crate) fn total() -> Option<u64> {
    // SAFETY: `sysconf` only reads system facts.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    (pages > 0 && page > 0).then(|| pages as u64 * page as u64)
}

#[cfg(not(unix))]
pub(crate) fn total() -> Option<u64> {
    None
}
