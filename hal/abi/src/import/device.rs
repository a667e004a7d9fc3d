//! Devices and their memory.

use super::plan::ImportedPlan;
use super::stream::{ImportedEvent, ImportedStream};
use super::{Shared, call, missing};
use crate::codes::{Coded, SupportKind, WeightFormKind};
use crate::convert::{broken, lossy_room, mem_out, view_out, weight_desc_out};
use crate::structs::blank;
use crate::sys::handles::{BufferHandle, DeviceHandle};
use crate::wire::Encoded;
use crate::{limits, sys};
use omnihal::{
    Buffer, Caps, DType, Device, DeviceInfo, Error, Event, Layout, Mem, MemoryKind, Op, OpKind, Plan, Result, Stream,
    Support, View, WeightDesc, WeightForm,
};
use std::any::Any;
use std::ptr;
use std::sync::Arc;

/// Room for a reason.
pub(super) const REASON: usize = 4096;

/// The plug-in's device, closed when the last object made from it is gone.
pub(super) struct DeviceOwner {
    pub(super) handle: *mut DeviceHandle,
    pub(super) shared: Arc<Shared>,
}

// SAFETY: the interface allows a device's functions from any thread.
unsafe impl Send for DeviceOwner {}
// SAFETY: as above.
unsafe impl Sync for DeviceOwner {}

impl Drop for DeviceOwner {
    fn drop(&mut self) {
        if let Some(close) = self.shared.table.device_close {
            // SAFETY: the handle came from `device_open`; every object made from it holds this owner and is gone.
            unsafe { close(self.handle) }
        }
    }
}

/// An open device of a plug-in.
pub(crate) struct ImportedDevice {
    own: Arc<DeviceOwner>,
    info: DeviceInfo,
    caps: Caps,
}

impl ImportedDevice {
    pub(super) fn open(shared: &Arc<Shared>, index: usize) -> Result<Arc<dyn Device>> {
        let mut handle = ptr::null_mut();
        call!(shared, device_open(shared.own, index as u64, &raw mut handle))?;
        let handle = not_null(handle, "device_open")?;
        let own = Arc::new(DeviceOwner { handle, shared: Arc::clone(shared) });
        let caps = caps(&own)?;
        Ok(Arc::new(ImportedDevice { info: shared.known(index)?, own, caps }))
    }

    /// Takes an allocation in, or gives it back if it is not what was asked for.
    fn buffer(
        &self,
        handle: *mut BufferHandle,
        mem: sys::Mem,
        bytes: usize,
        kind: MemoryKind,
        keep: Option<Arc<dyn Any + Send + Sync>>,
        align: usize,
    ) -> Result<Buffer> {
        let handle = not_null(handle, "an allocation")?;
        let owner = BufferOwner { handle, device: Arc::clone(&self.own), _keep: keep };
        if mem.len != bytes as u64 || (bytes > 0 && mem.addr == 0) || mem.addr.checked_add(mem.len).is_none() {
            return Err(broken(format!(
                "{bytes} bytes were asked for, {} bytes at {:#x} were given",
                mem.len, mem.addr
            )));
        }
        if bytes > 0 && mem.addr % align as u64 != 0 {
            return Err(broken(format!(
                "an allocation lies at {:#x}, the device promised an alignment of {align}",
                mem.addr
            )));
        }
        Ok(Buffer::new(Mem { addr: mem.addr, len: bytes }, kind, Arc::new(owner)))
    }
}

/// A new handle, which the interface says is not NULL.
pub(super) fn not_null<H>(handle: *mut H, function: &str) -> Result<*mut H> {
    match handle.is_null() {
        true => Err(broken(format!("{function} gave NULL and no error"))),
        false => Ok(handle),
    }
}

fn caps(own: &DeviceOwner) -> Result<Caps> {
    let mut out: sys::DeviceCaps = blank();
    call!(own.shared, device_caps(own.handle, &raw mut out))?;
    if !out.alignment.is_power_of_two() || out.alignment > limits::ALIGNMENT {
        let (found, limit) = (out.alignment, limits::ALIGNMENT);
        return Err(broken(format!("the device's alignment is {found}, expected a power of two up to {limit}")));
    }
    let has = |kind: OpKind| out.ops[kind as usize / 64] >> (kind as usize % 64) & 1 == 1;
    Ok(Caps {
        activations: DType::ALL.into_iter().filter(|d| out.activations >> d.code() & 1 == 1).collect(),
        ops: OpKind::ALL.iter().copied().filter(|k| has(*k)).collect(),
        host_addressable: out.host_addressable != 0,
        native_graphs: out.native_graphs != 0 && own.shared.captures(),
        alignment: out.alignment as usize,
    })
}

impl Shared {
    /// All that graphs need is there.
    pub(super) fn captures(&self) -> bool {
        let t = &self.table;
        t.stream_begin_capture.is_some()
            && t.stream_end_capture.is_some()
            && t.stream_launch.is_some()
            && t.graph_nodes.is_some()
            && t.graph_destroy.is_some()
    }
}

struct BufferOwner {
    handle: *mut BufferHandle,
    device: Arc<DeviceOwner>,
    /// Imported host memory; let go after the plug-in has.
    _keep: Option<Arc<dyn Any + Send + Sync>>,
}

// SAFETY: the interface allows a buffer to be freed from any thread.
unsafe impl Send for BufferOwner {}
// SAFETY: a shared owner offers nothing.
unsafe impl Sync for BufferOwner {}

impl Drop for BufferOwner {
    fn drop(&mut self) {
        if let Some(free) = self.device.shared.table.buffer_free {
            // SAFETY: the handle came from the device, and only this value frees it.
            unsafe { free(self.handle) }
        }
    }
}

