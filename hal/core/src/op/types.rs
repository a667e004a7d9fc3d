//! The words in which operators are declared.

use super::{FieldKind, FieldValue, Op, OpKind};
use crate::{Cost, DType, Error, ErrorKind, Result, RowFormat, Shape, View, WeightFormat};
use serde::{Deserialize, Serialize};

/// The families, in the order of the files.
pub const FAMILIES: [&str; 14] = [
    "embed",
    "norm",
    "gemm",
    "quant",
    "rope",
    "attention",
    "compress",
    "indexer",
    "hyper",
    "moe",
    "cache",
    "sample",
    "elementwise",
    "copy",
];

/// What an operator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Needed: the core tier alone runs the whole model.
    Core,
    /// For speed: has a decomposition.
    Fused,
}

/// How an operator uses an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Only read.
    Read,
    /// Fully overwritten.
    Write,
    /// Read and written in place.
    Update,
}

/// One field of a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Name.
    pub name: &'static str,
    /// Rust type.
    pub ty: &'static str,
    /// Its type among those that fields have.
    pub kind: FieldKind,
    /// Meaning.
    pub doc: &'static str,
}

/// One argument of an operator.
#[derive(Clone, Copy, Debug)]
pub struct ArgSpec {
    /// Name.
    pub name: &'static str,
    /// How it is used.
    pub role: Role,
    /// May be left out by the descriptor.
    pub optional: bool,
    /// Meaning.
    pub doc: &'static str,
}

/// A catalogue entry.
#[derive(Clone, Copy, Debug)]
pub struct OpSpec {
    /// `family.name`.
    pub name: &'static str,
    /// Core or fused.
    pub tier: Tier,
    /// What it computes.
    pub doc: &'static str,
    /// Descriptor fields.
    pub fields: &'static [FieldSpec],
    /// Arguments in call order.
    pub args: &'static [ArgSpec],
}

/// What one argument must be for one descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgType {
    /// Name.
    pub name: &'static str,
    /// How it is used.
    pub role: Role,
    /// Present in calls of this descriptor.
    pub present: bool,
    /// Element type, with scales if it is quantised.
    pub format: WeightFormat,
    /// Shape.
    pub shape: Shape,
}

impl From<DType> for WeightFormat {
    fn from(dtype: DType) -> Self {
        WeightFormat::Plain(dtype)
    }
}

/// What every descriptor offers; implemented by the declaration macro.
pub(crate) trait Descriptor {
    const SPEC: OpSpec;
    fn require(&self) -> Result<()>;
    fn arg_types(&self) -> Vec<ArgType>;
    fn flops(&self) -> f64;
    fn fields(&self) -> Vec<FieldValue>;
    fn from_fields(fields: &[FieldValue]) -> Result<Self>
    where
        Self: Sized;
}

/// Ties a descriptor to its place in the catalogue.
pub(crate) trait Kind {
    const KIND: OpKind;
}

/// A product of sizes as a float: it may leave the integers.
pub(crate) fn product<const N: usize>(factors: [usize; N]) -> f64 {
    factors.iter().map(|&f| f as f64).product()
}

/// The object-safe part of [`Descriptor`].
pub(crate) trait DynDescriptor {
    fn require(&self) -> Result<()>;
    fn arg_types(&self) -> Vec<ArgType>;
    fn flops(&self) -> f64;
    fn fields(&self) -> Vec<FieldValue>;
}

impl<T: Descriptor> DynDescriptor for T {
    fn require(&self) -> Result<()> {
        Descriptor::require(self)
    }
    fn arg_types(&self) -> Vec<ArgType> {
        Descriptor::arg_types(self)
    }
    fn flops(&self) -> f64 {
        Descriptor::flops(self)
    }
    fn fields(&self) -> Vec<FieldValue> {
        Descriptor::fields(self)
    }
}

/// Refuses a list of fields that is not as long as the descriptor's.
pub(crate) fn field_count(op: OpKind, found: usize) -> Result<()> {
    let expected = op.spec().fields.len();
    match found == expected {
        true => Ok(()),
        false => {
            let text = format!("{found} descriptor fields were given, expected {expected}");
            Err(Error::new(ErrorKind::InvalidDescriptor, text).with_op(op))
        }
    }
}

