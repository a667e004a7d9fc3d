//! Process, devices, contexts, versions, error texts.

use super::{calls, early, give};
use crate::abi::c_type::CChar;
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::books::{self, CONTEXT, Lost, books, current, outside_captures, set_current};
use crate::fault::{self, Answer, broken, code, refuse};
use crate::memory;
use crate::soc;
use std::ffi::{CString, c_void};
use std::sync::OnceLock;

fn devices() -> i32 {
    books::number("FAKE_CANN_DEVICES", 1) as i32
}

fn known(device: i32) -> Answer {
    match (0..devices()).contains(&device) {
        true => Ok(()),
        false => broken("devices", code::DEVICE, format!("device {device} of {}", devices())),
    }
}

fn ready() -> Answer {
    match books().ready {
        true => Ok(()),
        false => broken("init", code::UNINITIALIZE, "a call before aclInit or after aclFinalize"),
    }
}

fn write_text(to: *mut CChar, text: &str) -> Answer {
    if to.is_null() || text.len() >= ACL_PKG_VERSION_MAX_SIZE {
        return broken("null", code::PARAM, "no place for a version");
    }
    // SAFETY: the interface wants a place of this many bytes.
    unsafe { to.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
    // SAFETY: as above; the text is shorter.
    unsafe { to.cast::<u8>().add(text.len()).write(0) };
    Ok(())
}

/// Whether the devices are idle, once everything enqueued has run.
fn all_idle(limit: Option<std::time::Duration>) -> Answer {
    outside_captures("a wait for the device")?;
    let streams: Vec<_> = {
        let books = books();
        books.streams.values().chain(books.defaults.values()).cloned().collect()
    };
    match streams.iter().all(|stream| stream.wait(limit)) {
        true => Lost::cause().map_or(Ok(()), Err),
        false => refuse(code::STREAM_TIMEOUT, "the wait for the device ran out"),
    }
}

early! {
    /// Starts the process; a second time is answered with a code that is no failure.
    fn aclInit(_config: *const CChar) {
        let mut books = books();
        match std::mem::replace(&mut books.ready, true) {
            false => Ok(()),
            true => refuse(code::REPEAT_INITIALIZE, "initialised before"),
        }
    }

    /// Ends the process's use.
    fn aclFinalize() {
        ready()?;
        books().ready = false;
        Ok(())
    }

    /// The version, with a word that no release has.
    fn aclsysGetVersionStr(_package: *mut CChar, version: *mut CChar) {
        write_text(version, &soc::version())
    }

    /// The version as a number.
    fn aclsysGetVersionNum(_package: *mut CChar, version: *mut i32) {
        let text = soc::version();
        let mut parts = text.split(['.', '-']).map(|part| part.parse::<i32>().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        give(version, next() * 10_000_000 + next() * 100_000 + next() * 1000)
    }

    /// Version of the interface.
    fn aclrtGetVersion(major: *mut i32, minor: *mut i32, patch: *mut i32) {
        give(major, 1)?;
        give(minor, 17)?;
        give(patch, 0)
    }

    /// Host.
    fn aclrtGetRunMode(mode: *mut aclrtRunMode) {
        give(mode, aclrtRunMode::ACL_HOST)
    }

    /// Devices of the machine.
    fn aclrtGetDeviceCount(count: *mut u32) {
        ready()?;
        give(count, devices() as u32)
    }

    /// Attaches this thread to a device.
    fn aclrtSetDevice(device: i32) {
        ready()?;
        known(device)?;
        let mut books = books();
        *books.set.entry(device).or_default() += 1;
        books.contexts.insert(CONTEXT + device as u64, device);
        set_current(CONTEXT + device as u64);
        Ok(())
    }

    /// Detaches once; at the last time nothing made on it may live.
    fn aclrtResetDevice(device: i32) {
        known(device)?;
        let mut books = books();
        let Some(count) = books.set.get_mut(&device).filter(|count| **count > 0) else {
            drop(books);
            return broken("devices", code::CONTEXT, "a device was reset that was not set");
        };
        *count -= 1;
        if *count > 0 { return Ok(()) }
        books.contexts.remove(&(CONTEXT + device as u64));
        let left = books.live();
        drop(books);
        match left == [0; 8] {
            true => Ok(()),
            false => broken("leaks", 0, format!("the device is given back and leaves (streams, events, graphs, device blocks, pinned blocks, tensors, objects, executors) {left:?}")).or(Ok(())),
        }
    }

    /// Never right for a library: it ends all others' use.
    fn aclrtResetDeviceForce(_device: i32) {
        broken("devices", code::UNSUPPORTED, "a forced reset breaks every other user of the device")
    }

    /// Makes a context current.
    fn aclrtSetCurrentContext(context: aclrtContext) {
        let handle = context.0 as u64;
        if !books().contexts.contains_key(&handle) {
            return broken("handles", code::HANDLE, format!("context {handle:#x} is not alive"));
        }
        set_current(handle);
        Ok(())
    }

    /// The current context.
    fn aclrtGetCurrentContext(context: *mut aclrtContext) {
        if current() == 0 { return refuse(code::CONTEXT, "this thread has no context") }
        give(context, aclrtContext(current() as *mut c_void))
    }
}

calls! {
    /// The current device.
    fn aclrtGetDevice(device: *mut i32) {
        let found = books().contexts.get(&current()).copied().unwrap_or(0);
        give(device, found)
    }

    /// Waits for everything.
    fn aclrtSynchronizeDevice() {
        all_idle(None)
    }

    /// Waits for everything, at most so many milliseconds.
    fn aclrtSynchronizeDeviceWithTimeout(timeout: i32) {
        all_idle(u64::try_from(timeout).ok().map(std::time::Duration::from_millis))
    }

    /// Facts of a device: few cores, so that nothing grows with them here.
    fn aclrtGetDeviceInfo(_device: u32, attribute: aclrtDevAttr, value: *mut i64) {
        let found = match attribute {
            aclrtDevAttr::ACL_DEV_ATTR_AICORE_CORE_NUM | aclrtDevAttr::ACL_DEV_ATTR_CUBE_CORE_NUM => 4,
            aclrtDevAttr::ACL_DEV_ATTR_VECTOR_CORE_NUM => 8,
            aclrtDevAttr::ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE => memory::total() as i64,
            _ => return refuse(code::UNSUPPORTED, "this fact is not known"),
        };
        give(value, found)
    }

    /// Free and total bytes.
    fn aclrtGetMemInfo(_kind: aclrtMemAttr, free: *mut usize, total: *mut usize) {
        let used = books().memory.used;
        give(total, memory::total())?;
        give(free, memory::total() - used)
    }

    /// Accepted; every result here is the same on every run.
    fn aclrtCtxSetSysParamOpt(_option: aclSysParamOpt, _value: i64) {
        Ok(())
    }

    /// Makes a context.
    fn aclrtCreateContext(context: *mut aclrtContext, device: i32) {
        known(device)?;
        let made = books::handle();
        books().contexts.insert(made, device);
        set_current(made);
        give(context, aclrtContext(made as *mut c_void))
    }

    /// Forgets a context that was made.
    fn aclrtDestroyContext(context: aclrtContext) {
        match books().contexts.remove(&(context.0 as u64)) {
            Some(_) => Ok(()),
            None => broken("handles", code::HANDLE, "a context was destroyed that is not alive"),
        }
    }
}

/// What the chip calls itself.
pub unsafe fn aclrtGetSocName() -> *const CChar {
    static NAME: OnceLock<CString> = OnceLock::new();
    NAME.get_or_init(|| CString::new(soc::name()).unwrap_or_default()).as_ptr().cast()
}

/// The words of this thread's last failure.
pub unsafe fn aclGetRecentErrMsg() -> *const CChar {
    fault::recent().cast()
}

/// Bytes of an element.
pub unsafe fn aclDataTypeSize(kind: aclDataType) -> usize {
    crate::tensor::element_bytes(kind).unwrap_or(0)
}
