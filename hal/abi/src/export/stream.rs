//! Streams, events, graphs.

use super::device::{DeviceObject, own};
use super::plan::{plan_of, with_args};
use super::{HostRef, give, guard, object, put, take_back};
use crate::convert::{broken, mem_in, size_in, timeout_in};
use crate::sys;
use crate::sys::handles::{DeviceHandle, EventHandle, GraphHandle, PlanHandle, StreamHandle};
use omnihal::{Error, Event, Graph, Result, Stream};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a stream handle leads to.
pub(super) struct StreamObject {
    host: HostRef,
    pub(super) stream: Box<dyn Stream>,
}

struct EventObject {
    host: HostRef,
    event: Box<dyn Event>,
}

struct GraphObject {
    graph: Box<dyn Graph>,
}

pub(super) unsafe extern "C" fn create(device: *mut DeviceHandle, out: *mut *mut StreamHandle) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        let stream = own.device.stream()?;
        // SAFETY: the host's place is writable.
        unsafe { give(out, StreamObject { host: own.host, stream }) }
    })
}

pub(super) unsafe extern "C" fn destroy(stream: *mut StreamHandle) {
    // SAFETY: the host passes a stream for the last time.
    unsafe { take_back::<StreamObject, _>(stream) }
}

pub(super) unsafe extern "C" fn event_create(device: *mut DeviceHandle, out: *mut *mut EventHandle) -> sys::Fallible {
    own!(own: DeviceObject = device);
    guard(own.host, || {
        let event = own.device.event()?;
        // SAFETY: the host's place is writable.
        unsafe { give(out, EventObject { host: own.host, event }) }
    })
}

pub(super) unsafe extern "C" fn event_destroy(event: *mut EventHandle) {
    // SAFETY: the host passes an event for the last time.
    unsafe { take_back::<EventObject, _>(event) }
}

pub(super) unsafe extern "C" fn run(
    stream: *mut StreamHandle,
    plan: *mut PlanHandle,
    args: *const sys::Args,
) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || {
        // SAFETY: the host's plan is alive; its arguments are readable during the call, fit the plan, and name memory that lives on.
        unsafe {
            let plan = plan_of(plan)?;
            with_args(args, |args| own.stream.run(plan, args))
        }
    })
}

pub(super) unsafe extern "C" fn copy(stream: *mut StreamHandle, dst: sys::Mem, src: sys::Mem) -> sys::Fallible {
    own!(own: StreamObject = stream);
    // SAFETY: the host keeps both ranges alive and apart.
    guard(own.host, || unsafe { own.stream.copy(mem_in(dst)?, mem_in(src)?) })
}

pub(super) unsafe extern "C" fn fill(stream: *mut StreamHandle, dst: sys::Mem, byte: u32) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || {
        let byte = u8::try_from(byte).map_err(|_| Error::argument(format!("{byte} is no byte")))?;
        // SAFETY: the host keeps the range alive.
        unsafe { own.stream.fill(mem_in(dst)?, byte) }
    })
}

pub(super) unsafe extern "C" fn write(
    stream: *mut StreamHandle,
    dst: sys::Mem,
    src: *const c_void,
    len: u64,
) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || {
        let len = host_range(src, len)?;
        let bytes = match len {
            0 => &[][..],
            // SAFETY: the host's memory is readable during the call.
            _ => unsafe { std::slice::from_raw_parts(src.cast::<u8>(), len) },
        };
        // SAFETY: the host keeps the device range alive.
        unsafe { own.stream.write(mem_in(dst)?, bytes) }
    })
}

pub(super) unsafe extern "C" fn read(
    stream: *mut StreamHandle,
    src: sys::Mem,
    dst: *mut c_void,
    len: u64,
    timeout: u64,
) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || {
        let len = host_range(dst, len)?;
        let bytes = match len {
            0 => &mut [][..],
            // SAFETY: the host's memory is writable during the call, and nobody else uses it.
            _ => unsafe { std::slice::from_raw_parts_mut(dst.cast::<u8>(), len) },
        };
        // SAFETY: the device range is alive.
        unsafe { own.stream.read(mem_in(src)?, bytes, timeout_in(timeout)) }
    })
}

