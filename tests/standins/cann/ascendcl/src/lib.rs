//! A strict stand-in for `libascendcl.so`: no device, no vendor code. What it enforces is in `fake_cann`.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

use fake_cann::abi::{c_type::*, constants::*, types::*};
use fake_cann::books::{Lost, books};
use fake_cann::fault::take_broken;
use fake_cann::table::{TABLE, Table};
use std::ffi::{CStr, c_char, c_void};

macro_rules! exports {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($p: $t),*) -> $r {
            // SAFETY: passed on from the caller.
            unsafe { fake_cann::acl::$name($($p),*) }
        }
    )*};
}
fake_cann::ascend_acl!(exports);

/// Where the other libraries find the books.
#[unsafe(no_mangle)]
pub extern "C" fn fake_cann_table() -> *const Table {
    &TABLE
}

unsafe fn word(name: *const c_char) -> String {
    // SAFETY: the caller's string.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// Calls of a function so far: for tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cann_calls(name: *const c_char) -> u64 {
    // SAFETY: passed on from the caller.
    let name = unsafe { word(name) };
    books().calls.get(&name).copied().unwrap_or(0)
}

/// Plans a failure of a call after `after` that go well; the name `task` is the execution of a task. For tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cann_fail(name: *const c_char, after: u64, code: i32) {
    // SAFETY: passed on from the caller.
    let name = unsafe { word(name) };
    books().plan_failure(&name, after, code);
}

/// What lives: streams, events, graphs, device blocks, pinned blocks, tensors, other objects, executors. For tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cann_live(counts: *mut [u64; 8]) {
    // SAFETY: the caller's array.
    unsafe { *counts = books().live() };
}

/// Takes the log of broken rules, joined by newlines and cut to `len` bytes with the ending zero; returns their number. For tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cann_broken(text: *mut c_char, len: usize) -> u64 {
    let broken = take_broken();
    let joined = broken.join("\n");
    let bytes = &joined.as_bytes()[..joined.len().min(len.saturating_sub(1))];
    if len > 0 {
        // SAFETY: the caller's place has `len` bytes.
        unsafe {
            text.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            text.add(bytes.len()).write(0);
        }
    }
    broken.len() as u64
}

/// The code of the failure that ended the device, 0 if none. For tests.
#[unsafe(no_mangle)]
pub extern "C" fn fake_cann_lost() -> i32 {
    Lost::cause().map_or(0, |fault| fault.code)
}

/// Plans mistakes of fused operators, `operator:mistake,...`. For tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cann_wrong(mistakes: *const c_char) {
    // SAFETY: passed on from the caller.
    fake_cann::ops::fused::wrong::plan(&unsafe { word(mistakes) });
}
