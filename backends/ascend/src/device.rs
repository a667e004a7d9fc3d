//! An open device.

use crate::context::Context;
use crate::event::AscendEvent;
use crate::memory;
use crate::ops::fused::{self, Fused};
use crate::ops::{self, AscendPlan};
use crate::pool::Pool;
use crate::selfcheck;
use crate::stream::AscendStream;
use crate::toolkit::Toolkit;
use crate::toolkit::search::Env;
use omnihal::{
    Buffer, Caps, DType, Device, DeviceInfo, Error, Event, MemoryKind, Op, OpKind, Plan, Result, Stream, Support,
    WeightDesc, WeightForm,
};
use std::sync::Arc;

/// Says whether the vendor's fused operators are used: `off`, or after their self-check, which is the default.
pub const FUSED: &str = "OMNIHAL_ASCEND_FUSED";

/// Which fused operators of the vendor's a device runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FusedMode {
    /// None: everything is composed of plain operators.
    Off,
    /// Those that pass their self-check.
    Checked,
    /// This one, unchecked: for its check.
    Only(&'static Fused),
}

impl FusedMode {
    /// What the environment asks for.
    pub(crate) fn of(env: Env<'_>) -> Self {
        match env(FUSED).is_some_and(|value| value.eq_ignore_ascii_case("off")) {
            true => FusedMode::Off,
            false => FusedMode::Checked,
        }
    }
}

/// A device with its context.
pub(crate) struct AscendDevice {
    fused: FusedMode,
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
    pub(crate) fn open(toolkit: Arc<Toolkit>, index: usize, fused: FusedMode) -> Result<Self> {
        Ok(AscendDevice::of(Arc::new(Context::new(toolkit, index)?), fused))
    }

    /// A device of a context.
    pub(crate) fn of(context: Arc<Context>, fused: FusedMode) -> Self {
        let info = info(&context, context.index());
        let offered = fused::ALL.iter().filter(|one| match fused {
            FusedMode::Off => false,
            FusedMode::Checked => one.offered(&context.toolkit).is_ok(),
            FusedMode::Only(only) => one.kind == only.kind,
        });
        let caps = Caps {
            activations: vec![DType::F32, DType::BF16],
            ops: OpKind::ALL
                .iter()
                .copied()
                .filter(|kind| ops::is_plain(*kind))
                .chain(offered.map(|one| one.kind))
                .collect(),
            host_addressable: false,
            native_graphs: true,
            alignment: memory::ALIGNMENT,
        };
        AscendDevice { fused, info, caps, pool: Pool::new(&context), context }
    }

    /// What runs an operator: plain operators, or one of the vendor's fused ones.
    fn planned(&self, op: &Op) -> Result<AscendPlan> {
        if ops::is_plain(op.kind()) {
            return AscendPlan::new(op, &self.context);
        }
        match self.fused {
            FusedMode::Off => {
                let words = format!("fused operators are off (${FUSED}): compose {}", op.kind().name());
                Err(Error::unsupported(words))
            }
            FusedMode::Only(only) => AscendPlan::by(op, Some(only), &self.context),
            FusedMode::Checked => {
                selfcheck::first_that_passes(&self.context, op, &fused::candidates(op, &self.context.toolkit)?)
                    .and_then(|passed| AscendPlan::by(op, Some(passed), &self.context))
            }
        }
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
        self.planned(op).map(|plan| Arc::new(plan) as Arc<dyn Plan>).map_err(|e| e.with_op(op.kind()))
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
