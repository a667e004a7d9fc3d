//! Pinned slots between pageable host memory and the device. A copy from pageable memory makes the runtime wait for the stream, and is an error
//! on some chips.

use crate::context::Context;
use crate::event::AscendEvent;
use crate::memory;
use crate::sys::constants::aclrtMemcpyKind;
use crate::sys::types::aclrtStream;
use omnihal::{Buffer, Event, MemoryKind, Result};
use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a slot: a step table fits.
const SLOT: usize = 1 << 20;
/// Slots of a stream: while one is copied by the device, the next are filled.
const SLOTS: usize = 4;
/// How long a write waits for a free slot before it gives up.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

struct Slot {
    memory: Buffer,
    /// Passed once the device has read or written the slot.
    passed: AscendEvent,
}

/// The slots of one stream, made when they are first needed.
pub(crate) struct Staging {
    context: Arc<Context>,
    stream: aclrtStream,
    slots: Vec<Slot>,
    next: usize,
}

impl Staging {
    pub(crate) fn new(context: &Arc<Context>, stream: aclrtStream) -> Self {
        Staging { context: context.clone(), stream, slots: Vec::new(), next: 0 }
    }

    /// Gives the slots up without freeing them, when the device may still use them.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.slots));
    }

    /// The next slot, once the device is done with it.
    fn slot(&mut self, timeout: Duration) -> Result<&Slot> {
        if self.slots.len() < SLOTS {
            let memory = memory::alloc(&self.context, SLOT, MemoryKind::Pinned)?;
            self.slots.push(Slot { memory, passed: AscendEvent::new(&self.context)? });
            self.next = self.slots.len() - 1;
        }
        let slot = &self.slots[self.next];
        self.next = (self.next + 1) % SLOTS;
        slot.passed.sync(timeout)?;
        Ok(slot)
    }

    /// Enqueues a copy from pageable memory, each part by `copy(destination, slot, bytes)`.
    pub(crate) fn write(&mut self, dst: u64, src: &[u8], copy: impl Fn(u64, u64, usize) -> Result<()>) -> Result<()> {
        let stream = self.stream;
        for (i, part) in src.chunks(SLOT).enumerate() {
            let slot = self.slot(WRITE_LIMIT)?;
            let (host, len) = (slot.memory.mem().addr, part.len());
            // SAFETY: the slot has at least the part's length, and the device is done with it.
            unsafe { (host as *mut u8).copy_from_nonoverlapping(part.as_ptr(), len) };
            copy(dst + (i * SLOT) as u64, host, len)?;
            slot.passed.record(stream)?;
        }
        Ok(())
    }

    /// Copies to pageable memory and waits for it.
    ///
    /// # Safety
    /// `src` must be device memory of `dst.len()` bytes.
    pub(crate) unsafe fn read(&mut self, src: u64, dst: &mut [u8], timeout: Duration) -> Result<()> {
        let (context, stream, start) = (self.context.clone(), self.stream, Instant::now());
        let left = || timeout.saturating_sub(start.elapsed());
        for (i, part) in dst.chunks_mut(SLOT).enumerate() {
            let slot = self.slot(left())?;
            let (host, len) = (slot.memory.mem().addr as *mut u8, part.len());
            let from = (src + (i * SLOT) as u64) as *const c_void;
            let kind = aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_HOST;
            // SAFETY: the slot has at least the part's length, and the device is done with it; the caller answers for `src`.
            let code = unsafe { context.enter()?.aclrtMemcpyAsync(host.cast(), len, from, len, kind, stream) }?;
            context.check("aclrtMemcpyAsync", code)?;
            slot.passed.record(stream)?;
            slot.passed.sync(left())?;
            // SAFETY: the device has written the part's length.
            unsafe { part.as_mut_ptr().copy_from_nonoverlapping(host, len) };
        }
        Ok(())
    }
}
