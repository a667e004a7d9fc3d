//! Memory and copies.

use super::{calls, give};
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::books::{Lost, books, outside_captures};
use crate::fault::{Answer, broken, code, refuse};
use crate::memory::{Block, is_device, sane};
use crate::stream::{Task, Work};
use std::ffi::c_void;
use std::sync::Arc;

fn allocate(at: *mut *mut c_void, size: usize, pinned: bool) -> Answer {
    sane(size)?;
    let made = books().memory.alloc(size, pinned)?;
    give(at, made as *mut c_void)
}

/// An end of a copy.
enum End {
    Held(Arc<Block>, u64),
    Pageable(u64),
}

impl End {
    /// A range that must be the device's, or the host's. Pageable memory is legal in copies that wait only.
    fn new(at: u64, bytes: usize, device: bool, waits: bool, what: &str) -> Answer<End> {
        let books = books();
        if device {
            return Ok(End::Held(books.memory.device(at, bytes, what)?, at));
        }
        if is_device(at) {
            return broken(
                "memory kind",
                code::MEMORY_TYPE,
                format!("{what}: the device's memory where the host's is wanted"),
            );
        }
        match (books.memory.find(at, bytes), waits) {
            (Some(block), _) => Ok(End::Held(block, at)),
            (None, true) => Ok(End::Pageable(at)),
            (None, false) => {
                broken("pageable", code::PARAM, format!("{what}: an asynchronous copy of memory that is not pinned"))
            }
        }
    }

    fn place(&self) -> *mut u8 {
        match self {
            End::Held(block, at) => block.at(*at),
            End::Pageable(at) => *at as *mut u8,
        }
    }

    fn block(&self) -> Option<Arc<Block>> {
        match self {
            End::Held(block, _) => Some(block.clone()),
            End::Pageable(_) => None,
        }
    }
}

// SAFETY: an address; pageable memory is used by copies that wait only.
unsafe impl Send for End {}
// SAFETY: as above.
unsafe impl Sync for End {}

struct Copy {
    to: End,
    from: End,
    bytes: usize,
}

impl Copy {
    fn new(
        to: *mut c_void,
        most: usize,
        from: *const c_void,
        bytes: usize,
        kind: aclrtMemcpyKind,
        waits: bool,
    ) -> Answer<Copy> {
        if most < bytes {
            return broken("ranges", code::PARAM, format!("a copy of {bytes} bytes to a place of {most}"));
        }
        if bytes == 0 {
            return broken("sizes", code::PARAM, "a copy of 0 bytes");
        }
        let (to, from) = (to as u64, from as u64);
        let (to_device, from_device) = match kind {
            aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_HOST if waits => (false, false),
            aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_HOST => {
                return refuse(code::UNSUPPORTED, "a stream does not copy within the host");
            }
            aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_DEVICE => (true, false),
            aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_HOST => (false, true),
            aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_DEVICE => (true, true),
            _ => (is_device(to), is_device(from)),
        };
        let (to_end, from_end) = (
            End::new(to, bytes, to_device, waits, "destination of a copy")?,
            End::new(from, bytes, from_device, waits, "source of a copy")?,
        );
        if to_device == from_device && to < from + bytes as u64 && from < to + bytes as u64 {
            return broken("overlap", code::PARAM, "a copy between ranges that overlap");
        }
        Ok(Copy { to: to_end, from: from_end, bytes })
    }

    fn run(&self) {
        // SAFETY: both ends hold this many bytes.
        unsafe { self.from.place().copy_to(self.to.place(), self.bytes) };
    }
}

/// Waits for all streams: a copy that waits starts after what was enqueued before it.
fn settle() -> Answer {
    Lost::cause().map_or(Ok(()), Err)
}

calls! {
    /// Allocates device memory, with bytes behind it that operators may read.
    fn aclrtMalloc(at: *mut *mut c_void, size: usize, _policy: aclrtMemMallocPolicy) {
        allocate(at, size, false)
    }

    /// Allocates device memory without bytes behind it.
    fn aclrtMallocAlign32(at: *mut *mut c_void, size: usize, _policy: aclrtMemMallocPolicy) {
        allocate(at, size, false)
    }

    /// Frees device memory at once.
    fn aclrtFree(at: *mut c_void) {
        books().memory.free(at as u64, false)
    }

    /// Frees device memory after everything enqueued.
    fn aclrtFreeWithDevSync(at: *mut c_void) {
        outside_captures("a wait for the device")?;
        let streams: Vec<_> = books().streams.values().cloned().collect();
        streams.iter().for_each(|stream| _ = stream.wait(None));
        books().memory.free(at as u64, false)
    }

    /// Allocates pinned host memory.
    fn aclrtMallocHost(at: *mut *mut c_void, size: usize) {
        allocate(at, size, true)
    }

    /// Frees pinned host memory at once.
    fn aclrtFreeHost(at: *mut c_void) {
        books().memory.free(at as u64, true)
    }

    /// Copies and waits.
    fn aclrtMemcpy(to: *mut c_void, most: usize, from: *const c_void, bytes: usize, kind: aclrtMemcpyKind) {
        outside_captures("a copy that waits")?;
        settle()?;
        Copy::new(to, most, from, bytes, kind, true)?.run();
        Ok(())
    }

    /// Copies in a stream's order. The host's memory is read when the task runs.
    fn aclrtMemcpyAsync(to: *mut c_void, most: usize, from: *const c_void, bytes: usize, kind: aclrtMemcpyKind, stream: aclrtStream) {
        let stream = books().stream(stream.0 as u64)?;
        let copy = Copy::new(to, most, from, bytes, kind, false)?;
        let blocks = [copy.to.block(), copy.from.block()].into_iter().flatten().collect();
        let action = Box::new(move || { copy.run(); Ok(()) });
        stream.push(Task::Run(Arc::new(Work { name: format!("copy of {bytes} bytes"), blocks, action })))
    }

    /// Fills and waits.
    fn aclrtMemset(at: *mut c_void, most: usize, value: i32, bytes: usize) {
        outside_captures("a fill that waits")?;
        settle()?;
        if most < bytes || bytes == 0 { return broken("ranges", code::PARAM, format!("a fill of {bytes} bytes in a place of {most}")) }
        let block = books().memory.device(at as u64, bytes, "a fill")?;
        // SAFETY: the block holds the range.
        unsafe { block.at(at as u64).write_bytes(value as u8, bytes) };
        Ok(())
    }

    /// Fills in a stream's order.
    fn aclrtMemsetAsync(at: *mut c_void, most: usize, value: i32, bytes: usize, stream: aclrtStream) {
        if most < bytes || bytes == 0 { return broken("ranges", code::PARAM, format!("a fill of {bytes} bytes in a place of {most}")) }
        let stream = books().stream(stream.0 as u64)?;
        let at = at as u64;
        let block = books().memory.device(at, bytes, "a fill")?;
        let mine = block.clone();
        // SAFETY: the block holds the range.
        let action = Box::new(move || { unsafe { mine.at(at).write_bytes(value as u8, bytes) }; Ok(()) });
        stream.push(Task::Run(Arc::new(Work { name: format!("fill of {bytes} bytes"), blocks: vec![block], action })))
    }
}
