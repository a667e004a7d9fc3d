//! Descriptors as C structs: where each field lies, and the way there and back.
//!
//! The layout follows from the order and the types of the descriptor's fields, as a C compiler would place them; gaps are named members.

use crate::codes::{Coded, EntriesKind, FormatKind, FuncKind, NONE, RoutingKind, RowKind, SourceKind};
use crate::layout::{CType, Member, Struct, TypeInfo, info};
use crate::sys;
use omnihal::op::attention::Entries;
use omnihal::op::elementwise::{Func, Source};
use omnihal::op::moe::Routing;
use omnihal::op::{FieldKind, FieldSpec, FieldValue, PageSpace};
use omnihal::{DType, Error, MAX_RANK, Op, OpKind, Result, RowFormat, Shape, WeightFormat};

/// The C type of a field.
fn c_type(kind: FieldKind) -> TypeInfo {
    match kind {
        FieldKind::Size => info::<u64>(),
        FieldKind::Sizes => info::<[u64; 4]>(),
        FieldKind::Number => info::<f32>(),
        FieldKind::Weight => info::<sys::WeightFormat>(),
        FieldKind::Row => info::<sys::RowFormat>(),
        FieldKind::Dims => info::<sys::Shape>(),
        FieldKind::Pages => info::<sys::PageSpace>(),
        FieldKind::Function => info::<sys::Func>(),
        FieldKind::Operand => info::<sys::Source>(),
        FieldKind::Attended => info::<sys::Entries>(),
        FieldKind::Choice => info::<sys::Routing>(),
        FieldKind::Flag
        | FieldKind::Type
        | FieldKind::OptionalType
        | FieldKind::ActRounding
        | FieldKind::Grid
        | FieldKind::RowRounding
        | FieldKind::Operation
        | FieldKind::Comparison
        | FieldKind::Combination => info::<u32>(),
    }
}

/// What the values of a field are, for its comment; empty where the C type says it.
fn values(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Flag => " 0 or 1.",
        FieldKind::Type => " OHAL_DTYPE_...",
        FieldKind::OptionalType => " OHAL_DTYPE_..., or OHAL_NONE.",
        FieldKind::ActRounding => " OHAL_ACT_QUANT_...",
        FieldKind::Grid => " OHAL_QUANT_...",
        FieldKind::RowRounding => " OHAL_ROW_QUANT_...",
        FieldKind::Operation => " OHAL_ARITH_...",
        FieldKind::Comparison => " OHAL_CMP_...",
        FieldKind::Combination => " OHAL_REDUCTION_...",
        _ => "",
    }
}

/// `family_name`, as in `gemm_linear`.
pub(crate) fn c_name(kind: OpKind) -> String {
    kind.name().replace('.', "_")
}

/// The descriptor's C struct.
pub(crate) fn descriptor_struct(kind: OpKind) -> Struct {
    let (mut members, mut offset, mut pads) = (Vec::new(), 0usize, 0);
    let mut pad_to = |members: &mut Vec<Member>, offset: &mut usize, align: usize| {
        // Every type is a multiple of 4 bytes, so a gap is one word.
        if *offset % align != 0 {
            pads += 1;
            let name = format!("reserved{pads}");
            members.push(Member {
                text: u32::declare(&name),
                name,
                doc: "0.".to_owned(),
                offset: *offset,
                size: size_of::<u32>(),
            });
            *offset += size_of::<u32>();
        }
    };
    for FieldSpec { name, kind, doc, .. } in kind.spec().fields {
        let c = c_type(*kind);
        pad_to(&mut members, &mut offset, c.align);
        members.push(Member {
            name: (*name).to_owned(),
            doc: format!("{doc}{}", values(*kind)),
            text: (c.declare)(name),
            offset,
            size: c.size,
        });
        offset += c.size;
    }
    let align = kind.spec().fields.iter().map(|f| c_type(f.kind).align).max().unwrap_or(4);
    pad_to(&mut members, &mut offset, align);
    Struct { name: format!("ohal_{}_desc", c_name(kind)), doc: kind.spec().doc.to_owned(), members, size: offset }
}

/// A descriptor in C form, aligned to 8 bytes.
pub(crate) struct Encoded {
    words: Vec<u64>,
    bytes: usize,
}

