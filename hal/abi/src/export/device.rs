//! Devices and their memory.

use super::probe::exported;
use super::stream::StreamObject;
use super::{HostRef, give, guard, put, take_back};
use crate::codes::{Coded, WeightFormKind};
use crate::convert::{mem_in, mem_out, size_in, text_out, view_in, weight_desc_in};
use crate::errors::WITHOUT_DETAILS;
use crate::structs::{blank, read, write};
use crate::sys;
use crate::sys::handles::{BufferHandle, DeviceHandle, StreamHandle};
use omnihal::{Buffer, Device, Error, Layout, MemoryKind, OpKind, Result, WeightDesc, WeightForm};
use std::ffi::c_void;
use std::sync::Arc;

/// What a device handle leads to.
pub(super) struct DeviceObject {
    pub(super) host: HostRef,
    pub(super) device: Arc<dyn Device>,
}

struct BufferObject {
    _buffer: Buffer,
}

/// Defines `$own` from a handle, or returns.
macro_rules! own {
    ($own:ident: $ty:ty = $handle:expr) => {
        // SAFETY: the host passes handles that it was given and has not destroyed.
        let Some($own) = (unsafe { $crate::export::object::<$ty, _>($handle) }) else {
            return $crate::errors::WITHOUT_DETAILS;
        };
    };
}
pub(super) use own;

pub(super) unsafe extern "C" fn open(
    plugin: *const sys::Plugin,
    index: u64,
    out: *mut *mut DeviceHandle,
) -> sys::Fallible {
    // SAFETY: the host passes its table.
    let Some(own) = (unsafe { exported(plugin) }) else { return WITHOUT_DETAILS };
    guard(own.host, || {
        let device = own.backend.open(size_in(index, "a device index")?)?;
        // SAFETY: the host's place is writable.
        unsafe { give(out, DeviceObject { host: own.host, device }) }
    })
}

pub(super) unsafe extern "C" fn close(device: *mut DeviceHandle) {
    // SAFETY: the host passes a device for the last time.
    unsafe { take_back::<DeviceObject, _>(device) }
}

pub(super) unsafe extern "C" fn caps(device: *mut DeviceHandle, out: *mut sys::DeviceCaps) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        let caps = own.device.caps();
        let mut ops = [0u64; 4];
        OpKind::ALL
            .iter()
            .filter(|k| caps.ops.contains(**k))
            .for_each(|k| ops[*k as usize / 64] |= 1 << (*k as usize % 64));
        let filled = sys::DeviceCaps {
            activations: caps.activations.iter().fold(0, |bits, d| bits | 1 << d.code()),
            ops,
            alignment: caps.alignment as u64,
            host_addressable: u32::from(caps.host_addressable),
            native_graphs: u32::from(caps.native_graphs),
            ..blank()
        };
        // SAFETY: the host's struct is as long as it says.
        unsafe { write(out, &filled) }
    })
}

pub(super) unsafe extern "C" fn alloc(
    device: *mut DeviceHandle,
    bytes: u64,
    kind: u32,
    mem: *mut sys::Mem,
    out: *mut *mut BufferHandle,
) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        let kind = MemoryKind::from_code(kind)
            .ok_or_else(|| Error::unsupported(format!("memory kind {kind} is unknown to this side")))?;
        let buffer = own.device.alloc(size_in(bytes, "an allocation")?, kind)?;
        // SAFETY: the host's places are writable.
        unsafe { give_buffer(buffer, mem, out) }
    })
}

/// # Safety
/// Both places must be NULL or writable.
unsafe fn give_buffer(buffer: Buffer, mem: *mut sys::Mem, out: *mut *mut BufferHandle) -> Result<()> {
    // SAFETY: promised by the caller.
    unsafe {
        put(mem, mem_out(buffer.mem()))?;
        give(out, BufferObject { _buffer: buffer })
    }
}

