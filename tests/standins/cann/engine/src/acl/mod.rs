//! The runtime library's functions, with the vendor's names, signatures and rules (CANN runtime documents).
//!
//! Safety: every function has the contract of the vendor's function of that name.
#![allow(non_snake_case, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's, as the module says")]

mod device;
mod graphs;
mod memory;
mod rest;
mod streams;

pub use device::*;
pub use graphs::*;
pub use memory::*;
pub use rest::*;
pub use streams::*;

/// Functions that count themselves and want a context on their thread.
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) $body:block)*) => {$(
        $(#[$doc])*
        pub unsafe fn $name($($arg: $ty),*) -> $crate::abi::types::aclError {
            $crate::books::call(stringify!($name), || { $crate::books::enter()?; $body })
        }
    )*};
}
/// Functions that count themselves.
macro_rules! early {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) $body:block)*) => {$(
        $(#[$doc])*
        pub unsafe fn $name($($arg: $ty),*) -> $crate::abi::types::aclError {
            $crate::books::call(stringify!($name), || $body)
        }
    )*};
}
pub(crate) use {calls, early};

/// Writes through a caller's pointer; null is an error.
pub(crate) fn give<T>(to: *mut T, value: T) -> crate::fault::Answer {
    if to.is_null() {
        return crate::fault::broken("null", crate::fault::code::PARAM, "a null place for a result");
    }
    // SAFETY: the caller's place for this type.
    unsafe { to.write(value) };
    Ok(())
}
