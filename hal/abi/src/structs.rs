//! Structs that say their own size: each side reads and writes no more than both know.

use crate::convert::broken;
use crate::{limits, sys};
use omnihal::Result;

/// A struct that starts with `struct_size` and holds integers, pointers and optional function pointers only.
///
/// # Safety
/// The type must be `repr(C)`, start with `struct_size: u32`, a `u32`, `ext: *const Ext`, and all bytes 0 must be a value of it.
pub(crate) unsafe trait Sized32: Copy {}

macro_rules! sized {
    ($($Name:ident),*) => {$(
        // SAFETY: declared in `sys` with this head; numbers may be 0, pointers NULL, functions None.
        unsafe impl Sized32 for sys::$Name {}
    )*};
}
sized!(ErrorInfo, Host, Probe, DeviceInfo, DeviceCaps, Support, PlanInfo, Prologue, Args, Op, WeightDesc, WeightForm);
sized!(DeviceMemory, Plugin);

/// Bytes of the head: `struct_size`, a word, `ext`.
const HEAD: usize = 16;

/// All zero but for its size.
pub(crate) fn blank<T: Sized32>() -> T {
    // SAFETY: `Sized32` promises that zeros are a value.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: `Sized32` promises that the type starts with a u32.
    unsafe { (&raw mut value).cast::<u32>().write(size_of::<T>() as u32) };
    value
}

/// Bytes that a struct of the other side says it has.
///
/// # Safety
/// `pointer` must be NULL or point to at least 4 readable bytes.
unsafe fn size<T>(pointer: *const T, what: &str, at_least: usize) -> Result<usize> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(broken(format!("{what} lies at {pointer:?}, expected an aligned address")));
    }
    // SAFETY: promised by the caller.
    let found = unsafe { pointer.cast::<u32>().read() };
    let least = at_least.max(HEAD);
    if (found as usize) < least || found > limits::STRUCT {
        return Err(broken(format!("{what} says that it has {found} bytes, expected {least} to {}", limits::STRUCT)));
    }
    Ok(found as usize)
}

/// Reads what both sides know of a struct, at most `at_most` bytes; the rest is 0.
///
/// # Safety
/// `pointer` must be NULL or point to a struct that is as long as its `struct_size` says.
pub(crate) unsafe fn read<T: Sized32>(pointer: *const T, what: &str, at_least: usize, at_most: usize) -> Result<T> {
    // SAFETY: promised by the caller.
    let found = unsafe { size(pointer, what, at_least)? };
    // A member that does not end within the size is not there. Members are words of 4 or 8 bytes at multiples of their size.
    let common = found.min(size_of::<T>()).min(at_most) / 8 * 8;
    let mut value = blank::<T>();
    // SAFETY: the source has `found` bytes, the destination `size_of::<T>()`; any bytes that the other side gives are numbers and pointers, and
    // a function pointer that is not NULL is a function by the rules of the interface.
    unsafe { pointer.cast::<u8>().copy_to_nonoverlapping((&raw mut value).cast(), common) };
    Ok(value)
}

/// Fills in a struct of the other side, as far as it goes, and leaves its size and extensions alone.
///
/// # Safety
/// `out` must be NULL or point to a writable struct that is as long as its `struct_size` says.
pub(crate) unsafe fn write<T: Sized32>(out: *mut T, value: &T) -> Result<()> {
    // SAFETY: promised by the caller.
    let found = unsafe { size(out.cast_const(), "the struct to fill in", HEAD)? };
    let common = found.min(size_of::<T>()) / 8 * 8;
    let source = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the word after the size lies in the head; the rest ends within both structs.
    unsafe {
        source.add(4).copy_to_nonoverlapping(out.cast::<u8>().add(4), 4);
        source.add(HEAD).copy_to_nonoverlapping(out.cast::<u8>().add(HEAD), common - HEAD);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// A struct with room behind it, of the size that it claims.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Longer {
        info: sys::PlanInfo,
        more: [u64; 4],
    }

    fn filled() -> Longer {
        let mut info: sys::PlanInfo = blank();
        (info.determinism, info.workspace, info.flops, info.column_count) = (2, 77, 1.5, 3);
        Longer { info, more: [9; 4] }
    }

    #[test]
    fn a_shorter_struct_is_read_as_far_as_it_goes() {
        let mut whole = filled();
        // One byte short of the end of `flops`.
        whole.info.struct_size = offset_of!(sys::PlanInfo, flops) as u32 + 7;
        // SAFETY: the struct is longer than it says.
        let read: sys::PlanInfo = unsafe { read(&raw const whole.info, "it", 0, usize::MAX).unwrap() };
        assert_eq!((read.determinism, read.workspace, read.flops, read.column_count), (2, 77, 0.0, 0));
    }

    #[test]
    fn a_longer_struct_is_read_as_far_as_it_is_known() {
        let mut whole = filled();
        whole.info.struct_size = size_of::<Longer>() as u32;
        // SAFETY: the struct is as long as it says.
        let read: sys::PlanInfo = unsafe { read((&raw const whole).cast(), "it", 0, usize::MAX).unwrap() };
        assert_eq!((read.flops, read.column_count), (1.5, 3));
    }

    #[test]
    fn a_struct_is_filled_in_no_further_than_it_goes() {
        let (mut out, value) = (filled(), sys::PlanInfo { workspace: 5, flops: 6.0, column_count: 7, ..blank() });
        out.info.struct_size = offset_of!(sys::PlanInfo, flops) as u32;
        out.info.ext = std::ptr::without_provenance(64);
        // SAFETY: the struct is longer than it says.
        unsafe { write(&raw mut out.info, &value).unwrap() };
        assert_eq!((out.info.determinism, out.info.workspace, out.info.flops, out.info.column_count), (0, 5, 1.5, 3));
        assert_eq!(out.info.struct_size as usize, offset_of!(sys::PlanInfo, flops));
        assert_eq!(out.info.ext.addr(), 64);
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let mut whole = filled();
        for size in [0, 1, 15, 65537, u32::MAX] {
            whole.info.struct_size = size;
            // SAFETY: refused by its size.
            let error = unsafe { read(&raw const whole.info, "it", 0, usize::MAX) }.unwrap_err();
            assert!(error.message().contains(&format!("says that it has {size} bytes")), "{error}");
            // SAFETY: as above.
            assert!(unsafe { write(&raw mut whole.info, &filled().info) }.is_err());
        }
        // SAFETY: refused by its address.
        assert!(unsafe { read::<sys::PlanInfo>(std::ptr::null(), "it", 0, usize::MAX) }.is_err());
    }
}
