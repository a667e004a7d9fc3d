//! Graphs: what a capture collects, and how a launch repeats it.
//!
//! A backend whose library captures for it keeps the library's handle here. A backend without capture leaves the three methods of
//! `Stream` at their defaults and says so in `Caps::native_graphs`; the runtime then replays in software.

use crate::Call;
use crate::memory::pointer;
use omnihal::{Error, Graph, Mem, OpKind, Result};
use std::any::Any;

/// One collected call. It owns all that it needs: the arguments of a captured run are gone when the call returns. This backend
/// computes nothing, so of a run it keeps the operator only; others copy the views, the workspace and the row hint too.
#[derive(Clone, Copy)]
pub(crate) enum Node {
    /// A run.
    Run(OpKind),
    /// A copy.
    Copy { dst: Mem, src: Mem },
    /// A fill.
    Fill { dst: Mem, byte: u8 },
    /// A mark; on a stream that finishes every call before it returns, there is nothing to do.
    Record,
    /// A wait; the same.
    Wait,
}

impl Node {
    /// How the journal names the call.
    pub(crate) fn call(self) -> Call {
        match self {
            Node::Run(kind) => Call::Run(kind),
            Node::Copy { .. } => Call::Copy,
            Node::Fill { .. } => Call::Fill,
            Node::Record => Call::Record,
            Node::Wait => Call::Wait,
        }
    }

    /// Does what the call asks for.
    ///
    /// # Safety
    /// The ranges must be alive and, for a copy, of equal length and apart.
    pub(crate) unsafe fn execute(self) {
        match self {
            Node::Run(_) | Node::Record | Node::Wait => {}
            // SAFETY: the caller answers for both ranges.
            Node::Copy { dst, src } => unsafe { pointer(src).copy_to_nonoverlapping(pointer(dst), dst.len) },
            // SAFETY: the caller answers for the range.
            Node::Fill { dst, byte } => unsafe { pointer(dst).write_bytes(byte, dst.len) },
        }
    }
}

/// A captured sequence.
pub(crate) struct NullGraph {
    pub(crate) nodes: Vec<Node>,
}

impl Graph for NullGraph {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Gives this backend its own graph back.
pub(crate) fn own(graph: &dyn Graph) -> Result<&NullGraph> {
    graph
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::argument("the graph was captured by another device: capture it on this one"))
}
