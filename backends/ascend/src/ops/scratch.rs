//! The workspace of a stream's operators. How much an operator wants is known when it is prepared, just before it is enqueued; work of one stream runs in order, so all share one.

use crate::context::Context;
use crate::memory;
use omnihal::{Buffer, MemoryKind, Result};
use std::ffi::c_void;
use std::sync::Arc;

/// Growing by whole multiples of this keeps the number of allocations small.
const STEP: usize = 1 << 20;

/// Workspace of one stream, or of one captured graph.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The last is in use. Earlier ones may be named by work that has not run yet.
    blocks: Vec<Buffer>,
}

impl Scratch {
    /// At least so many bytes. What it gave before stays allocated.
    pub(crate) fn at_least(&mut self, context: &Arc<Context>, bytes: u64) -> Result<*mut c_void> {
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        if self.blocks.last().is_none_or(|block| block.len() < wanted) {
            let grown = wanted.checked_next_power_of_two().unwrap_or(wanted).max(STEP);
            self.blocks.push(memory::alloc(context, grown, MemoryKind::Device)?);
        }
        Ok(self.blocks.last().map_or(std::ptr::null_mut(), |block| block.mem().addr as *mut c_void))
    }

    /// Gives up without freeing, when the device may still use it.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.blocks));
    }
}