impl Device for ImportedDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn alloc(&self, bytes: usize, kind: MemoryKind) -> Result<Buffer> {
        let (mut mem, mut handle) = (sys::Mem { addr: 0, len: 0 }, ptr::null_mut());
        let own = &self.own;
        call!(own.shared, buffer_alloc(own.handle, bytes as u64, kind.code(), &raw mut mem, &raw mut handle))?;
        self.buffer(handle, mem, bytes, kind, None, self.caps.alignment)
    }

    unsafe fn import(&self, data: *const u8, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer> {
        let (mut mem, mut handle) = (sys::Mem { addr: 0, len: 0 }, ptr::null_mut());
        let own = &self.own;
        call!(own.shared, buffer_import(own.handle, data.cast(), bytes as u64, &raw mut mem, &raw mut handle))?;
        self.buffer(handle, mem, bytes, MemoryKind::Device, Some(owner), 1)
    }

    fn stream(&self) -> Result<Box<dyn Stream>> {
        Ok(Box::new(ImportedStream::new(&self.own)?))
    }

    fn event(&self) -> Result<Box<dyn Event>> {
        Ok(Box::new(ImportedEvent::new(&self.own)?))
    }

    fn supports(&self, op: &Op) -> Support {
        let (encoded, mut room) = (Encoded::new(op), vec![0u8; REASON]);
        let mut out: sys::Support = blank();
        // An answer that the plug-in forgets to give is not a yes.
        out.kind = crate::codes::NONE;
        out.reason = sys::Text { data: room.as_mut_ptr().cast(), capacity: REASON as u64, len: 0 };
        let op = encoded.op(op.kind());
        if let Err(error) = call!(self.own.shared, supports(self.own.handle, &raw const op, &raw mut out)) {
            return Support::No(error.to_string());
        }
        let reason = lossy_room(&room, out.reason.len);
        match SupportKind::from_code(out.kind) {
            Some(SupportKind::Native) => Support::Native,
            Some(SupportKind::Emulated) => Support::Emulated(reason),
            Some(SupportKind::No) => Support::No(reason),
            None => Support::No(format!("the plug-in's answer is number {}, unknown to this host", out.kind)),
        }
    }

    fn plan(&self, op: &Op) -> Result<Arc<dyn Plan>> {
        Ok(Arc::new(ImportedPlan::new(&self.own, op)?))
    }

    fn weight(&self, desc: &WeightDesc) -> WeightForm {
        let own = &self.own;
        if own.shared.table.weight_form.is_none() {
            return WeightForm::AsIs;
        }
        let (asked, mut room) = (weight_desc_out(desc), vec![0u8; REASON]);
        let mut out: sys::WeightForm = blank();
        out.kind = crate::codes::NONE;
        out.reason = sys::Text { data: room.as_mut_ptr().cast(), capacity: REASON as u64, len: 0 };
        if let Err(error) = call!(own.shared, weight_form(own.handle, &raw const asked, &raw mut out)) {
            return WeightForm::No(error.to_string());
        }
        form(&own.shared, &out, lossy_room(&room, out.reason.len))
    }

    unsafe fn repack(&self, stream: &dyn Stream, desc: &WeightDesc, src: &View, dst: Mem) -> Result<()> {
        let stream = ImportedStream::own(stream, &self.own)?;
        let (desc, src) = (weight_desc_out(desc), view_out(src));
        let own = &self.own;
        call!(own.shared, repack(own.handle, stream, &raw const desc, &raw const src, mem_out(dst)))?;
        own.shared.refuse_fallbacks()
    }

    fn memory_in_use(&self) -> Option<u64> {
        let mut out = sys::DeviceMemory { in_use: u64::MAX, available: u64::MAX, ..blank() };
        call!(self.own.shared, device_memory(self.own.handle, &raw mut out)).ok()?;
        (out.in_use != u64::MAX).then_some(out.in_use)
    }

    fn health(&self) -> Result<()> {
        match self.own.shared.table.health {
            Some(_) => call!(self.own.shared, health(self.own.handle)),
            None => Ok(()),
        }
    }
}

fn form(shared: &Shared, out: &sys::WeightForm, reason: String) -> WeightForm {
    let unknown = |what: &str, code: u32| WeightForm::No(format!("{what} is number {code}, unknown to this host"));
    match WeightFormKind::from_code(out.kind) {
        Some(WeightFormKind::AsIs) => WeightForm::AsIs,
        Some(WeightFormKind::Expand) => match DType::from_code(out.dtype) {
            Some(dtype) => WeightForm::Expand(dtype),
            None => unknown("the type of the plain numbers", out.dtype),
        },
        Some(WeightFormKind::Repack) if shared.table.repack.is_none() => {
            WeightForm::No(missing("repack").message().to_owned())
        }
        Some(WeightFormKind::Repack) if out.bytes > limits::BYTES || out.row_granule > limits::BYTES => WeightForm::No(
            format!("the private layout would take {} bytes, expected at most {}", out.bytes, limits::BYTES),
        ),
        Some(WeightFormKind::Repack) => WeightForm::Repack {
            layout: Layout::Vendor(out.layout),
            bytes: out.bytes as usize,
            row_granule: (out.row_granule != 0).then_some(out.row_granule as usize),
        },
        Some(WeightFormKind::No) => WeightForm::No(reason),
        None => unknown("the weight's form", out.kind),
    }
}

/// Refuses an object of another device, or of no plug-in at all.
pub(super) fn foreign(what: &str) -> Error {
    Error::argument(format!("the {what} was made by another device: make it on this one"))
}
