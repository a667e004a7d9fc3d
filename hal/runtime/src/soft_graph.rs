//! Graphs in software, for devices that do not capture: the calls are kept and made again, in order, without an allocation.

use crate::layers::layer::{At, Call, Hook, LayerDevice};
use omnihal::{Args, Device, Error, ErrorKind, Event, Graph, Mem, Plan, Result, Stream, View};
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One call of a [`SoftGraph`]. It owns its plan and its views, but not the memory they name.
#[derive(Clone)]
pub enum Node {
    /// A run of a plan.
    Run {
        /// The plan.
        plan: Arc<dyn Plan>,
        /// Its arguments.
        views: Box<[Option<View>]>,
        /// Its scratch memory.
        workspace: Mem,
        /// Leading rows that matter.
        rows_hint: usize,
    },
    /// A copy.
    Copy {
        /// Destination.
        dst: Mem,
        /// Source.
        src: Mem,
    },
    /// A fill.
    Fill {
        /// Destination.
        dst: Mem,
        /// Value.
        byte: u8,
    },
    /// A mark in an event.
    Record(Arc<dyn Event>),
    /// A wait for an event.
    Wait(Arc<dyn Event>),
}

impl Node {
    unsafe fn enqueue(&self, stream: &dyn Stream) -> Result<()> {
        match self {
            Node::Run { plan, views, workspace, rows_hint } => {
                let args = Args { views, workspace: *workspace, rows_hint: *rows_hint };
                // SAFETY: the caller answers for the memory, whoever collected the call for the arguments.
                unsafe { stream.run(&**plan, &args) }
            }
            // SAFETY: the caller answers for the memory.
            Node::Copy { dst, src } => unsafe { stream.copy(*dst, *src) },
            // SAFETY: the caller answers for the memory.
            Node::Fill { dst, byte } => unsafe { stream.fill(*dst, *byte) },
            Node::Record(event) => stream.record(&**event),
            Node::Wait(event) => stream.wait(&**event),
        }
    }
}

/// A sequence of calls that can be made again. Plans and events must be of the device whose streams it is launched on.
pub struct SoftGraph {
    nodes: Box<[Node]>,
}

impl SoftGraph {
    /// A graph of these calls, in this order.
    pub fn new(nodes: Vec<Node>) -> Self {
        SoftGraph { nodes: nodes.into() }
    }

    /// Makes the calls. At the first error the rest is left out.
    ///
    /// # Safety
    /// As for each call: arguments must fit their operators, and all memory must stay alive until the stream has passed this launch.
    pub unsafe fn enqueue(&self, stream: &dyn Stream) -> Result<()> {
        // SAFETY: passed on from the caller.
        self.nodes.iter().try_for_each(|node| unsafe { node.enqueue(stream) })
    }
}

impl Graph for SoftGraph {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Makes every stream of a device capture and launch, in software where the device does not do it itself. A device that does is returned as
/// it is. `Caps::native_graphs` keeps its answer.
pub fn with_graphs(device: Arc<dyn Device>) -> Arc<dyn Device> {
    match device.caps().native_graphs {
        true => device,
        false => LayerDevice::wrap(device, Arc::new(GraphRecorder)),
    }
}

/// The layer that collects calls.
struct GraphRecorder;

/// The state of one stream.
#[derive(Default)]
struct StreamState {
    /// Set while `nodes` holds a list, so that calls outside a capture take no lock.
    capturing: AtomicBool,
    nodes: Mutex<Option<Vec<Node>>>,
}

impl StreamState {
    fn nodes(&self) -> MutexGuard<'_, Option<Vec<Node>>> {
        // A list is whole after each push.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hook for GraphRecorder {
    type Stream = StreamState;
    type Event = ();

    fn stream(&self) -> StreamState {
        StreamState::default()
    }

    fn around(&self, at: At<'_, Self>, call: &Call<'_, Self>, go: impl FnOnce() -> Result<()>) -> Result<()> {
        if !at.state.capturing.load(SeqCst) || matches!(call, Call::EndCapture) {
            return go();
        }
        match (at.state.nodes().as_mut(), collect(call)?) {
            (Some(nodes), node) => nodes.push(node),
            (None, _) => return go(),
        }
        Ok(())
    }

    fn begin_capture(&self, at: At<'_, Self>) -> Result<()> {
        let mut nodes = at.state.nodes();
        *nodes = Some(Vec::new());
        at.state.capturing.store(true, SeqCst);
        Ok(())
    }

    fn end_capture(&self, at: At<'_, Self>) -> Result<Box<dyn Graph>> {
        let mut nodes = at.state.nodes();
        at.state.capturing.store(false, SeqCst);
        let nodes = nodes
            .take()
            .ok_or_else(|| Error::new(ErrorKind::InvalidState, "no capture to end: begin one on this stream first"))?;
        Ok(Box::new(SoftGraph::new(nodes)))
    }

    unsafe fn launch(&self, at: At<'_, Self>, graph: &dyn Graph) -> Result<()> {
        let graph: &SoftGraph = graph
            .as_any()
            .downcast_ref()
            .ok_or_else(|| Error::argument("the graph was captured by another device: capture it on this one"))?;
        // SAFETY: passed on from the caller; the nodes hold plans and events of the stream below.
        unsafe { graph.enqueue(at.inner) }
    }
}

/// The node of a call, or why a graph cannot hold it.
fn collect(call: &Call<'_, GraphRecorder>) -> Result<Node> {
    let refused = |text: String| Err(Error::new(ErrorKind::InvalidState, text));
    Ok(match call {
        Call::Run { plan, .. } if !plan.inner.capture_safe() => {
            return refused("the plan is not safe to capture: run it outside the capture".to_owned());
        }
        Call::Run { plan, args } => Node::Run {
            plan: Arc::clone(&plan.inner),
            views: args.views.into(),
            workspace: args.workspace,
            rows_hint: args.rows_hint,
        },
        Call::Copy { dst, src } => Node::Copy { dst: *dst, src: *src },
        Call::Fill { dst, byte } => Node::Fill { dst: *dst, byte: *byte },
        Call::Record(event) => Node::Record(Arc::clone(&event.inner)),
        Call::Wait(event) => Node::Wait(Arc::clone(&event.inner)),
        other => return refused(format!("{} during a capture: end the capture first", other.name())),
    })
}

#[cfg(test)]
mod tests;
