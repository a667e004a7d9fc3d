//! The capture of a stream into a graph.

use crate::context::Context;
use crate::event::AscendEvent;
use crate::sys::call::Acl;
use crate::sys::constants::aclmdlRICaptureMode;
use crate::sys::types::{aclmdlRI, aclrtStream};
use omnihal::{Error, ErrorKind, Result};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Streams that the device must still have for a capture to be begun: a graph takes at least one, and what else runs needs some.
const STREAMS_LEFT: u32 = 16;

thread_local! {
    /// Captures that this thread has open.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// True while this thread has a capture open: it must then wait for nothing and ask no event.
pub(crate) fn on_this_thread() -> bool {
    OPEN.get() > 0
}

/// Whether a stream is captured, by which thread, and how many calls so far.
#[derive(Default)]
pub(crate) struct Capture {
    by: Mutex<Option<ThreadId>>,
    active: AtomicBool,
    calls: AtomicUsize,
    events: Mutex<Events>,
}

/// Events that captured calls wait for and mark.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) waits: Vec<AscendEvent>,
    pub(crate) marks: Vec<AscendEvent>,
}

fn invalid(words: String) -> Error {
    Error::new(ErrorKind::InvalidState, words)
}

impl Capture {
    /// Refuses what a capture forbids. The runtime would refuse it as well, and spoil the capture.
    pub(crate) fn none(&self, what: &str) -> Result<()> {
        match self.active.load(Relaxed) {
            false => Ok(()),
            true => Err(invalid(format!("{what} during a capture: end the capture first"))),
        }
    }

    /// True while calls are captured.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// Keeps an event of a captured wait or mark; false if nothing is captured.
    ///
    /// A launch waits for it before the graph and marks it behind: that is later than in the middle, never too early, and asks nothing of
    /// how a release captures events.
    pub(crate) fn keeps(&self, event: &AscendEvent, marks: bool) -> bool {
        if !self.is_active() {
            return false;
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let list = if marks { &mut events.marks } else { &mut events.waits };
        list.push(event.clone());
        self.calls.fetch_add(1, Relaxed);
        true
    }

    /// The events kept since the capture began.
    pub(crate) fn events(&self) -> Events {
        std::mem::take(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call, if it was captured.
    pub(crate) fn count(&self) {
        if self.active.load(Relaxed) {
            self.calls.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn begin(&self, context: &Context, stream: aclrtStream) -> Result<()> {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if by.is_some() {
            return Err(invalid("a second capture of a stream was asked for: end the first".to_owned()));
        }
        let acl = context.enter()?;
        budget(context, acl)?;
        // Any other mode lets an allocation of another thread spoil the capture, or lets this thread do what spoils it.
        let mode = aclmdlRICaptureMode::ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive and of the current context.
        context.check("aclmdlRICaptureBegin", unsafe { acl.aclmdlRICaptureBegin(stream, mode) }?)?;
        *by = Some(thread::current().id());
        OPEN.set(OPEN.get() + 1);
        self.calls.store(0, Relaxed);
        self.events();
        self.active.store(true, Relaxed);
        Ok(())
    }

    /// The captured graph, and the number of calls in it.
    pub(crate) fn end(&self, context: &Context, stream: aclrtStream) -> Result<(aclmdlRI, usize)> {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        match *by {
            None => return Err(invalid("no capture to end: begin one on this stream first".to_owned())),
            Some(thread) if thread != thread::current().id() => {
                return Err(invalid("a capture must end on the thread that began it: end it there".to_owned()));
            }
            Some(_) => {}
        }
        let acl = context.enter_anyway()?;
        let mut graph = aclmdlRI::NULL;
        *by = None;
        OPEN.set(OPEN.get().saturating_sub(1));
        self.active.store(false, Relaxed);
        // SAFETY: the stream is alive and captured by this thread, and there is a place to write to.
        context.check("aclmdlRICaptureEnd", unsafe { acl.aclmdlRICaptureEnd(stream, &mut graph) }?)?;
        match graph.is_null() {
            true => Err(invalid("the capture ended without a graph: run without one".to_owned())),
            false => Ok((graph, self.calls.load(Relaxed))),
        }
    }
}

/// Refuses a capture that would take the last streams of the device. A runtime that cannot tell is believed to have some.
fn budget(context: &Context, acl: &Acl) -> Result<()> {
    let mut left = u32::MAX;
    // SAFETY: a place to write to.
    let asked = unsafe { acl.aclrtGetStreamAvailableNum(&mut left) };
    match asked.and_then(|code| context.check("aclrtGetStreamAvailableNum", code)) {
        Ok(()) if left < STREAMS_LEFT => Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "a graph was asked for with {left} streams of the device left, {STREAMS_LEFT} are kept: drop graphs"
            ),
        )),
        _ => Ok(()),
    }
}
