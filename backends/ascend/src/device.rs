//! An open device.

use crate::context::Context;
use crate::event::AscendEvent;
use crate::memory;
use crate::ops::{self, AscendPlan};
use crate::pool::Pool;
use crate::stream::AscendStream;
use crate::toolkit::Toolkit;
use omnihal::{
    Buffer, Caps, DType, Device, DeviceInfo, Event, MemoryKind, Op, Plan, Result, Stream, Support, WeightDesc,
    WeightForm,
};
use std::sync::Arc;

/// A device with its context.
pub(crate) struct AscendDevice {
    info: DeviceInfo,
    caps: Caps,
    context: Arc<Context>,
    pool: Arc<Pool>,
}

/// What a toolkit says of one of its devices. A device that cannot be attached to keeps its size to itself.
pub(crate) fn found(toolkit: &Arc<Toolkit>, index: usize) -> DeviceInfo {
    match Context::new(toolkit.clone(), index) {
        Ok(context) => info(&context, index),
        Err(_) => unsized_info(toolkit, index),
    }
}

fn unsized_info(toolkit: &Toolkit, index: usize) -> DeviceInfo {
    let (name, versions) = (toolkit.soc.0.clone(), toolkit.versions.clone());
    DeviceInfo { backend: "ascend", index, name, memory: None, versions }
}

fn info(context: &Context, index: usize) -> DeviceInfo {
    let memory = memory::free_and_total(context).ok().map(|(_, total)| total as u64);
    DeviceInfo { memory, ..unsized_info(&context.toolkit, index) }
}

impl AscendDevice {
    pub(crate) fn open(toolkit: Arc<Toolkit>, index: usize) -> Result<Self> {
        let context = Arc::new(Context::new(toolkit, index)?);
        let info = info(&context, index);
        let caps = Caps {
            activations: vec![DType::F32, DType::BF16],
            ops: ops::all(),
            host_addressable: false,
            native_graphs: true,
            alignment: memory::ALIGNMENT,
        };
        Ok(AscendDevice { info, caps, pool: Pool::new(&context), context })
    }
}

impl Device for AscendDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.pool.alloc(bytes, kind)
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(AscendStream::new(&self.pool)?))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(AscendEvent::new(&self.context)?))
    }

    fn supports(&self, op: &Op) -> Support {
        match self.plan(op) {
            Ok(_) => Support::Native,
            Err(error) => Support::No(error.to_string()),
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        op.check()?;
        AscendPlan::new(op, &self.context).map(|plan| Arc::new(plan) as Arc<dyn Plan>).map_err(|e| e.with_op(op.kind()))
    }

    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        // Expanding codes with power-of-two scales is exact in bf16; expanding them anew for every product would cost more than the product.
        match desc.format.is_quantised() {
            true => WeightForm::Expand(desc.act),
            false => WeightForm::AsIs,
        }
    }

    fn memory_in_use(&self) -> Option<u64> {
        let (free, total) = memory::free_and_total(&self.context).ok()?;
        Some(total.saturating_sub(free) as u64)
    }

    fn health(&self) -> Result<()> {
        self.context.health()
    }
}
