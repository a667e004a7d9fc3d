//! A strict stand-in for `libhccl.so`: members are threads or processes of one machine. The books are those of the stand-in for `libascendcl.so`.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

use fake_cann::abi::{c_type::*, constants::*, types::*};
use fake_cann::table::table;
use std::ffi::c_void;

/// What a function gives when there are no books.
trait Nothing {
    fn nothing() -> Self;
}

impl Nothing for HcclResult {
    fn nothing() -> Self {
        HcclResult(fake_cann::hccl::result::RUNTIME)
    }
}

impl<T> Nothing for *const T {
    fn nothing() -> Self {
        std::ptr::null()
    }
}

macro_rules! exports {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($p: $t),*) -> $r {
            // SAFETY: passed on from the caller.
            table().map_or_else(<$r>::nothing, |table| unsafe { (table.hccl.$name)($($p),*) })
        }
    )*};
}
fake_cann::ascend_hccl!(exports);
