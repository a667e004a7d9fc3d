//! The workspace of a stream's operators. How much an operator wants is known when it is prepared, just before it is enqueued; work of one stream runs in order, so all share one.

use crate::pool::Pool;
use crate::sys::types::aclrtStream;
use omnihal::{Buffer, Result};
use std::ffi::c_void;
use std::sync::Arc;

/// Workspace of one stream, or of one captured graph.
pub(crate) struct Scratch {
    pool: Arc<Pool>,
    stream: aclrtStream,
    captures: bool,
    /// The last is in use. A graph keeps all: its calls name them at each replay.
    blocks: Vec<Buffer>,
}

impl Scratch {
    /// Nothing yet; for what a stream runs, or for what is captured on it.
    pub(crate) fn new(pool: &Arc<Pool>, stream: aclrtStream, captures: bool) -> Self {
        Scratch { pool: pool.clone(), stream, captures, blocks: Vec::new() }
    }

    /// Hands over what a capture has used.
    pub(crate) fn take(&mut self) -> Scratch {
        let fresh = Scratch::new(&self.pool, self.stream, self.captures);
        std::mem::replace(self, fresh)
    }

    /// At least so many bytes. What it gave before stays allocated until the stream has passed it.
    pub(crate) fn at_least(&mut self, bytes: u64) -> Result<*mut c_void> {
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        if self.blocks.last().is_none_or(|block| block.len() < wanted) {
            let grown = self.pool.take(wanted, self.stream)?;
            if !self.captures {
                self.blocks.drain(..).for_each(|block| self.pool.give_after(block, self.stream));
            }
            self.blocks.push(grown);
        }
        Ok(self.blocks.last().map_or(std::ptr::null_mut(), |block| block.mem().addr as *mut c_void))
    }

    /// Gives up without freeing, when the device may still use it.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.blocks));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever drops it has waited for the stream or the graph.
        self.pool.give(std::mem::take(&mut self.blocks));
    }
}
