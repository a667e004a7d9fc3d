//! Descriptors as C structs: where each field lies, and the way there and back.
//!
//! The layout follows from the order and the types of the descriptor's fields, as a C compiler would place them; gaps are named members.

mod read;
mod write;

use crate::codes::{Coded, FormatKind, NONE};
use crate::layout::{CType, Member, Struct, TypeInfo, info};
use crate::sys;
use omnihal::op::{FieldKind, FieldSpec};
use omnihal::{DType, Error, MAX_RANK, Op, OpKind, Result, Shape, WeightFormat};
use read::Reader;
use write::Writer;

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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test helpers")]
mod tests;
