//! The open device: what it is, what it can do, and the makers of everything else.

use crate::stream::{NullEvent, NullStream};
use crate::{Calls, memory, ops};
use omnihal::{
    Buffer, Caps, DType, Device, DeviceInfo, Event, Mem, MemoryKind, Op, OpSet, Plan, Result, Stream, Support,
};
use std::any::Any;
use std::sync::Arc;

/// The device. `info` and `caps` are filled once, at open, and never change.
pub(crate) struct NullDevice {
    info: DeviceInfo,
    caps: Caps,
    calls: Arc<Calls>,
}

impl NullDevice {
    pub(crate) fn new(info: DeviceInfo, calls: Arc<Calls>) -> Self {
        let caps = Caps {
            activations: vec![DType::F32, DType::BF16],
            ops: OpSet::all(),
            host_addressable: true,
            native_graphs: true,
            alignment: memory::ALIGNMENT,
        };
        NullDevice { info, caps, calls }
    }
}

impl Device for NullDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        memory::allocate(bytes, kind)
    }

    /// Host memory is device memory here, so importing is free: the buffer keeps `owner` and nothing is copied.
    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        let mem = Mem { addr: ptr.expose_provenance() as u64, len: bytes };
        Ok(Buffer::new(mem, MemoryKind::Device, owner))
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(NullStream::new(Arc::clone(&self.calls))))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(NullEvent))
    }

    fn supports(&self, op: &Op) -> Support {
        ops::supports(op)
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        Ok(Arc::new(ops::plan(op)?))
    }
}
