//! A strict stand-in for `libopapi_transformer.so`: the fused operators of CANN 9.1. One that the stand-in cannot compute says that it has no kernel.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

use fake_cann::abi::types::*;
use fake_cann::executor::Arg;
use fake_cann::fault::code;
use fake_cann::table::{Cross, table};
use std::ffi::c_void;

fn first(operator: &str, args: &[Arg], size: *mut u64, executor: *mut *mut aclOpExecutor) -> i32 {
    let Some(table) = table() else { return code::NN_INNER_NULL };
    // SAFETY: the text and the arguments live until the call returns.
    unsafe { (table.first)(operator.as_ptr(), operator.len(), args.as_ptr(), args.len(), size, executor.cast()) }
}

macro_rules! exports {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident, $sizes:ident($($p:ident: $t:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sizes($($p: $t,)* workspace_size: *mut u64, executor: *mut *mut aclOpExecutor) -> aclnnStatus {
            first(stringify!($name), &[$(Cross::arg($p)),*], workspace_size, executor)
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(workspace: *mut c_void, size: u64, executor: *mut aclOpExecutor, stream: aclrtStream) -> aclnnStatus {
            let name = stringify!($name);
            let Some(table) = table() else { return code::NN_INNER_NULL };
            // SAFETY: passed on from the caller.
            unsafe { (table.second)(name.as_ptr(), name.len(), workspace as u64, size, executor as u64, stream.0 as u64) }
        }
    )*};
}
fake_cann::ascend_fused!(exports);
