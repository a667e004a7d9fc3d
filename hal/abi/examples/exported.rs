//! The CPU backend as a plug-in: a shared library that any host of the C interface can load. Build it with
//! `cargo build -p omnihal-abi --example exported`.

use omnihal_abi::sys;

/// The entry that a host looks for.
///
/// # Safety
/// `host` must be a host's table that stays valid for ever.
// SAFETY: no other function of this library has the name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ohal_plugin_entry(host: *const sys::Host) -> *const sys::Plugin {
    // SAFETY: passed on from the host.
    unsafe { omnihal_abi::export(Box::new(omnihal_cpu::CpuBackend), host) }
}
