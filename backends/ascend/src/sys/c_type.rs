//! How a Rust type is written in C. The declarations for the header check come from the very types that are called through.

use std::ffi::c_void;

/// A type that has a name in C.
pub trait CType {
    /// The name, with pointers written from the inside out: `aclTensor const * const *`.
    fn c() -> String;
}

/// C's `char`: neither `int8_t` nor `uint8_t` for a compiler, hence a type of its own.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CChar(pub std::ffi::c_char);

macro_rules! named {
    ($($rust:ty => $c:expr),* $(,)?) => {
        $(impl CType for $rust {
            fn c() -> String {
                $c.to_owned()
            }
        })*
    };
}
pub(crate) use named;

named! {
    CChar => "char",
    c_void => "void",
    bool => "bool",
    i8 => "int8_t",
    i32 => "int32_t",
    i64 => "int64_t",
    u32 => "uint32_t",
    u64 => "uint64_t",
    usize => "size_t",
    f32 => "float",
    f64 => "double",
}

impl<T: CType> CType for *mut T {
    fn c() -> String {
        format!("{} *", T::c())
    }
}

impl<T: CType> CType for *const T {
    fn c() -> String {
        format!("{} const *", T::c())
    }
}
