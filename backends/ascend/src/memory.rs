//! Device memory and pinned host memory.

use crate::context::Context;
use crate::sys::constants::{aclrtMemAttr, aclrtMemMallocPolicy};
use omnihal::{Buffer, Error, ErrorKind, Mem, MemoryKind, Result};
use std::ffi::c_void;
use std::sync::Arc;

/// What the runtime aligns every allocation to. Operators want 32.
pub(crate) const ALIGNMENT: usize = 64;

/// One allocation.
struct Block {
    context: Arc<Context>,
    addr: u64,
    kind: MemoryKind,
}

impl Drop for Block {
    fn drop(&mut self) {
        let context = &self.context;
        let at = self.addr as *mut c_void;
        // A free does not wait for work that uses the memory: whoever drops the last clone of a buffer answers for that.
        let freed = context.enter_anyway().and_then(|acl| match self.kind {
            // SAFETY: from `aclrtMalloc`, freed once.
            MemoryKind::Device => context.check("aclrtFree", unsafe { acl.aclrtFree(at) }?),
            MemoryKind::Pinned => {
                context.unpin(self.addr);
                // SAFETY: from `aclrtMallocHost`, freed once.
                context.check("aclrtFreeHost", unsafe { acl.aclrtFreeHost(at) }?)
            }
        });
        context.note(freed);
    }
}

/// Allocates `bytes` bytes of undefined contents.
pub(crate) fn alloc(context: &Arc<Context>, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
    let acl = context.enter()?;
    if bytes > isize::MAX as usize {
        return Err(Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes were asked, more than any device has")));
    }
    let mut at = std::ptr::null_mut();
    // The runtime refuses a size of 0. It adds the bytes that operators may read behind the end by itself.
    let size = bytes.max(1);
    match kind {
        MemoryKind::Device => {
            let policy = aclrtMemMallocPolicy::ACL_MEM_MALLOC_HUGE_FIRST;
            // SAFETY: a place to write to.
            context.check("aclrtMalloc", unsafe { acl.aclrtMalloc(&mut at, size, policy) }?)?;
        }
        MemoryKind::Pinned => {
            // SAFETY: a place to write to.
            context.check("aclrtMallocHost", unsafe { acl.aclrtMallocHost(&mut at, size) }?)?;
            context.pin(at as u64, size);
        }
    }
    let addr = at as u64;
    let owner = Arc::new(Block { context: context.clone(), addr, kind });
    Ok(Buffer::new(Mem { addr, len: bytes }, kind, owner))
}

/// Free and total bytes of the device.
pub(crate) fn free_and_total(context: &Context) -> Result<(usize, usize)> {
    let acl = context.enter()?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: two places to write to.
    let code = unsafe { acl.aclrtGetMemInfo(aclrtMemAttr::ACL_HBM_MEM, &mut free, &mut total) }?;
    context.check("aclrtGetMemInfo", code)?;
    Ok((free, total))
}
