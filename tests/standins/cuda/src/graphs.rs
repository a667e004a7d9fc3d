//! Captured and executable graphs.

use crate::codes::{self, Code};
use crate::state::{enter, handle, state};
use crate::stream::Node;
use crate::{answer, driver, find_stream};
use std::ffi::{c_uint, c_ulonglong};
use std::sync::Arc;

driver! {
    /// Starts a capture; only the relaxed mode, which lets other threads allocate.
    fn cuStreamBeginCapture_v2(stream: usize, mode: c_uint) {
        if mode != 2 { return Err(codes::INVALID_VALUE) }
        find_stream(stream)?.begin_capture()
    }

    /// Ends a capture.
    fn cuStreamEndCapture(stream: usize, graph: *mut usize) {
        // SAFETY: the caller's pointer.
        unsafe { *graph = 0 };
        let nodes = find_stream(stream)?.end_capture()?;
        let made = handle();
        state().graphs.insert(made, Arc::new(nodes));
        // SAFETY: the caller's pointer.
        unsafe { *graph = made };
        Ok(())
    }

    /// Counts the nodes.
    fn cuGraphGetNodes(graph: usize, nodes: *mut usize, count: *mut usize) {
        if !nodes.is_null() { return Err(codes::NOT_SUPPORTED) }
        let state = state();
        // SAFETY: the caller's integer.
        unsafe { *count = state.graphs.get(&graph).ok_or(codes::INVALID_HANDLE)?.len() };
        Ok(())
    }

    /// Makes a graph executable.
    fn cuGraphInstantiateWithFlags(exec: *mut usize, graph: usize, _flags: c_ulonglong) {
        let mut state = state();
        let nodes = state.graphs.get(&graph).cloned().ok_or(codes::INVALID_HANDLE)?;
        let made = handle();
        state.execs.insert(made, nodes);
        // SAFETY: the caller's pointer.
        unsafe { *exec = made };
        Ok(())
    }

    /// Forgets a captured graph.
    fn cuGraphDestroy(graph: usize) {
        state().graphs.remove(&graph).map(|_| ()).ok_or(codes::INVALID_HANDLE)
    }

    /// Forgets an executable graph; launches under way still end.
    fn cuGraphExecDestroy(exec: usize) {
        state().execs.remove(&exec).map(|_| ()).ok_or(codes::INVALID_HANDLE)
    }

    /// Enqueues a graph.
    fn cuGraphLaunch(exec: usize, stream: usize) {
        let nodes = state().execs.get(&exec).cloned().ok_or(codes::INVALID_HANDLE)?;
        let stream = find_stream(stream)?;
        stream.outside_capture()?;
        // Marks and waits are those of the moment of the launch, as if the calls were made now.
        let now = |node: &Node| match node {
            Node::RecordNow(event) => Node::Record(event.clone(), event.mark()),
            Node::WaitNow(event) => Node::Wait(event.clone(), event.newest()),
            other => other.clone(),
        };
        stream.push(Node::Graph(Arc::new(nodes.iter().map(now).collect())))
    }
}
