//! An open device.

use crate::context::Context;
use crate::event::CudaEvent;
use crate::modules::Modules;
use crate::ops::{self, CudaPlan};
use crate::stream::CudaStream;
use crate::{memory, sys};
use omnihal::{Buffer, Caps, DType, Device, DeviceInfo, Event, MemoryKind, Op, OpSet, Plan, Result, Stream, Support};
use std::sync::Arc;

/// A device with its context and kernels.
pub(crate) struct CudaDevice {
    info: DeviceInfo,
    caps: Caps,
    context: Arc<Context>,
    modules: Arc<Modules>,
}

impl CudaDevice {
    pub(crate) fn open(driver: sys::Driver, info: DeviceInfo) -> Result<CudaDevice> {
        let context = Arc::new(Context::new(info.index)?);
        memory::keep_freed(info.index)?;
        let modules = Arc::new(Modules::new(&context)?);
        tracing::debug!(device = %info.name, capability = modules.capability, driver = driver.version, "opened the cuda device");
        let caps = Caps {
            activations: vec![DType::F32, DType::BF16],
            ops: OpSet::all(),
            host_addressable: false,
            native_graphs: true,
            alignment: memory::ALIGNMENT,
        };
        Ok(CudaDevice { info, caps, context, modules })
    }
}

impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        memory::alloc(&self.context, bytes, kind)
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(CudaStream::new(&self.context)?))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(CudaEvent::new(&self.context)?))
    }

    fn supports(&self, op: &Op) -> Support {
        match self.plan(op) {
            Ok(_) => Support::Native,
            Err(error) => Support::No(error.to_string()),
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        op.check()?;
        let choice = ops::choose(op, &self.modules).map_err(|error| error.with_op(op.kind()))?;
        Ok(Arc::new(CudaPlan::new(*op, choice, &self.modules)))
    }

    fn memory_in_use(&self) -> Option<u64> {
        memory::in_use(&self.context, self.info.index)
    }

    fn health(&self) -> Result<()> {
        self.context.health()
    }
}
