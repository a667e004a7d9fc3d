//! The numbers that stand for the words of the boundary. A number is never given a second meaning; new ones are added at the end.

use omnihal::op::elementwise::{Arith, Cmp, Reduction};
use omnihal::op::{ActQuant, QuantKind, RowQuant};
use omnihal::{DType, Determinism, ErrorKind, MemoryKind, Severity};

/// Stands for "no element type", "no operator".
pub(crate) const NONE: u32 = u32::MAX;

/// One named number.
pub(crate) struct Entry {
    /// Name after the prefix.
    pub(crate) name: &'static str,
    /// The number.
    pub(crate) code: u32,
    /// Meaning.
    pub(crate) doc: &'static str,
}

/// A list of words with their numbers.
pub(crate) trait Coded: Sized {
    /// Name of the C type.
    const C_TYPE: &'static str;
    /// What the list is.
    const DOC: &'static str;
    /// Start of each constant's name.
    const PREFIX: &'static str;
    /// All words.
    const ENTRIES: &'static [Entry];
    /// The number of this word.
    fn code(self) -> u32;
    /// The word of that number; numbers from outside may be unknown.
    fn from_code(code: u32) -> Option<Self>;
}

macro_rules! codes {
    ($(#[doc = $doc:literal])+ $Type:ident, $c:literal, $prefix:literal {
        $($(#[doc = $vdoc:literal])+ $Variant:ident = $code:literal $name:literal,)*
    }) => {
        impl Coded for $Type {
            const C_TYPE: &'static str = $c;
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const PREFIX: &'static str = $prefix;
            const ENTRIES: &'static [Entry] =
                &[$(Entry { name: $name, code: $code, doc: concat!($($vdoc, "\n"),+) },)*];
            fn code(self) -> u32 {
                match self { $($Type::$Variant => $code,)* }
            }
            fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some($Type::$Variant),)*
                    _ => None,
                }
            }
        }
    };
}