/// The view of a required argument.
pub(crate) fn required<'a>(view: Option<&'a Option<View>>, op: OpKind, name: &'static str) -> Result<&'a View> {
    match view {
        Some(Some(view)) => Ok(view),
        _ => Err(Error::argument(format!("argument `{name}` is missing")).with_op(op)),
    }
}

impl OpKind {
    /// `family.name`.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The family: the part of the name before the dot.
    pub fn family(self) -> &'static str {
        self.name().split('.').next().unwrap_or_default()
    }

    /// The operator of that name.
    pub fn from_name(name: &str) -> Option<OpKind> {
        OpKind::ALL.iter().copied().find(|k| k.name() == name)
    }
}

/// No tensor of the model comes near this many elements; larger products are refused before they can overflow.
const MAX_ELEMENTS: usize = 1 << 46;

impl Op {
    /// Refuses descriptors that no backend could honour, naming the field or the argument.
    pub fn check(&self) -> Result<()> {
        self.descriptor().require()?;
        for arg in self.arg_types().iter().filter(|a| a.present) {
            let elements =
                arg.shape.dims().iter().try_fold(1usize, |n, &d| n.checked_mul(d).filter(|&n| n <= MAX_ELEMENTS));
            if !elements.is_some_and(|n| (1..=MAX_ELEMENTS).contains(&n)) {
                return Err(Error::new(
                    ErrorKind::InvalidDescriptor,
                    format!(
                        "argument `{}` would have shape {}, expected 1 to {MAX_ELEMENTS} elements",
                        arg.name, arg.shape
                    ),
                )
                .with_op(self.kind()));
            }
        }
        Ok(())
    }

    /// The fields of the descriptor, in the order of [`OpSpec::fields`].
    pub fn fields(&self) -> Vec<FieldValue> {
        self.descriptor().fields()
    }

    /// What each argument must be, in call order.
    pub fn arg_types(&self) -> Vec<ArgType> {
        self.descriptor().arg_types()
    }

    /// Arithmetic, and the bytes of all arguments, at full capacity.
    pub fn cost(&self) -> Cost {
        let bytes = self.arg_types().into_iter().filter(|a| a.present).map(|a| {
            let passes = if a.role == Role::Update { 2.0 } else { 1.0 };
            passes * a.format.bytes(&a.shape) as f64
        });
        Cost { flops: self.descriptor().flops(), bytes: bytes.sum() }
    }
}

/// Quantise-dequantise of activations before a gemm (deepseek-v4.md 2.2, 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActQuant {
    /// None: activations are used as they are.
    None,
    /// E4M3 with a power-of-two scale for 128 consecutive channels.
    F8G128,
}

/// Code grid of a quantise-dequantise step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QuantKind {
    /// E4M3, scale `2^ceil(log2(max(amax, 1e-4) / 448))`.
    F8E4M3,
    /// E2M1, scale `2^ceil(log2(max(amax, 6 * 2^-126) / 6))`.
    F4E2M1,
}

/// Quantise-dequantise of a state row before it is stored (op-catalogue.md 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowQuant {
    /// None.
    None,
    /// E4M3 in groups of 64 on the channels that carry no rope.
    F8Nope,
    /// E2M1 in groups of 32 on all channels.
    F4All,
}

/// The pages of a state pool: entry `j` of a sequence lies in row `table[j / entries] * entries + j % entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PageSpace {
    /// Pages of the pool, the null and the trash page included.
    pub pages: usize,
    /// Entries in a page.
    pub entries: usize,
    /// Pages in a sequence's page table.
    pub table: usize,
}

impl PageSpace {
    /// Entries that one sequence can hold.
    pub fn capacity(&self) -> usize {
        self.table * self.entries
    }

    /// Rows of the pool.
    pub fn rows(&self) -> usize {
        self.pages * self.entries
    }
}

/// Element type of a stored row.
pub(crate) fn row_type(format: RowFormat, width: usize, rotary: usize) -> DType {
    format.row(width, rotary).0
}

/// Elements of a stored row.
pub(crate) fn row_len(format: RowFormat, width: usize, rotary: usize) -> usize {
    format.row(width, rotary).1
}
