//! Bytes into fields.

use super::{format_from, shape_from};
use crate::codes::{Coded, EntriesKind, FuncKind, NONE, RoutingKind, RowKind, SourceKind};
use omnihal::op::attention::Entries;
use omnihal::op::elementwise::{Func, Source};
use omnihal::op::moe::Routing;
use omnihal::op::{FieldKind, FieldValue, PageSpace};
use omnihal::{DType, RowFormat, Shape, WeightFormat};

/// Reads a zero-filled copy of the whole struct, so it never runs short.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let start = self.at;
        self.at += N;
        std::array::from_fn(|i| self.bytes.get(start + i).copied().unwrap_or(0))
    }
    pub(super) fn align(&mut self, align: usize) {
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

    pub(super) fn field(&mut self, kind: FieldKind) -> Option<FieldValue> {
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
