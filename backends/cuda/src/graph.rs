//! Captured graphs: one driver call replays all their nodes.

use crate::context::Context;
use cudarc::driver::sys::{self as cu, CUgraph, CUgraphExec, CUstream};
use omnihal::{Error, Graph, Result};
use std::any::Any;
use std::sync::Arc;

/// A captured sequence, ready to launch.
pub(crate) struct CudaGraph {
    context: Arc<Context>,
    exec: CUgraphExec,
    nodes: usize,
}

// SAFETY: the driver's executable graphs may be used from any thread.
unsafe impl Send for CudaGraph {}
// SAFETY: as above; the driver orders concurrent launches of one graph.
unsafe impl Sync for CudaGraph {}

impl CudaGraph {
    /// Makes a captured graph executable, and drops the captured form.
    ///
    /// # Safety
    /// `captured` must be a graph of the current context that nobody else uses.
    pub(crate) unsafe fn instantiate(context: &Arc<Context>, captured: CUgraph) -> Result<CudaGraph> {
        let (mut nodes, mut exec) = (0usize, std::ptr::null_mut());
        // SAFETY: with no array the call writes the number of nodes only; then one handle; then the captured form is not used again.
        let made = unsafe {
            let counted =
                context.check(cu::cuGraphGetNodes(captured, std::ptr::null_mut(), &mut nodes), "cuGraphGetNodes");
            let made = counted.and_then(|()| {
                context.check(cu::cuGraphInstantiateWithFlags(&mut exec, captured, 0), "cuGraphInstantiate")
            });
            let _ = cu::cuGraphDestroy(captured);
            made
        };
        made.map(|()| CudaGraph { context: context.clone(), exec, nodes })
    }

    /// Enqueues all nodes.
    pub(crate) fn launch(&self, stream: CUstream) -> Result<()> {
        // SAFETY: both handles are alive; the caller of `Stream::launch` answers for what the nodes name.
        self.context.check(unsafe { cu::cuGraphLaunch(self.exec, stream) }, "cuGraphLaunch")
    }
}

impl Graph for CudaGraph {
    fn nodes(&self) -> usize {
        self.nodes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        let context = &self.context;
        // SAFETY: the handle is this object's own and is not used again; the driver defers the end of a graph in flight.
        context.note(
            context
                .enter()
                .and_then(|()| context.check(unsafe { cu::cuGraphExecDestroy(self.exec) }, "cuGraphExecDestroy")),
        );
    }
}

/// Gives this backend its own graph back.
pub(crate) fn own(graph: &dyn Graph) -> Result<&CudaGraph> {
    let other = || Error::argument("the graph was captured by another device: capture it on this one");
    graph.as_any().downcast_ref::<CudaGraph>().ok_or_else(other)
}
