//! The CPU as a device.

use crate::ops::{self, CpuPlan};
use crate::pool::Pool;
use crate::stream::{CpuEvent, CpuStream};
use crate::{memory, simd};
use omnihal::{
    Buffer, Caps, DType, Device, DeviceInfo, Error, ErrorKind, Event, Mem, MemoryKind, Op, OpSet, Plan, Result, Stream,
    Support,
};
use std::any::Any;
use std::sync::Arc;

/// An open CPU: its facts and its threads.
pub(crate) struct CpuDevice {
    info: DeviceInfo,
    caps: Caps,
    pool: Arc<Pool>,
}

impl CpuDevice {
    pub(crate) fn new(info: DeviceInfo, threads: usize) -> Result<CpuDevice> {
        let pool = Pool::new(threads).map_err(|error| {
            Error::new(ErrorKind::Io, format!("{threads} threads were asked of the host, which refused: {error}"))
        })?;
        tracing::debug!(threads, kernels = simd::kernels().name, "opened the cpu device");
        let caps = Caps {
            activations: vec![DType::F32, DType::BF16],
            ops: OpSet::all(),
            host_addressable: true,
            native_graphs: false,
            alignment: memory::ALIGN,
        };
        Ok(CpuDevice { info, caps, pool: Arc::new(pool) })
    }
}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        memory::alloc(bytes, kind)
    }

    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        Ok(Buffer::new(Mem { addr: ptr as u64, len: bytes }, MemoryKind::Device, owner))
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(CpuStream::new(self.pool.clone())))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(CpuEvent::default()))
    }

    fn supports(&self, op: &Op) -> Support {
        match self.plan(op) {
            Ok(_) => Support::Native,
            Err(error) => Support::No(error.to_string()),
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        op.check()?;
        let choice = ops::choose(op, self.pool.threads()).map_err(|error| error.with_op(op.kind()))?;
        Ok(Arc::new(CpuPlan::new(*op, choice)))
    }
}
