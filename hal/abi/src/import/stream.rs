//! Streams, events, graphs. The run path allocates nothing: arguments go over from the stack.

use super::call;
use super::device::{DeviceOwner, foreign, not_null};
use super::plan::ImportedPlan;
use crate::convert::{mem_out, timeout_out, with_views_out};
use crate::structs::blank;
use crate::sys;
use crate::sys::handles::{EventHandle, GraphHandle, StreamHandle};
use omnihal::{Args, Error, Event, Graph, Mem, Plan, Result, Stream};
use std::any::Any;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// Declares the owner of a handle, which destroys it and holds its device.
macro_rules! owner {
    ($(#[doc = $doc:literal])+ $Name:ident($Handle:ty) by $destroy:ident) => {
        $(#[doc = $doc])+
        pub(super) struct $Name {
            handle: *mut $Handle,
            device: Arc<DeviceOwner>,
        }

        // SAFETY: the interface allows the object's functions from any thread.
        unsafe impl Send for $Name {}
        // SAFETY: as above.
        unsafe impl Sync for $Name {}

        impl Drop for $Name {
            fn drop(&mut self) {
                if let Some(destroy) = self.device.shared.table.$destroy {
                    // SAFETY: the handle came from the device, and only this value destroys it.
                    unsafe { destroy(self.handle) }
                }
            }
        }
    };
}

owner! {
    /// A stream of a plug-in.
    ImportedStream(StreamHandle) by stream_destroy
}
owner! {
    /// An event of a plug-in.
    ImportedEvent(EventHandle) by event_destroy
}
owner! {
    /// A captured graph of a plug-in.
    ImportedGraph(GraphHandle) by graph_destroy
}

/// Hands the arguments of a run over, from the stack.
pub(super) fn with_args_out(args: &Args<'_>, f: impl FnOnce(*const sys::Args) -> Result<()>) -> Result<()> {
    with_views_out(args.views, |views| {
        let out = sys::Args {
            count: views.len() as u32,
            views: views.as_ptr(),
            workspace: mem_out(args.workspace),
            rows_hint: args.rows_hint as u64,
            ..blank()
        };
        f(&raw const out)
    })?
}

impl ImportedStream {
    pub(super) fn new(device: &Arc<DeviceOwner>) -> Result<Self> {
        let mut handle = ptr::null_mut();
        call!(device.shared, stream_create(device.handle, &raw mut handle))?;
        Ok(ImportedStream { handle: not_null(handle, "stream_create")?, device: Arc::clone(device) })
    }

    /// The plug-in's handle of a stream of this device.
    pub(super) fn own(stream: &dyn Stream, device: &Arc<DeviceOwner>) -> Result<*mut StreamHandle> {
        match (stream as &dyn Any).downcast_ref::<ImportedStream>() {
            Some(stream) if Arc::ptr_eq(&stream.device, device) => Ok(stream.handle),
            _ => Err(foreign("stream")),
        }
    }

    fn own_event(&self, event: &dyn Event) -> Result<*mut EventHandle> {
        match event.as_any().downcast_ref::<ImportedEvent>() {
            Some(event) if Arc::ptr_eq(&event.device, &self.device) => Ok(event.handle),
            _ => Err(foreign("event")),
        }
    }

    fn can_capture(&self) -> Result<()> {
        match self.device.shared.captures() {
            true => Ok(()),
            false => Err(Error::unsupported("the plug-in lacks some of the five functions for graphs")),
        }
    }
}

fn same_length(device: usize, host: usize) -> Result<()> {
    match device == host {
        true => Ok(()),
        false => Err(Error::argument(format!("{host} bytes do not fit a device range of {device} bytes"))),
    }
}

impl Stream for ImportedStream {
    unsafe fn run(&self, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        let plan = ImportedPlan::own(plan, &self.device)?;
        let shared = &self.device.shared;
        with_args_out(args, |args| call!(shared, stream_run(self.handle, plan, args)))?;
        shared.refuse_fallbacks()
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        same_length(dst.len, src.len)?;
        call!(self.device.shared, stream_copy(self.handle, mem_out(dst), mem_out(src)))
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        call!(self.device.shared, stream_fill(self.handle, mem_out(dst), u32::from(byte)))
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        same_length(dst.len, src.len())?;
        call!(self.device.shared, stream_write(self.handle, mem_out(dst), src.as_ptr().cast(), src.len() as u64))
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], timeout: Duration) -> Result<()> {
        same_length(src.len, dst.len())?;
        let (data, len) = (dst.as_mut_ptr().cast(), dst.len() as u64);
        call!(self.device.shared, stream_read(self.handle, mem_out(src), data, len, timeout_out(timeout)))?;
        self.device.shared.refuse_fallbacks()
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        let event = self.own_event(event)?;
        call!(self.device.shared, stream_record(self.handle, event))
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        let event = self.own_event(event)?;
        call!(self.device.shared, stream_wait(self.handle, event))
    }

    fn begin_capture(&self) -> Result<()> {
        self.can_capture()?;
        call!(self.device.shared, stream_begin_capture(self.handle))
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        self.can_capture()?;
        let mut handle = ptr::null_mut();
        call!(self.device.shared, stream_end_capture(self.handle, &raw mut handle))?;
        let handle = not_null(handle, "stream_end_capture")?;
        Ok(Box::new(ImportedGraph { handle, device: Arc::clone(&self.device) }))
    }

    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        let graph = match graph.as_any().downcast_ref::<ImportedGraph>() {
            Some(graph) if Arc::ptr_eq(&graph.device, &self.device) => graph.handle,
            _ => return Err(foreign("graph")),
        };
        call!(self.device.shared, stream_launch(self.handle, graph))?;
        self.device.shared.refuse_fallbacks()
    }

    fn poll(&self) -> Result<bool> {
        let mut done = 0;
        call!(self.device.shared, stream_poll(self.handle, &raw mut done))?;
        self.device.shared.refuse_fallbacks()?;
        Ok(done != 0)
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        call!(self.device.shared, stream_sync(self.handle, timeout_out(timeout)))?;
        self.device.shared.refuse_fallbacks()
    }
}

impl ImportedEvent {
    pub(super) fn new(device: &Arc<DeviceOwner>) -> Result<Self> {
        let mut handle = ptr::null_mut();
        call!(device.shared, event_create(device.handle, &raw mut handle))?;
        Ok(ImportedEvent { handle: not_null(handle, "event_create")?, device: Arc::clone(device) })
    }
}

impl Event for ImportedEvent {
    fn poll(&self) -> Result<bool> {
        let mut done = 0;
        call!(self.device.shared, event_poll(self.handle, &raw mut done))?;
        Ok(done != 0)
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        call!(self.device.shared, event_sync(self.handle, timeout_out(timeout)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Graph for ImportedGraph {
    fn nodes(&self) -> usize {
        // SAFETY: the handle is alive; it came from this plug-in.
        self.device.shared.table.graph_nodes.map_or(0, |nodes| unsafe { nodes(self.handle) }) as usize
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