pub(super) unsafe extern "C" fn free(buffer: *mut BufferHandle) {
    // SAFETY: the host passes a buffer for the last time.
    unsafe { take_back::<BufferObject, _>(buffer) }
}

pub(super) unsafe extern "C" fn import(
    device: *mut DeviceHandle,
    data: *const c_void,
    bytes: u64,
    mem: *mut sys::Mem,
    out: *mut *mut BufferHandle,
) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        let bytes = size_in(bytes, "an import")?;
        // SAFETY: the host keeps the memory until `buffer_free` has returned, which drops the buffer: the owner has nothing to do.
        let buffer = unsafe { own.device.import(data.cast(), bytes, Arc::new(()))? };
        // SAFETY: the host's places are writable.
        unsafe { give_buffer(buffer, mem, out) }
    })
}

/// # Safety
/// `desc` must be NULL or point to a struct as long as it says.
unsafe fn weight(desc: *const sys::WeightDesc) -> Result<WeightDesc> {
    // SAFETY: promised by the caller.
    weight_desc_in(&unsafe { read(desc, "a weight", size_of::<sys::WeightDesc>(), usize::MAX)? })
}

pub(super) unsafe extern "C" fn weight_form(
    device: *mut DeviceHandle,
    desc: *const sys::WeightDesc,
    out: *mut sys::WeightForm,
) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        // SAFETY: the host's structs are as long as they say.
        let (desc, mut form) = unsafe { (weight(desc)?, read(out, "a weight's form", 0, usize::MAX)?) };
        let (kind, reason) = match own.device.weight(&desc) {
            WeightForm::AsIs => (WeightFormKind::AsIs, String::new()),
            WeightForm::Expand(dtype) => {
                form.dtype = dtype.code();
                (WeightFormKind::Expand, String::new())
            }
            WeightForm::Repack { layout: Layout::Vendor(id), bytes, row_granule } => {
                (form.layout, form.bytes) = (id, bytes as u64);
                form.row_granule = row_granule.unwrap_or(0) as u64;
                (WeightFormKind::Repack, String::new())
            }
            WeightForm::Repack { layout, .. } => {
                (WeightFormKind::No, format!("a private layout cannot be {layout:?}: the backend is broken"))
            }
            WeightForm::No(reason) => (WeightFormKind::No, reason),
        };
        form.kind = kind.code();
        // SAFETY: the host's room has the capacity it says, and its struct is as long as it says.
        unsafe {
            text_out(&mut form.reason, &reason);
            write(out, &form)
        }
    })
}

pub(super) unsafe extern "C" fn repack(
    device: *mut DeviceHandle,
    stream: *mut StreamHandle,
    desc: *const sys::WeightDesc,
    src: *const sys::View,
    dst: sys::Mem,
) -> sys::Fallible {
    own!(own: DeviceObject = device);
    own!(stream: StreamObject = stream);
    guard(own.host, || {
        // SAFETY: the host's struct is as long as it says, and its view is readable.
        let (desc, src) = unsafe { (weight(desc)?, src.as_ref()) };
        let src = view_in(src.ok_or_else(|| Error::argument("the weight to repack is NULL"))?)?;
        // SAFETY: the host promises what `Device::repack` asks.
        unsafe { own.device.repack(&*stream.stream, &desc, &src, mem_in(dst)?) }
    })
}

pub(super) unsafe extern "C" fn health(device: *mut DeviceHandle) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || own.device.health())
}

pub(super) unsafe extern "C" fn memory(device: *mut DeviceHandle, out: *mut sys::DeviceMemory) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        let in_use = own.device.memory_in_use();
        let available = in_use.zip(own.device.info().memory).and_then(|(used, whole)| whole.checked_sub(used));
        let filled = sys::DeviceMemory {
            in_use: in_use.unwrap_or(u64::MAX),
            available: available.unwrap_or(u64::MAX),
            ..blank()
        };
        // SAFETY: the host's struct is as long as it says.
        unsafe { write(out, &filled) }
    })
}