impl Encoded {
    /// The C form of an operator.
    pub(crate) fn new(op: &Op) -> Self {
        let mut w = Writer { bytes: Vec::with_capacity(512) };
        let (mut align, fields) = (4, op.fields());
        for field in &fields {
            let a = c_type(field.kind()).align;
            align = align.max(a);
            w.align(a);
            w.field(field);
        }
        w.align(align);
        let bytes = w.bytes.len();
        w.align(8);
        let word = |c: &[u8]| u64::from_ne_bytes(std::array::from_fn(|i| c[i]));
        Encoded { words: w.bytes.chunks_exact(8).map(word).collect(), bytes }
    }

    /// The operator as the other side reads it; valid while `self` lives.
    pub(crate) fn op(&self, kind: OpKind) -> sys::Op {
        sys::Op {
            struct_size: size_of::<sys::Op>() as u32,
            kind: kind as u32,
            ext: std::ptr::null(),
            desc: self.words.as_ptr().cast(),
            desc_size: self.bytes as u64,
        }
    }
}

/// Reads a descriptor. Unknown words, and members that this version does not have, make the operator unsupported.
pub(crate) fn decode(kind: u32, desc: &[u8]) -> Result<Op> {
    let known = OpKind::ALL.get(kind as usize).copied();
    let kind = known.ok_or_else(|| Error::unsupported(format!("operator number {kind} is unknown to this side")))?;
    let size = descriptor_struct(kind).size;
    if desc.iter().skip(size).any(|b| *b != 0) {
        let text = format!("the descriptor has {} bytes, of which this side knows {size}", desc.len());
        return Err(Error::unsupported(text).with_op(kind));
    }
    let mut whole = vec![0u8; size];
    let common = size.min(desc.len());
    whole[..common].copy_from_slice(&desc[..common]);
    let mut r = Reader { bytes: &whole, at: 0 };
    let mut fields = Vec::with_capacity(kind.spec().fields.len());
    for spec in kind.spec().fields {
        r.align(c_type(spec.kind).align);
        let unknown =
            || Error::unsupported(format!("field `{}` has a value unknown to this side", spec.name)).with_op(kind);
        fields.push(r.field(spec.kind).ok_or_else(unknown)?);
    }
    Op::from_fields(kind, &fields)
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, align: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
    }
    fn u32(&mut self, v: u32) {
        self.bytes.extend(v.to_ne_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.bytes.extend(v.to_ne_bytes());
    }
    fn size(&mut self, v: usize) {
        self.u64(v as u64);
    }
    fn f32(&mut self, v: f32) {
        self.bytes.extend(v.to_ne_bytes());
    }
    fn code(&mut self, v: impl Coded) {
        self.u32(v.code());
    }

    fn shape(&mut self, shape: &Shape) {
        self.u32(shape.rank() as u32);
        self.u32(0);
        (0..MAX_RANK).for_each(|axis| self.size(shape.dims().get(axis).copied().unwrap_or(1)));
    }

    fn weight(&mut self, format: &WeightFormat) {
        let (kind, data, scale, block) = format_parts(format);
        self.code(kind);
        self.u32(data);
        self.u32(scale);
        self.u32(0);
        self.size(block.0);
        self.size(block.1);
    }

    fn func(&mut self, func: Func) {
        let (kind, low, high) = func_parts(func);
        self.code(kind);
        self.f32(low);
        self.f32(high);
        self.u32(0);
    }

    fn choice(&mut self, kind: u32, count: usize) {
        self.u32(kind);
        self.u32(0);
        self.size(count);
    }

    fn field(&mut self, value: &FieldValue) {
        match value {
            FieldValue::Size(v) => self.size(*v),
            FieldValue::Sizes(v) => v.iter().for_each(|n| self.size(*n)),
            FieldValue::Number(v) => self.f32(*v),
            FieldValue::Flag(v) => self.u32(u32::from(*v)),
            FieldValue::Type(v) => self.code(*v),
            FieldValue::OptionalType(v) => self.u32(v.map_or(NONE, DType::code)),
            FieldValue::Weight(v) => self.weight(v),
            FieldValue::Row(v) => {
                let (kind, dtype) = match v {
                    RowFormat::Plain(dtype) => (RowKind::Plain, dtype.code()),
                    RowFormat::F8R => (RowKind::F8R, NONE),
                    RowFormat::F4 => (RowKind::F4, NONE),
                };
                self.code(kind);
                self.u32(dtype);
            }
            FieldValue::Dims(v) => self.shape(v),
            FieldValue::Pages(v) => [v.pages, v.entries, v.table].into_iter().for_each(|n| self.size(n)),
            FieldValue::ActRounding(v) => self.code(*v),
            FieldValue::Grid(v) => self.code(*v),
            FieldValue::RowRounding(v) => self.code(*v),
            FieldValue::Function(v) => self.func(*v),
            FieldValue::Operation(v) => self.code(*v),
            FieldValue::Comparison(v) => self.code(*v),
            FieldValue::Combination(v) => self.code(*v),
            FieldValue::Operand(v) => {
                let (kind, value, shape) = match v {
                    Source::Tensor(shape) => (SourceKind::Tensor, 0.0, *shape),
                    Source::Const(value) => (SourceKind::Const, *value, Shape::new(&[])),
                };
                self.code(kind);
                self.f32(value);
                self.shape(&shape);
            }
            FieldValue::Attended(v) => match v {
                Entries::None => self.choice(EntriesKind::None.code(), 0),
                Entries::Listed(k) => self.choice(EntriesKind::Listed.code(), *k),
                Entries::All => self.choice(EntriesKind::All.code(), 0),
            },
            FieldValue::Choice(v) => match v {
                Routing::Scored => self.choice(RoutingKind::Scored.code(), 0),
                Routing::Hash(rows) => self.choice(RoutingKind::Hash.code(), *rows),
            },
        }
    }
}

