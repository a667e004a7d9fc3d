//! Descriptor fields as values: how a descriptor crosses an interface that does not know its Rust type.

use super::attention::Entries;
use super::elementwise::{Arith, Cmp, Func, Reduction, Source};
use super::moe::Routing;
use super::{ActQuant, PageSpace, QuantKind, RowQuant};
use crate::{DType, RowFormat, Shape, WeightFormat};

/// No size of a descriptor comes near this, so a product of two stays within 64 bits.
const MAX_SIZE: usize = 1 << 31;

/// A type that a descriptor field may have.
pub(crate) trait Field: Copy {
    /// Its name among the kinds.
    const KIND: FieldKind;
    /// The field as a value.
    fn value(self) -> FieldValue;
    /// The field back; `None` for a value of another kind.
    fn from_value(value: FieldValue) -> Option<Self>;
    /// Whether shapes can be computed with it without overflow.
    fn sane(&self) -> bool;
}

macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $Kind:ident($ty:ty) sane($v:ident) = $sane:expr;)*) => {
        /// The types that descriptor fields have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FieldKind {
            $($(#[doc = $doc])+ $Kind,)*
        }

        impl FieldKind {
            /// Every kind.
            pub const ALL: &'static [FieldKind] = &[$(FieldKind::$Kind),*];
        }

        /// A descriptor field with its value.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum FieldValue {
            $($(#[doc = $doc])+ $Kind($ty),)*
        }

        impl FieldValue {
            /// Its type.
            pub const fn kind(&self) -> FieldKind {
                match self { $(FieldValue::$Kind(_) => FieldKind::$Kind,)* }
            }
        }

        $(impl Field for $ty {
            const KIND: FieldKind = FieldKind::$Kind;
            fn value(self) -> FieldValue {
                FieldValue::$Kind(self)
            }
            fn from_value(value: FieldValue) -> Option<Self> {
                match value {
                    FieldValue::$Kind(v) => Some(v),
                    _ => None,
                }
            }
            fn sane(&self) -> bool {
                let $v = self;
                $sane
            }
        })*
    };
}

fields! {
    /// A size or a count.
    Size(usize) sane(v) = *v <= MAX_SIZE;
    /// Four sizes.
    Sizes([usize; 4]) sane(v) = v.iter().all(Field::sane);
    /// A number.
    Number(f32) sane(v) = !v.is_nan();
    /// A switch.
    Flag(bool) sane(_v) = true;
    /// An element type.
    Type(DType) sane(_v) = true;
    /// An element type, if the argument it describes is there.
    OptionalType(Option<DType>) sane(_v) = true;
    /// How a weight is stored.
    Weight(WeightFormat) sane(v) = match v {
        WeightFormat::Plain(_) => true,
        WeightFormat::Blocked { block, .. } => block.0 > 0 && block.1 > 0,
    };
    /// How a state row is stored.
    Row(RowFormat) sane(_v) = true;
    /// A shape.
    Dims(Shape) sane(v) = v.dims().iter().all(Field::sane);
    /// The pages of a pool.
    Pages(PageSpace) sane(v) = [v.pages, v.entries, v.table].iter().all(Field::sane);
    /// Rounding of activations.
    ActRounding(ActQuant) sane(_v) = true;
    /// A code grid.
    Grid(QuantKind) sane(_v) = true;
    /// Rounding of a state row.
    RowRounding(RowQuant) sane(_v) = true;
    /// A function of one variable.
    Function(Func) sane(_v) = true;
    /// A function of two variables.
    Operation(Arith) sane(_v) = true;
    /// A comparison.
    Comparison(Cmp) sane(_v) = true;
    /// A way to combine elements.
    Combination(Reduction) sane(_v) = true;
    /// A tensor or a constant.
    Operand(Source) sane(v) = match v {
        Source::Tensor(shape) => shape.sane(),
        Source::Const(_) => true,
    };
    /// Which compressed entries are attended to.
    Attended(Entries) sane(v) = !matches!(v, Entries::Listed(k) if !k.sane());
    /// How experts are chosen.
    Choice(Routing) sane(v) = !matches!(v, Routing::Hash(rows) if !rows.sane());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Op, OpKind};

    /// A value of each kind that differs with `n`.
    fn sample(kind: FieldKind, n: usize) -> FieldValue {
        let dtype = DType::ALL[n % DType::ALL.len()];
        match kind {
            FieldKind::Size => FieldValue::Size(n + 1),
            FieldKind::Sizes => FieldValue::Sizes([n + 1, n + 2, n, 0]),
            FieldKind::Number => FieldValue::Number(n as f32 - 0.5),
            FieldKind::Flag => FieldValue::Flag(n % 2 == 0),
            FieldKind::Type => FieldValue::Type(dtype),
            FieldKind::OptionalType => FieldValue::OptionalType((n % 2 == 0).then_some(dtype)),
            FieldKind::Weight if n % 2 == 0 => FieldValue::Weight(WeightFormat::FP4_ROW),
            FieldKind::Weight => FieldValue::Weight(WeightFormat::Plain(dtype)),
            FieldKind::Row => FieldValue::Row([RowFormat::Plain(dtype), RowFormat::F8R, RowFormat::F4][n % 3]),
            FieldKind::Dims => FieldValue::Dims(Shape::from([n + 1, 2])),
            FieldKind::Pages => FieldValue::Pages(PageSpace { pages: n + 2, entries: n + 1, table: n }),
            FieldKind::ActRounding => FieldValue::ActRounding([ActQuant::None, ActQuant::F8G128][n % 2]),
            FieldKind::Grid => FieldValue::Grid([QuantKind::F8E4M3, QuantKind::F4E2M1][n % 2]),
            FieldKind::RowRounding => {
                FieldValue::RowRounding([RowQuant::None, RowQuant::F8Nope, RowQuant::F4All][n % 3])
            }
            FieldKind::Function => FieldValue::Function([Func::Exp, Func::Clamp(-1.0, n as f32)][n % 2]),
            FieldKind::Operation => FieldValue::Operation([Arith::Add, Arith::Div][n % 2]),
            FieldKind::Comparison => FieldValue::Comparison([Cmp::Lt, Cmp::Eq][n % 2]),
            FieldKind::Combination => FieldValue::Combination([Reduction::Sum, Reduction::MeanSquare][n % 2]),
            FieldKind::Operand => {
                FieldValue::Operand([Source::Const(n as f32), Source::Tensor(Shape::from([n + 1]))][n % 2])
            }
            FieldKind::Attended => FieldValue::Attended([Entries::None, Entries::Listed(n), Entries::All][n % 3]),
            FieldKind::Choice => FieldValue::Choice([Routing::Scored, Routing::Hash(n)][n % 2]),
        }
    }

    fn values(kind: OpKind, seed: usize) -> Vec<FieldValue> {
        kind.spec().fields.iter().enumerate().map(|(i, f)| sample(f.kind, seed + 3 * i)).collect()
    }

    #[test]
    fn every_descriptor_survives_its_fields() {
        for &kind in OpKind::ALL {
            for seed in 0..6 {
                let fields = values(kind, seed);
                let op = Op::from_fields(kind, &fields).unwrap();
                assert_eq!(op.kind(), kind);
                assert_eq!(op.fields(), fields, "{}", kind.name());
                assert_eq!(Op::from_fields(kind, &op.fields()).unwrap(), op, "{}", kind.name());
            }
        }
    }

    #[test]
    fn fields_of_a_wrong_kind_or_number_are_refused_and_named() {
        for &kind in OpKind::ALL {
            let mut fields = values(kind, 1);
            let missing = Op::from_fields(kind, &fields[1..]).unwrap_err();
            assert_eq!((missing.kind(), missing.op()), (ErrorKind::InvalidDescriptor, Some(kind)));
            let first = match fields[0].kind() {
                FieldKind::Flag => FieldValue::Size(1),
                _ => FieldValue::Flag(true),
            };
            fields[0] = first;
            let error = Op::from_fields(kind, &fields).unwrap_err();
            assert!(error.to_string().contains(kind.spec().fields[0].name), "{error}");
        }
    }

    #[test]
    fn every_kind_is_used_by_some_operator() {
        for kind in FieldKind::ALL {
            let used = OpKind::ALL.iter().flat_map(|k| k.spec().fields).any(|f| f.kind == *kind);
            assert!(used, "{kind:?}");
        }
    }
}
