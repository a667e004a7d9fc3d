//! The macros that turn one declaration of an operator into its descriptor, argument struct, specification and checks.

/// Declares the operators of a family.
///
/// Each declaration gives, in this order: documentation, name, tier, descriptor fields, required field relations, arguments (role,
/// name, optional presence condition, format, shape) and the arithmetic of a full run. `d` names the descriptor in expressions.
macro_rules! operators {
    ($(
        $(#[doc = $doc:literal])+
        $tier:ident $name:literal $Desc:ident $Args:ident {
            $($(#[doc = $fdoc:literal])+ $field:ident : $fty:ty),* $(,)?
        }
        $(require($r:ident) { $($rfield:ident if $cond:expr => $expected:literal;)* })?
        args($d:ident) {
            $($(#[doc = $adoc:literal])+ $role:ident $arg:ident $(if ($present:expr))? = $fmt:expr, $shape:expr;)*
        }
        flops($f:ident) = $flops:expr;
    )*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $Desc {
            $($(#[doc = $fdoc])+ pub $field: $fty,)*
        }

        impl $crate::op::Descriptor for $Desc {
            const SPEC: $crate::op::OpSpec = $crate::op::OpSpec {
                name: $name,
                tier: $crate::op::Tier::$tier,
                doc: concat!($($doc, "\n"),+),
                fields: &[$($crate::op::FieldSpec {
                    name: stringify!($field), ty: stringify!($fty), kind: <$fty as $crate::op::Field>::KIND,
                    doc: concat!($($fdoc),+),
                },)*],
                args: &[$($crate::op::ArgSpec {
                    name: stringify!($arg), role: $crate::op::operators!(@role $role),
                    optional: $crate::op::operators!(@optional $($present)?),
                    doc: concat!($($adoc),+),
                },)*],
            };

            fn require(&self) -> $crate::Result<()> {
                // Sizes first: the relations and shapes below multiply them.
                $(if !$crate::op::Field::sane(&self.$field) {
                    return Err($crate::Error::descriptor(
                        <Self as $crate::op::Kind>::KIND, stringify!($field), format_args!("{:?}", self.$field),
                        "sizes up to 2^31 and finite numbers",
                    ));
                })*
                $(let $r = self;
                $(if !($cond) {
                    return Err($crate::Error::descriptor(
                        <Self as $crate::op::Kind>::KIND, stringify!($rfield), format_args!("{:?}", $r.$rfield), $expected,
                    ));
                })*)?
                Ok(())
            }

            fn arg_types(&self) -> Vec<$crate::op::ArgType> {
                let $d = self;
                vec![$($crate::op::ArgType {
                    name: stringify!($arg),
                    role: $crate::op::operators!(@role $role),
                    present: $crate::op::operators!(@present $($present)?),
                    format: ($fmt).into(),
                    shape: ($shape).into(),
                },)*]
            }

            fn flops(&self) -> f64 {
                let $f = self;
                $flops
            }

            fn fields(&self) -> Vec<$crate::op::FieldValue> {
                vec![$($crate::op::Field::value(self.$field),)*]
            }

            fn from_fields(fields: &[$crate::op::FieldValue]) -> $crate::Result<Self> {
                let kind = <Self as $crate::op::Kind>::KIND;
                $crate::op::field_count(kind, fields.len())?;
                let mut values = fields.iter().copied();
                Ok($Desc {
                    $($field: values.next().and_then(<$fty as $crate::op::Field>::from_value).ok_or_else(|| {
                        $crate::Error::descriptor(kind, stringify!($field), "of another type", stringify!($fty))
                    })?,)*
                })
            }
        }

        #[doc = concat!("Arguments of `", $name, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $Args<'a> {
            $($(#[doc = $adoc])+ pub $arg: $crate::op::operators!(@ty 'a $($present)?),)*
        }

        impl<'a> $Args<'a> {
            /// Names the positional arguments; fails if a required one is missing.
            pub fn new(args: &$crate::Args<'a>) -> $crate::Result<Self> {
                let mut views = args.views.iter();
                Ok($Args {
                    $($arg: $crate::op::operators!(@take views, $Desc, $arg $(, $present)?),)*
                })
            }
        }
    )*};
    (@role read) => { $crate::op::Role::Read };
    (@role write) => { $crate::op::Role::Write };
    (@role update) => { $crate::op::Role::Update };
    (@optional) => { false };
    (@optional $present:expr) => { true };
    (@present) => { true };
    (@present $present:expr) => { $present };
    (@ty $a:lifetime) => { &$a $crate::View };
    (@ty $a:lifetime $present:expr) => { Option<&$a $crate::View> };
    (@take $views:ident, $Desc:ident, $arg:ident) => {
        $crate::op::required($views.next(), <$Desc as $crate::op::Kind>::KIND, stringify!($arg))?
    };
    (@take $views:ident, $Desc:ident, $arg:ident, $present:expr) => {
        $views.next().and_then(Option::as_ref)
    };
}
pub(crate) use operators;

/// Lists the catalogue: from one line an operator come the kind, the descriptor variant, its bit and its row in the docs.
macro_rules! catalogue {
    ($($Variant:ident($family:ident::$Desc:ident)),* $(,)?) => {
        /// The operators, in catalogue order. The discriminant is the operator's bit in an `OpSet`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[repr(u8)]
        pub enum OpKind {
            $(#[doc = concat!("[`", stringify!($family), "::", stringify!($Desc), "`]")] $Variant,)*
        }

        impl OpKind {
            /// Every operator, in catalogue order.
            pub const ALL: &'static [OpKind] = &[$(OpKind::$Variant),*];

            /// The catalogue entry.
            pub const fn spec(self) -> &'static OpSpec {
                match self { $(OpKind::$Variant => &<$family::$Desc as Descriptor>::SPEC,)* }
            }
        }

        /// An operator with its descriptor.
        #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub enum Op {
            $(#[doc = concat!("[`", stringify!($family), "::", stringify!($Desc), "`]")] $Variant($family::$Desc),)*
        }

        impl Op {
            /// Which operator it is.
            pub const fn kind(&self) -> OpKind {
                match self { $(Op::$Variant(_) => OpKind::$Variant,)* }
            }

            /// The operator with these descriptor fields, in the order of [`OpSpec::fields`]. Checks their types, not their values: see [`Op::check`].
            pub fn from_fields(kind: OpKind, fields: &[FieldValue]) -> crate::Result<Op> {
                match kind { $(OpKind::$Variant => <$family::$Desc as Descriptor>::from_fields(fields).map(Op::$Variant),)* }
            }

            fn descriptor(&self) -> &dyn DynDescriptor {
                match self { $(Op::$Variant(d) => d,)* }
            }
        }

        $(impl Kind for $family::$Desc {
            const KIND: OpKind = OpKind::$Variant;
        }
        impl From<$family::$Desc> for Op {
            fn from(d: $family::$Desc) -> Op {
                Op::$Variant(d)
            }
        })*
    };
}
pub(crate) use catalogue;
