//! Element types.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The element type of a tensor. Names are spelled out: there are two FP8 formats and more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum DType {
    /// IEEE 754 binary32.
    F32 = 0,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// OCP 8-bit float 1-4-3, bias 7, no infinity, NaN = 0x7F and 0xFF, largest 448.
    F8E4M3,
    /// OCP 8-bit float 1-5-2, bias 15.
    F8E5M2,
    /// OCP power-of-two scale: 2^(byte - 127), 255 = NaN.
    E8M0,
    /// Two OCP 4-bit floats 1-2-1 in a byte: even column in the low nibble.
    F4E2M1X2,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
    /// Signed 32-bit integer: every index of this crate.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 64-bit integer: only in files.
    I64,
    /// One byte, 0 or 1.
    BOOL,
}

impl DType {
    /// Every element type, in discriminant order.
    pub const ALL: [DType; 13] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::F8E4M3,
        DType::F8E5M2,
        DType::E8M0,
        DType::F4E2M1X2,
        DType::I8,
        DType::U8,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::BOOL,
    ];

    /// Bits of one logical element: 4 for packed FP4.
    pub const fn bits(self) -> usize {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 32,
            DType::F16 | DType::BF16 => 16,
            DType::I64 => 64,
            DType::F4E2M1X2 => 4,
            _ => 8,
        }
    }

    /// Bytes that `elements` consecutive logical elements take. Packed types round up to a whole byte.
    pub const fn bytes(self, elements: usize) -> usize {
        (elements * self.bits()).div_ceil(8)
    }

    /// [`DType::bytes`], or `None` where the count leaves the address space.
    pub fn checked_bytes(self, elements: usize) -> Option<usize> {
        Some(elements.checked_mul(self.bits())?.div_ceil(8))
    }

    /// True for types that hold real numbers without a separate scale.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// The name used in messages, files and the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::F8E4M3 => "F8E4M3",
            DType::F8E5M2 => "F8E5M2",
            DType::E8M0 => "E8M0",
            DType::F4E2M1X2 => "F4E2M1X2",
            DType::I8 => "I8",
            DType::U8 => "U8",
            DType::I32 => "I32",
            DType::U32 => "U32",
            DType::I64 => "I64",
            DType::BOOL => "BOOL",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