/// Words that exist on the wire only: which form of a value with parts follows.
macro_rules! kinds {
    ($(#[doc = $doc:literal])+ $Type:ident, $c:literal, $prefix:literal {
        $($(#[doc = $vdoc:literal])+ $Variant:ident = $code:literal $name:literal,)*
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $Type { $($(#[doc = $vdoc])+ $Variant,)* }
        codes! { $(#[doc = $doc])+ $Type, $c, $prefix { $($(#[doc = $vdoc])+ $Variant = $code $name,)* } }
    };
}

codes! {
    /// What went wrong, for programs.
    ErrorKind, "ohal_error_kind", "OHAL_ERROR_" {
        /// The plug-in does not do this, and says so before any work.
        Unsupported = 0 "UNSUPPORTED",
        /// A descriptor has a field that nobody could honour.
        InvalidDescriptor = 1 "INVALID_DESCRIPTOR",
        /// An argument does not fit its descriptor.
        InvalidArgument = 2 "INVALID_ARGUMENT",
        /// Memory is exhausted.
        OutOfMemory = 3 "OUT_OF_MEMORY",
        /// A wait ran past its limit. The work may still finish.
        Timeout = 4 "TIMEOUT",
        /// A device, library or file was looked for and not found.
        NotFound = 5 "NOT_FOUND",
        /// The device reported a failure while it executed.
        Execution = 6 "EXECUTION",
        /// A call that the present state forbids, such as a wait while the stream is captured.
        InvalidState = 7 "INVALID_STATE",
        /// Input from outside breaks its own rules.
        InvalidInput = 8 "INVALID_INPUT",
        /// The operating system refused a file or memory operation.
        Io = 9 "IO",
    }
}

codes! {
    /// What is left of the device after an error.
    Severity, "ohal_severity", "OHAL_SEVERITY_" {
        /// The call was refused and changed nothing.
        Rejected = 0 "REJECTED",
        /// Work on the stream failed. Every later call on it, and on what waits for it, returns the same cause.
        StreamPoisoned = 1 "STREAM_POISONED",
        /// The device is gone; every object made from it is useless.
        DeviceLost = 2 "DEVICE_LOST",
    }
}

codes! {
    /// Element types.
    DType, "ohal_dtype", "OHAL_DTYPE_" {
        /// IEEE 754 binary32.
        F32 = 0 "F32",
        /// IEEE 754 binary16.
        F16 = 1 "F16",
        /// The upper half of a binary32.
        BF16 = 2 "BF16",
        /// OCP 8-bit float 1-4-3, bias 7, no infinity, NaN = 0x7F and 0xFF, largest 448.
        F8E4M3 = 3 "F8E4M3",
        /// OCP 8-bit float 1-5-2, bias 15.
        F8E5M2 = 4 "F8E5M2",
        /// OCP power-of-two scale: 2^(byte - 127), 255 = NaN.
        E8M0 = 5 "E8M0",
        /// Two OCP 4-bit floats 1-2-1 in a byte, the even column in the low nibble. Shapes and strides count single values.
        F4E2M1X2 = 6 "F4E2M1X2",
        /// Signed byte.
        I8 = 7 "I8",
        /// Unsigned byte.
        U8 = 8 "U8",
        /// Signed 32-bit integer: every index.
        I32 = 9 "I32",
        /// Unsigned 32-bit integer.
        U32 = 10 "U32",
        /// Signed 64-bit integer: only in files.
        I64 = 11 "I64",
        /// One byte, 0 or 1.
        BOOL = 12 "BOOL",
    }
}

codes! {
    /// How far the bits of a result can be relied on.
    Determinism, "ohal_determinism", "OHAL_DETERMINISM_" {
        /// D0: repeated runs may differ in their last bits.
        None = 0 "NONE",
        /// D1: the same call gives the same bits again.
        Repeatable = 1 "REPEATABLE",
        /// D2: a row's bits depend on its own inputs and state only, not on its neighbours or on chunking.
        RowInvariant = 2 "ROW_INVARIANT",
    }
}

codes! {
    /// Where memory lies for the host.
    MemoryKind, "ohal_memory_kind", "OHAL_MEMORY_" {
        /// The device's own memory.
        Device = 0 "DEVICE",
        /// Host memory that the device can copy from and to without staging.
        Pinned = 1 "PINNED",
    }
}

codes! {
    /// Rounding of activations before a product.
    ActQuant, "ohal_act_quant", "OHAL_ACT_QUANT_" {
        /// None: activations are used as they are.
        None = 0 "NONE",
        /// E4M3 with a power-of-two scale for 128 consecutive channels.
        F8G128 = 1 "F8G128",
    }
}

codes! {
    /// Code grid of a rounding step.
    QuantKind, "ohal_quant_kind", "OHAL_QUANT_" {
        /// E4M3, scale 2^ceil(log2(max(amax, 1e-4) / 448)).
        F8E4M3 = 0 "F8E4M3",
        /// E2M1, scale 2^ceil(log2(max(amax, 6 * 2^-126) / 6)).
        F4E2M1 = 1 "F4E2M1",
    }
}

codes! {
    /// Rounding of a state row before it is stored.
    RowQuant, "ohal_row_quant", "OHAL_ROW_QUANT_" {
        /// None.
        None = 0 "NONE",
        /// E4M3 in groups of 64 on the channels that carry no rope.
        F8Nope = 1 "F8_NOPE",
        /// E2M1 in groups of 32 on all channels.
        F4All = 2 "F4_ALL",
    }
}

codes! {
    /// Functions of two variables.
    Arith, "ohal_arith", "OHAL_ARITH_" {
        /// a + b
        Add = 0 "ADD",
        /// a - b
        Sub = 1 "SUB",
        /// a * b
        Mul = 2 "MUL",
        /// scale * a / (b + eps)
        Div = 3 "DIV",
        /// The smaller.
        Min = 4 "MIN",
        /// The larger.
        Max = 5 "MAX",
    }
}

codes! {
    /// Comparisons.
    Cmp, "ohal_cmp", "OHAL_CMP_" {
        /// a < b
        Lt = 0 "LT",
        /// a >= b
        Ge = 1 "GE",
        /// a > b
        Gt = 2 "GT",
        /// a = b
        Eq = 3 "EQ",
    }
}

codes! {
    /// How a reduction combines elements.
    Reduction, "ohal_reduction", "OHAL_REDUCTION_" {
        /// alpha * sum
        Sum = 0 "SUM",
        /// alpha * largest
        Max = 1 "MAX",
        /// alpha * mean of squares
        MeanSquare = 2 "MEAN_SQUARE",
    }
}

kinds! {
    /// Whether a device runs one fully described operator.
    SupportKind, "ohal_support_kind", "OHAL_SUPPORT_" {
        /// By its own kernel.
        Native = 0 "NATIVE",
        /// By the device, but not as the descriptor says on the tin; the reason says how.
        Emulated = 1 "EMULATED",
        /// Not at all; the reason says what is missing.
        No = 2 "NO",
    }
}

kinds! {
    /// How a plan adds up products. Error bounds follow from it.
    AccumulationKind, "ohal_accumulation", "OHAL_ACCUMULATION_" {
        /// 64-bit floats.
        F64 = 0 "F64",
        /// 32-bit floats, any order.
        F32 = 1 "F32",
        /// Tensor cores that keep some fraction bits and truncate, promoted to F32 after some products.
        TensorCoreTrunc = 2 "TENSOR_CORE_TRUNC",
    }
}

kinds! {
    /// How the values of a weight are stored.
    FormatKind, "ohal_format_kind", "OHAL_FORMAT_" {
        /// One number an element.
        Plain = 0 "PLAIN",
        /// Codes with one scale for each block.
        Blocked = 1 "BLOCKED",
    }
}

kinds! {
    /// How a row of a state pool is stored.
    RowKind, "ohal_row_kind", "OHAL_ROW_" {
        /// Plain numbers of a type.
        Plain = 0 "PLAIN",
        /// Bytes: E4M3 codes for all but the rotated channels, those in BF16, one E8M0 scale for 64 codes, padded to 8 bytes.
        F8R = 1 "F8R",
        /// Bytes: packed E2M1 codes, one E8M0 scale for 32 codes.
        F4 = 2 "F4",
    }
}

kinds! {
    /// How the bytes of a tensor are arranged.
    LayoutKind, "ohal_layout", "OHAL_LAYOUT_" {
        /// Elements at offset + sum(index * stride).
        Strided = 0 "STRIDED",
        /// The plug-in's private weight layout, made by its `repack`.
        Vendor = 1 "VENDOR",
    }
}

kinds! {
    /// In which form a device wants a weight.
    WeightFormKind, "ohal_weight_form_kind", "OHAL_WEIGHT_" {
        /// As stored.
        AsIs = 0 "AS_IS",
        /// Multiplied out to plain numbers of `dtype`.
        Expand = 1 "EXPAND",
        /// In a private layout that `repack` makes.
        Repack = 2 "REPACK",
        /// Not at all; the reason says why.
        No = 3 "NO",
    }
}

kinds! {
    /// Functions of one variable.
    FuncKind, "ohal_func_kind", "OHAL_FUNC_" {
        /// x
        Identity = 0 "IDENTITY",
        /// e^x
        Exp = 1 "EXP",
        /// max(x, 0)
        Relu = 2 "RELU",
        /// 1 / (1 + e^-x)
        Sigmoid = 3 "SIGMOID",
        /// x / (1 + e^-x)
        Silu = 4 "SILU",
        /// Square root.
        Sqrt = 5 "SQRT",
        /// 1 / square root.
        Rsqrt = 6 "RSQRT",
        /// Absolute value.
        Abs = 7 "ABS",
        /// Largest integer not above x.
        Floor = 8 "FLOOR",
        /// x kept between `low` and `high`.
        Clamp = 9 "CLAMP",
        /// sqrt(log(1 + e^x)), with log(1 + e^x) = x above 20.
        SqrtSoftplus = 10 "SQRT_SOFTPLUS",
        /// Natural logarithm.
        Log = 11 "LOG",
    }
}

kinds! {
    /// What an operand is.
    SourceKind, "ohal_source_kind", "OHAL_SOURCE_" {
        /// A tensor whose dimensions equal the result's or are 1: an argument of the run.
        Tensor = 0 "TENSOR",
        /// One number for all.
        Const = 1 "CONST",
    }
}

kinds! {
    /// Which compressed entries a row attends to besides its window.
    EntriesKind, "ohal_entries_kind", "OHAL_ENTRIES_" {
        /// None: a window-only block.
        None = 0 "NONE",
        /// Those listed in argument `idx`, at most `listed` of them, ascending, -1 at the end.
        Listed = 1 "LISTED",
        /// All visible ones, up to the capacity of the page table.
        All = 2 "ALL",
    }
}

kinds! {
    /// How a row's experts are chosen.
    RoutingKind, "ohal_routing_kind", "OHAL_ROUTING_" {
        /// The best scores plus bias.
        Scored = 0 "SCORED",
        /// A fixed table by token id, of `rows` rows.
        Hash = 1 "HASH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of<T: Coded + Copy>() {
        for (place, entry) in T::ENTRIES.iter().enumerate() {
            assert_eq!(entry.code as usize, place, "{} is numbered in order", T::C_TYPE);
            assert_eq!(T::from_code(entry.code).map(T::code), Some(entry.code));
        }
        assert!(T::from_code(T::ENTRIES.len() as u32).is_none() && T::from_code(NONE).is_none());
    }

    #[test]
    fn every_word_survives_its_number_and_unknown_numbers_are_nothing() {
        codes_of::<ErrorKind>();
        codes_of::<Severity>();
        codes_of::<DType>();
        codes_of::<Determinism>();
        codes_of::<MemoryKind>();
        codes_of::<ActQuant>();
        codes_of::<QuantKind>();
        codes_of::<RowQuant>();
        codes_of::<Arith>();
        codes_of::<Cmp>();
        codes_of::<Reduction>();
        codes_of::<SupportKind>();
        codes_of::<AccumulationKind>();
        codes_of::<FormatKind>();
        codes_of::<RowKind>();
        codes_of::<LayoutKind>();
        codes_of::<WeightFormKind>();
        codes_of::<FuncKind>();
        codes_of::<SourceKind>();
        codes_of::<EntriesKind>();
        codes_of::<RoutingKind>();
    }

    #[test]
    fn element_types_keep_the_numbers_of_the_rust_side() {
        DType::ALL.iter().for_each(|d| assert_eq!(d.code(), *d as u32));
    }
}
