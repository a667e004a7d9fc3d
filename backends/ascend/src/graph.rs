//! Captured graphs: one call of the runtime replays everything that was captured.

use crate::capture::Events;
use crate::context::Context;
use crate::event::AscendEvent;
use crate::ops::Scratch;
use crate::sys::types::{aclmdlRI, aclrtStream};
use omnihal::{Error, Event, Graph, Result};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How long the drop of a graph waits for its last replay.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// What a capture leaves.
pub(crate) struct Captured {
    pub(crate) handle: aclmdlRI,
    pub(crate) calls: usize,
    /// Events that captured calls wait for and mark.
    pub(crate) events: Events,
    /// Workspace of the captured operators.
    pub(crate) scratch: Scratch,
}

/// A captured sequence, ready to launch.
pub(crate) struct AscendGraph {
    context: Arc<Context>,
    captured: Captured,
    /// Passed once the latest replay is over: a graph must not be destroyed while it runs.
    replayed: AscendEvent,
}

impl AscendGraph {
    /// Takes over what was captured.
    pub(crate) fn new(context: &Arc<Context>, captured: Captured) -> Result<Self> {
        match AscendEvent::new(context) {
            Ok(replayed) => Ok(AscendGraph { context: context.clone(), captured, replayed }),
            Err(error) => {
                context.note(destroy(context, captured.handle));
                Err(error)
            }
        }
    }

    /// Enqueues everything that was captured.
    pub(crate) fn launch(&self, stream: aclrtStream) -> Result<()> {
        let events = &self.captured.events;
        events.waits.iter().try_for_each(|event| event.hold(stream))?;
        let acl = self.context.enter()?;
        // SAFETY: both handles are alive; the caller of `Stream::launch` answers for what the captured calls name.
        let code = unsafe { acl.aclmdlRIExecuteAsync(self.captured.handle, stream) }?;
        self.context.check("aclmdlRIExecuteAsync", code)?;
        events.marks.iter().try_for_each(|event| event.record(stream))?;
        self.replayed.record(stream)
    }
}

/// Destroys a graph that does not run.
pub(crate) fn destroy(context: &Context, handle: aclmdlRI) -> Result<()> {
    let acl = context.enter_anyway()?;
    // SAFETY: the handle is the caller's own and is not used again.
    context.check("aclmdlRIDestroy", unsafe { acl.aclmdlRIDestroy(handle) }?)
}

impl Graph for AscendGraph {
    fn nodes(&self) -> usize {
        self.captured.calls
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for AscendGraph {
    fn drop(&mut self) {
        // On a lost device nothing runs any more.
        let idle = self.replayed.sync(DROP_LIMIT).is_ok() || self.context.health().is_err();
        if idle {
            self.context.note(destroy(&self.context, self.captured.handle));
        } else {
            self.captured.scratch.leak();
        }
    }
}

/// Gives this backend its own graph back.
pub(crate) fn own(graph: &dyn Graph) -> Result<&AscendGraph> {
    let other = || Error::argument("the graph was captured by another device: capture it on this one");
    graph.as_any().downcast_ref::<AscendGraph>().ok_or_else(other)
}
