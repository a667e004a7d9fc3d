//! The two C functions of every operator of a profile, for the libraries that export them.

use crate::abi::types::aclOpExecutor;
use crate::executor::Arg;
use crate::fault::code;
use crate::table::table;
use std::ffi::c_void;

/// The first phase of an operator, by the library that holds the books.
pub fn first(operator: &str, args: &[Arg], size: *mut u64, executor: *mut *mut aclOpExecutor) -> i32 {
    let Some(table) = table() else { return code::NN_INNER_NULL };
    // SAFETY: the text and the arguments live until the call returns.
    unsafe { (table.first)(operator.as_ptr(), operator.len(), args.as_ptr(), args.len(), size, executor.cast()) }
}

/// The second phase.
pub fn second(operator: &str, workspace: *mut c_void, size: u64, executor: *mut aclOpExecutor, stream: u64) -> i32 {
    let Some(table) = table() else { return code::NN_INNER_NULL };
    // SAFETY: the text lives until the call returns; addresses are checked there.
    unsafe { (table.second)(operator.as_ptr(), operator.len(), workspace as u64, size, executor as u64, stream) }
}

/// Exports both phases of each operator: to be given to a macro of the table of signatures, with the types of [`crate::abi::types`] in scope.
#[macro_export]
macro_rules! operators {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident, $sizes:ident($($p:ident: $t:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sizes($($p: $t,)* workspace_size: *mut u64, executor: *mut *mut aclOpExecutor) -> aclnnStatus {
            $crate::operators::first(stringify!($name), &[$($crate::table::Cross::arg($p)),*], workspace_size, executor)
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(workspace: *mut ::std::ffi::c_void, size: u64, executor: *mut aclOpExecutor, stream: aclrtStream) -> aclnnStatus {
            $crate::operators::second(stringify!($name), workspace, size, executor, stream.0 as u64)
        }
    )*};
}
