//! The device, its plans and its backend.

use crate::memory::{ALIGNMENT, Heap};
use crate::stream::{self, HostEvent, HostStream};
use crate::{Variant, ops};
use omnihal::{
    Accumulation, Backend, Buffer, Caps, DType, Determinism, Device, DeviceInfo, Error, Event, MemoryKind, Op, OpKind,
    OpSet, Plan, Probe, Result, Stream, Support, WeightFormat,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A backend of one host device with at most one variant.
pub struct VariantsBackend(pub Option<&'static Variant>);

impl Backend for VariantsBackend {
    fn name(&self) -> &'static str {
        "variants"
    }

    fn probe(&self) -> Result<Probe> {
        Ok(Probe { devices: vec![info()], searched: vec!["the host processor".into()] })
    }

    fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
        match index {
            0 => Ok(device(self.0)),
            _ => Err(Error::argument(format!("device {index} was asked for, found 1 device, ask for 0"))),
        }
    }
}

/// The plain device, honest in all but the variant that it is given.
pub fn device(variant: Option<&'static Variant>) -> Arc<dyn Device> {
    let is = |id| stream::is(variant, id);
    let caps = Caps {
        activations: vec![DType::F32, DType::BF16],
        ops: OpSet::all(),
        host_addressable: true,
        native_graphs: !is("stream.without_graphs"),
        alignment: ALIGNMENT,
    };
    Arc::new(HostDevice { info: info(), caps, heap: Heap::new(variant), variant, streams: AtomicUsize::new(0) })
}

/// A plan whose runs fail while they execute, as those of a faulty chip do. By it a judge sees what becomes of a stream then.
pub fn failing_plan(op: &Op) -> Arc<dyn Plan> {
    Arc::new(HostPlan(Arc::new(Kernel { op: *op, variant: None, kept: Mutex::default(), fails: true })))
}

fn info() -> DeviceInfo {
    DeviceInfo { backend: "variants", index: 0, name: "host processor, plain".into(), memory: None, versions: vec![] }
}

struct HostDevice {
    info: DeviceInfo,
    caps: Caps,
    heap: Heap,
    variant: Option<&'static Variant>,
    streams: AtomicUsize,
}

/// What runs: an operator, the variant, and memory kept from run to run.
pub struct Kernel {
    pub op: Op,
    pub variant: Option<&'static Variant>,
    pub kept: Mutex<Vec<f32>>,
    pub fails: bool,
}

/// A plan of this device.
pub struct HostPlan(pub Arc<Kernel>);

/// A type that no kernel of the family takes, if the operator has one.
fn foreign_type(op: &Op) -> Option<String> {
    if op.kind().family() == "copy" {
        return None;
    }
    let known = |t: DType| {
        matches!(
            t,
            DType::F32
                | DType::BF16
                | DType::F16
                | DType::I32
                | DType::U8
                | DType::F8E4M3
                | DType::F4E2M1X2
                | DType::E8M0
        )
    };
    let scaled =
        |data, scale| matches!(data, DType::F8E4M3 | DType::F4E2M1X2) && matches!(scale, DType::E8M0 | DType::F32);
    let legal = |format: &WeightFormat| match *format {
        WeightFormat::Plain(dtype) => known(dtype),
        WeightFormat::Blocked { data, scale, .. } => scaled(data, scale),
    };
    let bad = op.arg_types().into_iter().find(|a| a.present && !legal(&a.format))?;
    Some(format!("argument `{}` is {}, expected F32, BF16 or codes with E8M0 or F32 scales", bad.name, bad.format))
}

impl HostDevice {
    fn is(&self, id: &str) -> bool {
        stream::is(self.variant, id)
    }

    /// Why the device does not run the operator.
    fn refusal(&self, op: &Op) -> Option<Error> {
        if self.is("stream.plan_takes_any_descriptor") {
            return None;
        }
        if let Err(error) = op.check() {
            return Some(error);
        }
        foreign_type(op).map(|reason| Error::unsupported(reason).with_op(op.kind()))
    }
}

impl Device for HostDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        self.heap.alloc(bytes, kind)
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        let ordinal = self.streams.fetch_add(1, SeqCst);
        Ok(Box::new(HostStream::new(self.variant, ordinal)?))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(HostEvent::default()))
    }

    fn supports(&self, op: &Op) -> Support {
        match self.refusal(op) {
            Some(error) => Support::No(error.message().to_owned()),
            None => Support::Native,
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        if self.is("stream.listed_operator_cannot_be_planned") && op.kind() == OpKind::Cumsum {
            return Err(Error::unsupported("this device has no scans").with_op(op.kind()));
        }
        if let Some(error) = self.refusal(op) {
            return Err(error);
        }
        let kernel = Kernel { op: *op, variant: self.variant, kept: Mutex::default(), fails: false };
        Ok(Arc::new(HostPlan(Arc::new(kernel))))
    }
}

impl Plan for HostPlan {
    fn op(&self) -> &Op {
        &self.0.op
    }

    fn workspace(&self) -> usize {
        ops::workspace(&self.0.op)
    }

    fn determinism(&self) -> Determinism {
        ops::determinism(&self.0.op, self.0.variant)
    }

    fn accumulation(&self) -> Accumulation {
        ops::accumulation(&self.0.op, self.0.variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::{ErrorKind, op::elementwise::Cumsum};

    #[test]
    fn bad_descriptors_and_foreign_types_are_refused_at_plan() {
        let device = device(None);
        let bad: Op = Cumsum { rows: 0, len: 3, exclusive: false }.into();
        assert_eq!(device.plan(&bad).err().unwrap().kind(), ErrorKind::InvalidDescriptor);
        assert!(matches!(device.supports(&bad), Support::No(_)));
        let odd: Op =
            omnihal::op::rope::Apply { rows: 1, heads: 1, width: 4, rotary: 2, inverse: false, dtype: DType::I64 }
                .into();
        assert_eq!(device.plan(&odd).err().unwrap().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn the_backend_has_one_device() {
        let backend = VariantsBackend(None);
        assert_eq!(backend.probe().unwrap().devices.len(), 1);
        assert!(backend.open(0).is_ok() && backend.open(1).is_err());
    }
}
