//! Device memory from the driver's stream-ordered pool, and pinned host memory.

use crate::context::Context;
use cudarc::driver::sys as cu;
use omnihal::{Buffer, Error, ErrorKind, Mem, MemoryKind, Result};
use std::sync::Arc;

/// What the driver aligns every allocation to.
pub(crate) const ALIGNMENT: usize = 256;

/// One allocation.
struct Block {
    context: Arc<Context>,
    addr: u64,
    kind: MemoryKind,
}

impl Drop for Block {
    fn drop(&mut self) {
        let context = &self.context;
        let freed = context.enter().and_then(|()| match self.kind {
            MemoryKind::Device => {
                // SAFETY: the address came from the pool, is freed once, and the owner of the buffer answers for work that still uses it.
                context.check(unsafe { cu::cuMemFreeAsync(self.addr, context.memory_stream) }, "cuMemFreeAsync")
            }
            // SAFETY: as above, from `cuMemHostAlloc`.
            MemoryKind::Pinned => context.check(unsafe { cu::cuMemFreeHost(self.addr as *mut _) }, "cuMemFreeHost"),
        });
        context.note(freed);
    }
}

/// Allocates `bytes` bytes of undefined contents.
pub(crate) fn alloc(context: &Arc<Context>, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
    context.enter()?;
    // The driver takes no size that its own arithmetic could overflow.
    if bytes > isize::MAX as usize {
        return Err(Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes were asked, more than any device has")));
    }
    let addr = match kind {
        MemoryKind::Device => pool_alloc(context, bytes.max(1))?,
        MemoryKind::Pinned => pinned_alloc(context, bytes.max(1))?,
    };
    let owner = Arc::new(Block { context: context.clone(), addr, kind });
    Ok(Buffer::new(Mem { addr, len: bytes }, kind, owner))
}

fn pool_alloc(context: &Context, bytes: usize) -> Result<u64> {
    let mut addr = 0;
    // SAFETY: writes one address. The wait is for the memory stream only, which carries nothing but allocations, so that the address is good on every stream.
    unsafe {
        context.check(cu::cuMemAllocAsync(&mut addr, bytes, context.memory_stream), "cuMemAllocAsync")?;
        context.check(cu::cuStreamSynchronize(context.memory_stream), "cuStreamSynchronize")?;
    }
    Ok(addr)
}

fn pinned_alloc(context: &Context, bytes: usize) -> Result<u64> {
    let mut addr = std::ptr::null_mut();
    // SAFETY: writes one address.
    context.check(unsafe { cu::cuMemHostAlloc(&mut addr, bytes, 0) }, "cuMemHostAlloc")?;
    Ok(addr as u64)
}

/// Tells the pool to keep what is freed: a freed block is then handed out again without the operating system.
pub(crate) fn keep_freed(ordinal: usize) -> Result<()> {
    let (mut pool, mut all) = (std::ptr::null_mut(), u64::MAX);
    // SAFETY: reads the device's pool and sets one 64-bit attribute of it.
    unsafe {
        crate::errors::check(cu::cuDeviceGetDefaultMemPool(&mut pool, ordinal as i32), "cuDeviceGetDefaultMemPool")?;
        crate::errors::check(
            cu::cuMemPoolSetAttribute(
                pool,
                cu::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                (&raw mut all).cast(),
            ),
            "cuMemPoolSetAttribute",
        )
    }
}

/// Bytes in use on the device by anyone, without what the pool keeps for later.
pub(crate) fn in_use(context: &Context, ordinal: usize) -> Option<u64> {
    let (mut free, mut total, mut pool, mut used, mut reserved) = (0usize, 0usize, std::ptr::null_mut(), 0u64, 0u64);
    context.enter().ok()?;
    use cu::CUmemPool_attribute::{
        CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT as RESERVED, CU_MEMPOOL_ATTR_USED_MEM_CURRENT as USED,
    };
    // SAFETY: each call writes the values given to it.
    unsafe {
        // Frees are ordered on the memory stream: after it has passed them, the counts are of today.
        context.check(cu::cuStreamSynchronize(context.memory_stream), "cuStreamSynchronize").ok()?;
        context.check(cu::cuMemGetInfo_v2(&mut free, &mut total), "cuMemGetInfo").ok()?;
        context.check(cu::cuDeviceGetDefaultMemPool(&mut pool, ordinal as i32), "cuDeviceGetDefaultMemPool").ok()?;
        context.check(cu::cuMemPoolGetAttribute(pool, USED, (&raw mut used).cast()), "cuMemPoolGetAttribute").ok()?;
        context
            .check(cu::cuMemPoolGetAttribute(pool, RESERVED, (&raw mut reserved).cast()), "cuMemPoolGetAttribute")
            .ok()?;
    }
    Some((total as u64 - free as u64).saturating_sub(reserved - used.min(reserved)))
}
