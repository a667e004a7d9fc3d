//! How the other libraries reach the one that holds the books: one structure of C functions, found by the symbol `fake_cann_table` of `libascendcl.so`.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]

use crate::abi::{c_type::*, constants::*, types::*};
use crate::executor::{self, Arg, kind};
use crate::{base, books, hccl};
use std::ffi::c_void;
use std::sync::OnceLock;

macro_rules! base_table {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {
        /// Functions of the base, as the table of signatures has them.
        #[repr(C)]
        pub struct Base {
            $(pub $name: unsafe extern "C" fn($($t),*) -> $r,)*
        }

        mod functions {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name($($p: $t),*) -> $r {
                // SAFETY: passed on from the caller.
                unsafe { base::$name($($p),*) }
            })*
        }

        const BASE: Base = Base { $($name: functions::$name,)* };
    };
}
crate::ascend_base!(base_table);

macro_rules! hccl_table {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {
        /// Functions of the collectives, as the table of signatures has them.
        #[repr(C)]
        pub struct Hccl {
            $(pub $name: unsafe extern "C" fn($($t),*) -> $r,)*
        }

        mod collectives {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name($($p: $t),*) -> $r {
                // SAFETY: passed on from the caller.
                unsafe { hccl::$name($($p),*) }
            })*
        }

        const HCCL: Hccl = Hccl { $($name: collectives::$name,)* };
    };
}
crate::ascend_hccl!(hccl_table);

/// What `fake_cann_table` gives.
#[repr(C)]
pub struct Table {
    /// The first phase of the operator with this name.
    pub first: unsafe extern "C" fn(*const u8, usize, *const Arg, usize, *mut u64, *mut u64) -> i32,
    /// The second phase.
    pub second: unsafe extern "C" fn(*const u8, usize, u64, u64, u64, u64) -> i32,
    /// The base.
    pub base: Base,
    /// The collectives.
    pub hccl: Hccl,
}

/// The table of this library's books.
pub static TABLE: Table = Table { first, second, base: BASE, hccl: HCCL };

unsafe fn name<'a>(at: *const u8, len: usize) -> &'a str {
    // SAFETY: the exports pass the text of a name.
    std::str::from_utf8(unsafe { std::slice::from_raw_parts(at, len) }).unwrap_or_default()
}

unsafe extern "C" fn first(
    at: *const u8,
    len: usize,
    args: *const Arg,
    count: usize,
    size: *mut u64,
    made: *mut u64,
) -> i32 {
    // SAFETY: passed on from the exports.
    let (operator, args) = unsafe { (name(at, len), std::slice::from_raw_parts(args, count)) };
    books::call(&format!("{operator}GetWorkspaceSize"), || executor::first(operator, args, size, made))
}

unsafe extern "C" fn second(at: *const u8, len: usize, workspace: u64, size: u64, executor: u64, stream: u64) -> i32 {
    // SAFETY: passed on from the exports.
    let operator = unsafe { name(at, len) };
    let code = books::call(operator, || executor::second(operator, workspace, size, executor, stream));
    // A failure consumes it too, a planned one as well.
    executor::consume(executor);
    code
}

/// A parameter that can cross.
pub trait Cross {
    /// As it crosses.
    fn arg(self) -> Arg;
}

macro_rules! cross {
    ($($ty:ty => $kind:ident, $v:ident => $bits:expr;)*) => {$(
        impl Cross for $ty {
            fn arg(self) -> Arg {
                let $v = self;
                Arg { kind: kind::$kind, bits: $bits }
            }
        }
    )*};
}

cross! {
    T => TENSOR, v => v as u64;
    TL => LIST, v => v as u64;
    IA => INTS, v => v as u64;
    S => SCALAR, v => v as u64;
    BA => OTHER, v => v as u64;
    Str => OTHER, v => v as u64;
    i64 => WHOLE, v => v as u64;
    i32 => WHOLE, v => v as i64 as u64;
    i8 => WHOLE, v => v as i64 as u64;
    bool => WHOLE, v => v as u64;
    aclDataType => WHOLE, v => v.0 as i64 as u64;
    f64 => REAL, v => v.to_bits();
    f32 => REAL, v => (v as f64).to_bits();
}

/// The books of the process, for a library other than the one that holds them: that one is loaded already, or lies beside.
pub fn table() -> Option<&'static Table> {
    static FOUND: OnceLock<Option<usize>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        // SAFETY: names with their ends; the library stays open.
        unsafe {
            let mut library = libc::dlopen(c"libascendcl.so".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if library.is_null() {
                library = libc::dlopen(c"libascendcl.so".as_ptr(), libc::RTLD_LAZY);
            }
            let symbol = (!library.is_null()).then(|| libc::dlsym(library, c"fake_cann_table".as_ptr()))?;
            (!symbol.is_null()).then(|| {
                let get = std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const Table>(symbol);
                get() as usize
            })
        }
    });
    // SAFETY: the table is a static of a library that stays open.
    found.map(|at| unsafe { &*(at as *const Table) })
}
