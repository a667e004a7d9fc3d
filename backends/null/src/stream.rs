//! Streams and events.
//!
//! Here every call is finished when it returns, so `poll` is always true, an event has always passed, and no wait can run out of
//! time. Nothing can fail during execution either. Where it can, the stream keeps the first cause and returns it from each later
//! call, and an event recorded on it carries that cause to the streams that wait for it.

use crate::graph::{self, Node, NullGraph};
use crate::memory::pointer;
use crate::{Call, Calls, ops};
use omnihal::{Args, Error, ErrorKind, Event, Graph, Mem, Plan, Result, Stream};
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An ordered queue that is always empty.
pub(crate) struct NullStream {
    calls: Arc<Calls>,
    /// Set while `capture` holds a list, so that calls outside a capture take no lock.
    capturing: AtomicBool,
    capture: Mutex<Option<Vec<Node>>>,
}

impl NullStream {
    pub(crate) fn new(calls: Arc<Calls>) -> Self {
        NullStream { calls, capturing: AtomicBool::new(false), capture: Mutex::new(None) }
    }

    fn capture(&self) -> MutexGuard<'_, Option<Vec<Node>>> {
        // A list is whole after each push, so a panic elsewhere cannot have left it half made.
        self.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects the call during a capture, does it otherwise.
    ///
    /// # Safety
    /// As for [`Node::execute`].
    unsafe fn enqueue(&self, node: Node) {
        if self.capturing.load(Acquire)
            && let Some(nodes) = self.capture().as_mut()
        {
            nodes.push(node);
            return;
        }
        // SAFETY: passed on from the caller.
        unsafe { node.execute() };
        self.calls.note(node.call());
    }

    fn outside_capture(&self, what: &str) -> Result<()> {
        match self.capturing.load(Acquire) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::InvalidState, format!("{what} during a capture: end the capture first"))),
        }
    }
}

fn same_length(device: usize, host: usize) -> Result<()> {
    match device == host {
        true => Ok(()),
        false => Err(Error::argument(format!("{host} host bytes do not fit a device range of {device} bytes"))),
    }
}

impl Stream for NullStream {
    unsafe fn run(&self, plan: &dyn Plan, _args: &Args<'_>) -> Result<()> {
        let plan = ops::own(plan)?;
        // SAFETY: a run touches no memory.
        unsafe { self.enqueue(Node::Run(plan.op().kind())) };
        Ok(())
    }

    unsafe fn copy(&self, dst: Mem, src: Mem) -> Result<()> {
        same_length(dst.len, src.len)?;
        // SAFETY: the caller keeps both ranges alive and apart; their lengths are equal.
        unsafe { self.enqueue(Node::Copy { dst, src }) };
        Ok(())
    }

    unsafe fn fill(&self, dst: Mem, byte: u8) -> Result<()> {
        // SAFETY: the caller keeps the range alive.
        unsafe { self.enqueue(Node::Fill { dst, byte }) };
        Ok(())
    }

    unsafe fn write(&self, dst: Mem, src: &[u8]) -> Result<()> {
        self.outside_capture("write")?;
        same_length(dst.len, src.len())?;
        // SAFETY: the caller keeps `dst` alive; it has the length of `src`, and a borrowed slice overlaps no buffer.
        unsafe { src.as_ptr().copy_to_nonoverlapping(pointer(dst), src.len()) };
        self.calls.note(Call::Write);
        Ok(())
    }

    unsafe fn read(&self, src: Mem, dst: &mut [u8], _timeout: Duration) -> Result<()> {
        self.outside_capture("read")?;
        same_length(src.len, dst.len())?;
        // SAFETY: the caller keeps `src` alive; it has the length of `dst`, which is borrowed and overlaps no buffer.
        unsafe { pointer(src).copy_to_nonoverlapping(dst.as_mut_ptr(), dst.len()) };
        self.calls.note(Call::Read);
        Ok(())
    }

    fn record(&self, event: &dyn Event) -> Result<()> {
        own_event(event)?;
        // SAFETY: a mark touches no memory.
        unsafe { self.enqueue(Node::Record) };
        Ok(())
    }

    fn wait(&self, event: &dyn Event) -> Result<()> {
        own_event(event)?;
        // SAFETY: a wait touches no memory.
        unsafe { self.enqueue(Node::Wait) };
        Ok(())
    }

    fn begin_capture(&self) -> Result<()> {
        let mut capture = self.capture();
        self.outside_capture("a second capture")?;
        *capture = Some(Vec::new());
        self.capturing.store(true, Release);
        Ok(())
    }

    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        let mut capture = self.capture();
        self.capturing.store(false, Release);
        let nodes = capture
            .take()
            .ok_or_else(|| Error::new(ErrorKind::InvalidState, "no capture to end: begin one on this stream first"))?;
        Ok(Box::new(NullGraph { nodes }))
    }

    unsafe fn launch(&self, graph: &dyn Graph) -> Result<()> {
        self.outside_capture("launch")?;
        let graph = graph::own(graph)?;
        self.calls.note(Call::Launch);
        for node in &graph.nodes {
            // SAFETY: the caller keeps everything alive that the captured calls name.
            unsafe { node.execute() };
            self.calls.note(node.call());
        }
        Ok(())
    }

    fn poll(&self) -> Result<bool> {
        self.outside_capture("poll")?;
        Ok(true)
    }

    fn sync(&self, _timeout: Duration) -> Result<()> {
        self.outside_capture("sync")
    }
}

/// A point that has always passed.
pub(crate) struct NullEvent;

impl Event for NullEvent {
    fn poll(&self) -> Result<bool> {
        Ok(true)
    }

    fn sync(&self, _timeout: Duration) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn own_event(event: &dyn Event) -> Result<&NullEvent> {
    event
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::argument("the event was made by another device: make it on this one"))
}
