//! Device memory that a stream gives back while its work may still use it: workspaces of operators.
//!
//! A block is lent again to the same stream at once, since its work runs in order, and to another one when the event has passed that was recorded as it was given back. Memory
//! that a program allocates is not kept here: whoever frees that has waited already.

use crate::capture;
use crate::context::Context;
use crate::event::AscendEvent;
use crate::memory;
use crate::sys::types::aclrtStream;
use omnihal::{Buffer, ErrorKind, Event, MemoryKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The smallest block: growing by less would allocate often.
const SMALLEST: usize = 1 << 20;
/// Bytes of free blocks that are kept. More goes back to the device as soon as it is idle.
const KEPT: usize = 256 << 20;

/// A block that was given back.
struct Free {
    memory: Buffer,
    /// The stream whose work may still use it, and the event that it passes afterwards; `None` for a block that nothing uses.
    used: Option<(usize, AscendEvent)>,
}

impl Free {
    /// True if nothing uses it any more. A thread that captures must not ask an event.
    fn idle(&self) -> bool {
        match &self.used {
            None => true,
            Some((_, passed)) => !capture::on_this_thread() && passed.poll().unwrap_or(false),
        }
    }

    fn suits(&self, bytes: usize, stream: usize) -> bool {
        self.memory.len() == bytes && (self.used.as_ref().is_some_and(|(user, _)| *user == stream) || self.idle())
    }
}

/// Blocks of one device.
pub(crate) struct Pool {
    context: Arc<Context>,
    free: Mutex<Vec<Free>>,
}

/// The size of the block for so many bytes: a quarter of a power of two wastes at most a fifth.
fn class(bytes: usize) -> usize {
    let bytes = bytes.max(SMALLEST);
    bytes.checked_next_multiple_of(1 << (bytes.ilog2() - 2)).unwrap_or(bytes)
}

impl Pool {
    pub(crate) fn new(context: &Arc<Context>) -> Arc<Self> {
        Arc::new(Pool { context: context.clone(), free: Mutex::default() })
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn free(&self) -> MutexGuard<'_, Vec<Free>> {
        // A block is in the list or it is not.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates; where memory has run out, once more without the blocks that lie idle here.
    pub(crate) fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        match memory::alloc(&self.context, bytes, kind) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory && kind == MemoryKind::Device && self.trim() > 0 => {
                memory::alloc(&self.context, bytes, kind)
            }
            answer => answer,
        }
    }

    /// A block of at least so many bytes for the work of a stream.
    pub(crate) fn take(&self, bytes: usize, stream: aclrtStream) -> Result<Buffer> {
        let size = class(bytes);
        let found = {
            let mut free = self.free();
            let at = free.iter().position(|block| block.suits(size, stream.0 as usize));
            at.map(|at| free.swap_remove(at).memory)
        };
        found.map_or_else(|| self.alloc(size, MemoryKind::Device), Ok)
    }

    /// Takes blocks back that nothing uses.
    pub(crate) fn give(&self, blocks: Vec<Buffer>) {
        let mut free = self.free();
        free.extend(blocks.into_iter().map(|memory| Free { memory, used: None }));
        let mut kept = 0;
        free.retain(|block| {
            kept += block.memory.len();
            kept <= KEPT || !block.idle()
        });
    }

    /// Takes a block back that work of this stream may still use. Not while the stream is captured: its work is then nowhere yet.
    pub(crate) fn give_after(&self, memory: Buffer, stream: aclrtStream) {
        let marked = AscendEvent::new(&self.context).and_then(|passed| passed.record(stream).map(|()| passed));
        match marked {
            Ok(passed) => self.free().push(Free { memory, used: Some((stream.0 as usize, passed)) }),
            // Nothing says when it may be freed.
            Err(error) => {
                self.context.note(Err(error));
                std::mem::forget(memory);
            }
        }
    }

    /// Hears that a stream has nothing left to do: its name may soon be another's.
    pub(crate) fn passed(&self, stream: aclrtStream) {
        let of_it = |used: &Option<(usize, AscendEvent)>| used.as_ref().is_some_and(|u| u.0 == stream.0 as usize);
        self.free().iter_mut().filter(|block| of_it(&block.used)).for_each(|block| block.used = None);
    }

    /// Frees what nothing uses; the bytes.
    pub(crate) fn trim(&self) -> usize {
        let mut free = self.free();
        let before: usize = free.iter().map(|block| block.memory.len()).sum();
        free.retain(|block| !block.idle());
        before - free.iter().map(|block| block.memory.len()).sum::<usize>()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Streams give their blocks back before they go, after they were waited for. What a lost device still holds is freed with it.
        let free = self.free.get_mut().unwrap_or_else(PoisonError::into_inner);
        for block in std::mem::take(free) {
            if !block.idle() && self.context.health().is_ok() {
                std::mem::forget(block.memory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_waste_little() {
        assert_eq!([class(1), class(SMALLEST), class(SMALLEST + 1)], [SMALLEST, SMALLEST, SMALLEST + SMALLEST / 4]);
        for bytes in (SMALLEST..64 * SMALLEST).step_by(77_777) {
            assert!(class(bytes) >= bytes && (class(bytes) - bytes) * 5 <= class(bytes), "{bytes}");
        }
        assert_eq!(class(usize::MAX), usize::MAX);
    }
}
