//! Fields into bytes.

use super::format_parts;
use crate::codes::{Coded, EntriesKind, FuncKind, NONE, RoutingKind, RowKind, SourceKind};
use omnihal::op::FieldValue;
use omnihal::op::attention::Entries;
use omnihal::op::elementwise::{Func, Source};
use omnihal::op::moe::Routing;
use omnihal::{DType, MAX_RANK, RowFormat, Shape, WeightFormat};

/// A descriptor under construction.
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn align(&mut self, align: usize) {
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

    pub(super) fn field(&mut self, value: &FieldValue) {
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
