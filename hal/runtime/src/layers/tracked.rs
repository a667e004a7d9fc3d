//! Buffers that tell when they are freed.

use omnihal::Buffer;
use std::any::Any;
use std::sync::Arc;

/// A buffer and what to do when its last clone is dropped.
struct Tracked<F: Fn() + Send + Sync> {
    freed: F,
    /// Dropped after `freed` has run, with the other fields.
    _buffer: Buffer,
}

impl<F: Fn() + Send + Sync> Drop for Tracked<F> {
    fn drop(&mut self) {
        (self.freed)();
    }
}

/// The same memory, with a call of `freed` just before it is freed.
pub(crate) fn tracked(buffer: Buffer, freed: impl Fn() + Send + Sync + 'static) -> Buffer {
    let (mem, kind) = (buffer.mem(), buffer.kind());
    let owner: Arc<dyn Any + Send + Sync> = Arc::new(Tracked { freed, _buffer: buffer });
    Buffer::new(mem, kind, owner)
}
