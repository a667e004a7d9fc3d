//! Pinned slots between pageable host memory and the device. Copying from pageable memory directly would make the driver wait for the stream behind our back.

use crate::context::Context;
use crate::event::CudaEvent;
use crate::memory;
use cudarc::driver::sys::{self as cu, CUstream};
use omnihal::{Buffer, Event, MemoryKind, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a slot: a step table fits, and large copies reach the bus's speed.
const SLOT: usize = 1 << 20;
/// Slots of a stream: while one is copied by the device, the next are filled.
const SLOTS: usize = 4;
/// How long a write waits for a free slot before it gives up.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

struct Slot {
    memory: Buffer,
    /// Passed once the device has read or written the slot.
    passed: CudaEvent,
}

/// The slots of one stream, made when they are first needed.
pub(crate) struct Staging {
    context: Arc<Context>,
    stream: CUstream,
    slots: Vec<Slot>,
    next: usize,
}

// SAFETY: the driver's streams may be used from any thread.
unsafe impl Send for Staging {}

impl Staging {
    pub(crate) fn new(context: &Arc<Context>, stream: CUstream) -> Staging {
        Staging { context: context.clone(), stream, slots: Vec::new(), next: 0 }
    }

    /// The next slot, once the device is done with it.
    fn slot(&mut self, timeout: Duration) -> Result<&Slot> {
        if self.slots.len() < SLOTS {
            let memory = memory::alloc(&self.context, SLOT, MemoryKind::Pinned)?;
            self.slots.push(Slot { memory, passed: CudaEvent::new(&self.context)? });
            self.next = self.slots.len() - 1;
        }
        let slot = &self.slots[self.next];
        self.next = (self.next + 1) % SLOTS;
        if !slot.passed.poll()? {
            slot.passed.sync(timeout)?;
        }
        Ok(slot)
    }

    /// Enqueues a copy from pageable memory.
    ///
    /// # Safety
    /// `dst` must be device memory of `src.len()` bytes that stays alive until the stream has passed this call.
    pub(crate) unsafe fn write(&mut self, dst: u64, src: &[u8]) -> Result<()> {
        let (context, stream) = (self.context.clone(), self.stream);
        for (i, part) in src.chunks(SLOT).enumerate() {
            let slot = self.slot(WRITE_LIMIT)?;
            let host = slot.memory.mem().addr as *mut u8;
            // SAFETY: the slot has at least the part's length, and the device is done with it; the caller answers for `dst`.
            let code = unsafe {
                host.copy_from_nonoverlapping(part.as_ptr(), part.len());
                cu::cuMemcpyHtoDAsync_v2(dst + (i * SLOT) as u64, host.cast(), part.len(), stream)
            };
            context.check(code, "cuMemcpyHtoDAsync")?;
            slot.passed.record(stream, false)?;
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
            let host = slot.memory.mem().addr as *mut u8;
            // SAFETY: the slot has at least the part's length, and the device is done with it; the caller answers for `src`.
            let code = unsafe { cu::cuMemcpyDtoHAsync_v2(host.cast(), src + (i * SLOT) as u64, part.len(), stream) };
            context.check(code, "cuMemcpyDtoHAsync")?;
            slot.passed.record(stream, false)?;
            slot.passed.sync(left())?;
            // SAFETY: the device has written the part's length.
            unsafe { part.as_mut_ptr().copy_from_nonoverlapping(host, part.len()) };
        }
        Ok(())
    }
}
