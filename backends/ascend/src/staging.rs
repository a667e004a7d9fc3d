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
    /// Number of the last use among all uses of the stream's slots.
    used: u64,
}

/// The slots of one stream, made when they are first needed.
pub(crate) struct Staging {
    context: Arc<Context>,
    stream: aclrtStream,
    slots: Vec<Slot>,
    next: usize,
    uses: u64,
    /// Uses up to this one are known to be over: the stream runs in order, so nobody has to ask for them.
    over: u64,
}

impl Staging {
    pub(crate) fn new(context: &Arc<Context>, stream: aclrtStream) -> Self {
        Staging { context: context.clone(), stream, slots: Vec::new(), next: 0, uses: 0, over: 0 }
    }

    /// Gives the slots up without freeing them, when the device may still use them.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.slots));
    }

    /// Place and address of the next slot, once the device is done with it.
    fn slot(&mut self, timeout: Duration) -> Result<(usize, u64)> {
        if self.slots.len() < SLOTS {
            let memory = memory::alloc(&self.context, SLOT, MemoryKind::Pinned)?;
            self.slots.push(Slot { memory, passed: AscendEvent::new(&self.context)?, used: 0 });
            self.next = self.slots.len() - 1;
        }
        let at = self.next;
        self.next = (self.next + 1) % SLOTS;
        if self.slots[at].used > self.over {
            self.wait(at, timeout)?;
        }
        Ok((at, self.slots[at].memory.mem().addr))
    }

    /// Marks what was enqueued for a slot.
    fn mark(&mut self, at: usize) -> Result<()> {
        self.uses += 1;
        self.slots[at].used = self.uses;
        self.slots[at].passed.record(self.stream)
    }

    /// Waits until the device is done with a slot.
    fn wait(&mut self, at: usize, timeout: Duration) -> Result<()> {
        self.slots[at].passed.sync(timeout)?;
        self.over = self.over.max(self.slots[at].used);
        Ok(())
    }

    /// Enqueues a copy from pageable memory, each part by `copy(destination, slot, bytes)`.
    pub(crate) fn write(&mut self, dst: u64, src: &[u8], copy: impl Fn(u64, u64, usize) -> Result<()>) -> Result<()> {
        for (i, part) in src.chunks(SLOT).enumerate() {
            let (at, host) = self.slot(WRITE_LIMIT)?;
            let len = part.len();
            // SAFETY: the slot has at least the part's length, and the device is done with it.
            unsafe { (host as *mut u8).copy_from_nonoverlapping(part.as_ptr(), len) };
            copy(dst + (i * SLOT) as u64, host, len)?;
            self.mark(at)?;
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
            let (at, host) = self.slot(left())?;
            let (host, len) = (host as *mut u8, part.len());
            let from = (src + (i * SLOT) as u64) as *const c_void;
            let kind = aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_HOST;
            // SAFETY: the slot has at least the part's length, and the device is done with it; the caller answers for `src`.
            let code = unsafe { context.enter()?.aclrtMemcpyAsync(host.cast(), len, from, len, kind, stream) }?;
            context.check("aclrtMemcpyAsync", code)?;
            self.mark(at)?;
            self.wait(at, left())?;
            // SAFETY: the device has written the part's length.
            unsafe { part.as_mut_ptr().copy_from_nonoverlapping(host, len) };
        }
        Ok(())
    }
}
