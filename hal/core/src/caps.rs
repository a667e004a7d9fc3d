//! What a device says about itself before any work is given to it.

use crate::{DType, op::OpKind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a device runs one fully described operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// By its own kernel.
    Native,
    /// By the device, but not as the descriptor says on the tin; the reason says how.
    Emulated(String),
    /// Not at all; the reason says what is missing.
    No(String),
}

/// How far the bits of a result can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Determinism {
    /// D0: repeated runs may differ in their last bits.
    None,
    /// D1: the same call gives the same bits again.
    Repeatable,
    /// D2: a row's bits depend on its own inputs and state only, not on its neighbours or on chunking.
    RowInvariant,
}

impl fmt::Display for Determinism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Determinism::None => "D0",
            Determinism::Repeatable => "D1",
            Determinism::RowInvariant => "D2",
        })
    }
}

/// How a plan adds up products. Error bounds follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Accumulation {
    /// 64-bit floats: the reference.
    F64,
    /// 32-bit floats, any order.
    F32,
    /// Tensor cores that keep `bits` fraction bits and truncate, promoted to f32 every `promote` products.
    TensorCoreTrunc {
        /// Fraction bits kept.
        bits: u8,
        /// Products between promotions to f32.
        promote: u32,
    },
}

impl Accumulation {
    /// The class that covers both: what work that adds up in both ways can promise.
    #[must_use]
    pub fn coarser(self, other: Accumulation) -> Accumulation {
        use Accumulation::{F32, F64, TensorCoreTrunc};
        match (self, other) {
            (TensorCoreTrunc { bits: a, promote: p }, TensorCoreTrunc { bits: b, promote: q }) => {
                TensorCoreTrunc { bits: a.min(b), promote: p.max(q) }
            }
            (coarse @ TensorCoreTrunc { .. }, _) | (_, coarse @ TensorCoreTrunc { .. }) => coarse,
            (F32, _) | (_, F32) => F32,
            (F64, F64) => F64,
        }
    }
}

/// Arithmetic and traffic of one run of a plan at its full capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts as 2.
    pub flops: f64,
    /// Bytes read and written, each unique byte once.
    pub bytes: f64,
}

/// How a row of a state pool is stored (op-catalogue.md 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowFormat {
    /// Plain numbers of this type: `F32` or `BF16`.
    Plain(DType),
    /// Keys: E4M3 codes for all but the rotated channels, those in BF16, one E8M0 scale for 64 codes, padded to 8 bytes.
    F8R,
    /// Indexer keys: packed E2M1 codes, one E8M0 scale for 32 codes.
    F4,
}

impl RowFormat {
    /// Bytes of a row of `width` channels of which the last `rotary` are rotated.
    pub fn bytes(self, width: usize, rotary: usize) -> usize {
        match self {
            RowFormat::Plain(dtype) => dtype.bytes(width),
            RowFormat::F8R => {
                let codes = width - rotary;
                (codes + 2 * rotary + codes / 64).next_multiple_of(8)
            }
            RowFormat::F4 => width / 2 + width / 32,
        }
    }

    /// Element type and count by which a pool row is described in a view: packed rows are bytes.
    pub fn row(self, width: usize, rotary: usize) -> (DType, usize) {
        match self {
            RowFormat::Plain(dtype) => (dtype, width),
            packed => (DType::U8, packed.bytes(width, rotary)),
        }
    }
}

impl fmt::Display for RowFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowFormat::Plain(dtype) => write!(f, "{dtype}"),
            RowFormat::F8R => f.write_str("F8R"),
            RowFormat::F4 => f.write_str("F4"),
        }
    }
}

/// Where a device's memory lies for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryKind {
    /// The device's own memory.
    Device,
    /// Host memory that the device can copy from and to without staging.
    Pinned,
}

/// The facts of one device.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Name of the backend that opened it.
    pub backend: &'static str,
    /// Index among the backend's devices.
    pub index: usize,
    /// What the vendor calls it.
    pub name: String,
    /// Bytes of memory, if the vendor tells.
    pub memory: Option<u64>,
    /// Driver and library versions found, in the vendor's words.
    pub versions: Vec<(String, String)>,
}

/// What a device can do, as plain data filled once at open.
#[derive(Clone, Debug)]
pub struct Caps {
    /// Activation types that its kernels take.
    pub activations: Vec<DType>,
    /// Operators with at least one native descriptor. `Device::supports` decides each case.
    pub ops: OpSet,
    /// Device addresses are ordinary host pointers.
    pub host_addressable: bool,
    /// Streams can capture graphs themselves; otherwise the runtime replays in software.
    pub native_graphs: bool,
    /// Alignment of an allocation in bytes.
    pub alignment: usize,
}

/// A set of operators, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpSet(u64);

impl OpSet {
    /// Every operator of the catalogue.
    pub fn all() -> Self {
        OpKind::ALL.iter().copied().collect()
    }

    /// True if the operator is in the set.
    pub fn contains(self, op: OpKind) -> bool {
        self.0 & (1 << op as u32) != 0
    }

    /// Adds an operator.
    pub fn insert(&mut self, op: OpKind) {
        self.0 |= 1 << op as u32;
    }

    /// Number of operators.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// True if the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<OpKind> for OpSet {
    fn from_iter<I: IntoIterator<Item = OpKind>>(ops: I) -> Self {
        let mut set = OpSet::default();
        ops.into_iter().for_each(|op| set.insert(op));
        set
    }
}
