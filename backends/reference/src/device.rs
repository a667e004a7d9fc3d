//! The device and its plans.

use crate::memory::{ALIGNMENT, allocate};
use crate::ops::fused;
use crate::stream::{ReferenceEvent, ReferenceStream};
use omnihal::{
    Accumulation, Buffer, Caps, DType, Determinism, Device, DeviceInfo, Error, Event, Mem, MemoryKind, Op, OpSet, Plan,
    Result, Stream, Support,
};
use std::any::Any;
use std::sync::Arc;

/// The judge as a device.
pub(crate) struct ReferenceDevice {
    info: DeviceInfo,
    caps: Caps,
}

impl ReferenceDevice {
    pub(crate) fn new(info: DeviceInfo) -> Self {
        let caps = Caps {
            activations: vec![DType::F32, DType::BF16],
            ops: OpSet::all(),
            host_addressable: true,
            native_graphs: false,
            alignment: ALIGNMENT,
        };
        ReferenceDevice { info, caps }
    }
}

/// The one device, as it describes itself.
pub(crate) fn describe() -> DeviceInfo {
    DeviceInfo {
        backend: crate::NAME,
        index: 0,
        name: "host memory, f64 arithmetic".into(),
        memory: None,
        versions: vec![("omnihal-reference".into(), env!("CARGO_PKG_VERSION").into())],
    }
}

impl Device for ReferenceDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        allocate(bytes, kind)
    }

    unsafe fn import(&self, ptr: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        Ok(Buffer::new(Mem { addr: ptr as u64, len: bytes }, MemoryKind::Device, owner))
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(ReferenceStream::default()))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(ReferenceEvent::default()))
    }

    fn supports(&self, op: &Op) -> Support {
        let refusal = op.check().err().map(|error| error.to_string());
        match refusal.or_else(|| fused::unsupported(op)) {
            None => Support::Native,
            Some(reason) => Support::No(reason),
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        op.check()?;
        match fused::unsupported(op) {
            None => Ok(Arc::new(ReferencePlan { op: *op })),
            Some(reason) => Err(Error::unsupported(reason).with_op(op.kind())),
        }
    }
}

/// A checked operator: the judge has nothing to choose.
pub(crate) struct ReferencePlan {
    op: Op,
}

impl Plan for ReferencePlan {
    fn op(&self) -> &Op {
        &self.op
    }

    fn determinism(&self) -> Determinism {
        Determinism::RowInvariant
    }

    fn accumulation(&self) -> Accumulation {
        Accumulation::F64
    }
}
