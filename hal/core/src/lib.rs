//! Hardware abstraction for DeepSeek-V4: the types, traits and operators that stand between one model and any accelerator.
//!
//! A chip is described once, as a [`Backend`]. The boundary is a fixed catalogue of operators ([`op`]), planned once for a
//! capacity and run many times; all that varies between runs travels in the step table ([`StepLayout`]).

mod caps;
mod device;
mod dtype;
mod error;
pub mod op;
mod step;
mod view;

pub use caps::{Accumulation, Caps, Cost, Determinism, DeviceInfo, MemoryKind, OpSet, RowFormat, Support};
pub use device::{
    Args, Backend, Buffer, Collective, Device, Event, Graph, Plan, Probe, Prologue, Stream, WeightDesc, WeightForm,
};
pub use dtype::DType;
pub use error::{Error, ErrorKind, Result, Severity, VendorError};
pub use op::{Op, OpKind};
pub use step::{Column, Sequence, SpaceShape, StepColumns, StepLayout, StepShape};
pub use view::{Layout, MAX_RANK, Mem, Quant, Shape, View, WeightFormat};