fn host_range(address: *const c_void, len: u64) -> Result<usize> {
    match size_in(len, "a host range")? {
        len if len > 0 && address.is_null() => Err(broken(format!("{len} host bytes lie at NULL"))),
        len if len > isize::MAX as usize => Err(broken(format!("a host range has {len} bytes"))),
        len => Ok(len),
    }
}

/// # Safety
/// `event` must be NULL or an event handle that is alive.
unsafe fn event_of<'a>(event: *mut EventHandle) -> Result<&'a dyn Event> {
    // SAFETY: promised by the caller.
    let own = unsafe { object::<EventObject, _>(event) };
    own.map(|e| &*e.event).ok_or_else(|| Error::argument("the event is NULL"))
}

pub(super) unsafe extern "C" fn record(stream: *mut StreamHandle, event: *mut EventHandle) -> sys::Fallible {
    own!(own: StreamObject = stream);
    // SAFETY: the host's event is alive.
    guard(own.host, || own.stream.record(unsafe { event_of(event)? }))
}

pub(super) unsafe extern "C" fn wait(stream: *mut StreamHandle, event: *mut EventHandle) -> sys::Fallible {
    own!(own: StreamObject = stream);
    // SAFETY: the host's event is alive.
    guard(own.host, || own.stream.wait(unsafe { event_of(event)? }))
}

pub(super) unsafe extern "C" fn begin_capture(stream: *mut StreamHandle) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || own.stream.begin_capture())
}

pub(super) unsafe extern "C" fn end_capture(stream: *mut StreamHandle, out: *mut *mut GraphHandle) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || {
        let graph = own.stream.end_capture()?;
        // SAFETY: the host's place is writable.
        unsafe { give(out, GraphObject { graph }) }
    })
}

pub(super) unsafe extern "C" fn launch(stream: *mut StreamHandle, graph: *mut GraphHandle) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || {
        // SAFETY: the host's graph is alive.
        let graph = unsafe { object::<GraphObject, _>(graph) }.ok_or_else(|| Error::argument("the graph is NULL"))?;
        // SAFETY: the host keeps everything alive that the graph names.
        unsafe { own.stream.launch(&*graph.graph) }
    })
}

pub(super) unsafe extern "C" fn poll(stream: *mut StreamHandle, done: *mut u32) -> sys::Fallible {
    own!(own: StreamObject = stream);
    // SAFETY: the host's place is writable.
    guard(own.host, || unsafe { put(done, u32::from(own.stream.poll()?)) })
}

pub(super) unsafe extern "C" fn sync(stream: *mut StreamHandle, timeout: u64) -> sys::Fallible {
    own!(own: StreamObject = stream);
    guard(own.host, || own.stream.sync(timeout_in(timeout)))
}

pub(super) unsafe extern "C" fn graph_nodes(graph: *mut GraphHandle) -> u64 {
    // SAFETY: the host's graph is alive.
    let own = unsafe { object::<GraphObject, _>(graph) };
    let nodes = catch_unwind(AssertUnwindSafe(|| own.map_or(0, |g| g.graph.nodes())));
    nodes.map_or(0, |n| n as u64)
}

pub(super) unsafe extern "C" fn graph_destroy(graph: *mut GraphHandle) {
    // SAFETY: the host passes a graph for the last time.
    unsafe { take_back::<GraphObject, _>(graph) }
}

pub(super) unsafe extern "C" fn event_poll(event: *mut EventHandle, done: *mut u32) -> sys::Fallible {
    own!(own: EventObject = event);
    // SAFETY: the host's place is writable.
    guard(own.host, || unsafe { put(done, u32::from(own.event.poll()?)) })
}

pub(super) unsafe extern "C" fn event_sync(event: *mut EventHandle, timeout: u64) -> sys::Fallible {
    own!(own: EventObject = event);
    guard(own.host, || own.event.sync(timeout_in(timeout)))
}