/// Kind, code type, scale type and block of a weight format.
pub(crate) fn format_parts(format: &WeightFormat) -> (FormatKind, u32, u32, (usize, usize)) {
    match format {
        WeightFormat::Plain(dtype) => (FormatKind::Plain, dtype.code(), NONE, (0, 0)),
        WeightFormat::Blocked { data, scale, block } => (FormatKind::Blocked, data.code(), scale.code(), *block),
    }
}

/// The weight format of these parts.
pub(crate) fn format_from(kind: u32, data: u32, scale: u32, block: (u64, u64)) -> Option<WeightFormat> {
    let data = DType::from_code(data)?;
    Some(match FormatKind::from_code(kind)? {
        FormatKind::Plain => WeightFormat::Plain(data),
        FormatKind::Blocked => WeightFormat::Blocked {
            data,
            scale: DType::from_code(scale)?,
            block: (usize::try_from(block.0).ok()?, usize::try_from(block.1).ok()?),
        },
    })
}

/// The shape of these parts; `None` if the rank is too high.
pub(crate) fn shape_from(rank: u32, dims: &[u64; MAX_RANK]) -> Option<Shape> {
    let mut sizes = [1usize; MAX_RANK];
    let sizes = sizes.get_mut(..rank as usize)?;
    for (size, dim) in sizes.iter_mut().zip(dims) {
        *size = usize::try_from(*dim).ok()?;
    }
    Some(Shape::new(sizes))
}

fn func_parts(func: Func) -> (FuncKind, f32, f32) {
    let kind = match func {
        Func::Identity => FuncKind::Identity,
        Func::Exp => FuncKind::Exp,
        Func::Relu => FuncKind::Relu,
        Func::Sigmoid => FuncKind::Sigmoid,
        Func::Silu => FuncKind::Silu,
        Func::Sqrt => FuncKind::Sqrt,
        Func::Rsqrt => FuncKind::Rsqrt,
        Func::Abs => FuncKind::Abs,
        Func::Floor => FuncKind::Floor,
        Func::Clamp(low, high) => return (FuncKind::Clamp, low, high),
        Func::SqrtSoftplus => FuncKind::SqrtSoftplus,
        Func::Log => FuncKind::Log,
    };
    (kind, 0.0, 0.0)
}

fn func_from(kind: u32, low: f32, high: f32) -> Option<Func> {
    Some(match FuncKind::from_code(kind)? {
        FuncKind::Identity => Func::Identity,
        FuncKind::Exp => Func::Exp,
        FuncKind::Relu => Func::Relu,
        FuncKind::Sigmoid => Func::Sigmoid,
        FuncKind::Silu => Func::Silu,
        FuncKind::Sqrt => Func::Sqrt,
        FuncKind::Rsqrt => Func::Rsqrt,
        FuncKind::Abs => Func::Abs,
        FuncKind::Floor => Func::Floor,
        FuncKind::Clamp => Func::Clamp(low, high),
        FuncKind::SqrtSoftplus => Func::SqrtSoftplus,
        FuncKind::Log => Func::Log,
    })
}

/// Reads a zero-filled copy of the whole struct, so it never runs short.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let start = self.at;
        self.at += N;
        std::array::from_fn(|i| self.bytes.get(start + i).copied().unwrap_or(0))
    }
    fn align(&mut self, align: usize) {
        self.at = self.at.next_multiple_of(align);
    }
    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }
    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }
    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.u64()).ok()
    }
    fn f32(&mut self) -> f32 {
        f32::from_ne_bytes(self.take())
    }
    fn code<T: Coded>(&mut self) -> Option<T> {
        T::from_code(self.u32())
    }

    fn shape(&mut self) -> Option<Shape> {
        let rank = self.u32();
        self.u32();
        let dims = std::array::from_fn(|_| self.u64());
        shape_from(rank, &dims)
    }

    fn weight(&mut self) -> Option<WeightFormat> {
        let (kind, data, scale) = (self.u32(), self.u32(), self.u32());
        self.u32();
        let block = (self.u64(), self.u64());
        format_from(kind, data, scale, block)
    }

    fn choice<T: Coded>(&mut self) -> Option<(T, usize)> {
        let kind = self.code()?;
        self.u32();
        Some((kind, self.size()?))
    }

    fn field(&mut self, kind: FieldKind) -> Option<FieldValue> {
        Some(match kind {
            FieldKind::Size => FieldValue::Size(self.size()?),
            FieldKind::Sizes => {
                let sizes = [self.size()?, self.size()?, self.size()?, self.size()?];
                FieldValue::Sizes(sizes)
            }
            FieldKind::Number => FieldValue::Number(self.f32()),
            FieldKind::Flag => FieldValue::Flag(match self.u32() {
                0 => false,
                1 => true,
                _ => return None,
            }),
            FieldKind::Type => FieldValue::Type(self.code()?),
            FieldKind::OptionalType => FieldValue::OptionalType(match self.u32() {
                NONE => None,
                code => Some(DType::from_code(code)?),
            }),
            FieldKind::Weight => FieldValue::Weight(self.weight()?),
            FieldKind::Row => {
                let (kind, dtype) = (self.code()?, self.u32());
                FieldValue::Row(match kind {
                    RowKind::Plain => RowFormat::Plain(DType::from_code(dtype)?),
                    RowKind::F8R => RowFormat::F8R,
                    RowKind::F4 => RowFormat::F4,
                })
            }
            FieldKind::Dims => FieldValue::Dims(self.shape()?),
            FieldKind::Pages => {
                FieldValue::Pages(PageSpace { pages: self.size()?, entries: self.size()?, table: self.size()? })
            }
            FieldKind::ActRounding => FieldValue::ActRounding(self.code()?),
            FieldKind::Grid => FieldValue::Grid(self.code()?),
            FieldKind::RowRounding => FieldValue::RowRounding(self.code()?),
            FieldKind::Function => {
                let (kind, low, high) = (self.u32(), self.f32(), self.f32());
                self.u32();
                FieldValue::Function(func_from(kind, low, high)?)
            }
            FieldKind::Operation => FieldValue::Operation(self.code()?),
            FieldKind::Comparison => FieldValue::Comparison(self.code()?),
            FieldKind::Combination => FieldValue::Combination(self.code()?),
            FieldKind::Operand => {
                let (kind, value) = (self.code()?, self.f32());
                let shape = self.shape()?;
                FieldValue::Operand(match kind {
                    SourceKind::Tensor => Source::Tensor(shape),
                    SourceKind::Const => Source::Const(value),
                })
            }
            FieldKind::Attended => FieldValue::Attended(match self.choice()? {
                (EntriesKind::None, _) => Entries::None,
                (EntriesKind::Listed, k) => Entries::Listed(k),
                (EntriesKind::All, _) => Entries::All,
            }),
            FieldKind::Choice => FieldValue::Choice(match self.choice()? {
                (RoutingKind::Scored, _) => Routing::Scored,
                (RoutingKind::Hash, rows) => Routing::Hash(rows),
            }),
        })
    }
}
