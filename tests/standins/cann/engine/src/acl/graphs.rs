//! Captured graphs.

use super::{calls, give};
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::books::{MOST_STREAMS, books, handle, number};
use crate::fault::{broken, code, refuse};
use crate::stream::Task;
use std::ffi::c_void;
use std::sync::Arc;

calls! {
    /// Starts a capture.
    fn aclmdlRICaptureBegin(stream: aclrtStream, mode: aclmdlRICaptureMode) {
        let stream = books().stream(stream.0 as u64)?;
        stream.begin_capture(mode.0)
    }

    /// State of a capture.
    fn aclmdlRICaptureGetInfo(stream: aclrtStream, status: *mut aclmdlRICaptureStatus, _graph: *mut aclmdlRI) {
        let stream = books().stream(stream.0 as u64)?;
        give(status, aclmdlRICaptureStatus(stream.capture_state()))
    }

    /// Ends a capture. A graph takes a stream of the device.
    fn aclmdlRICaptureEnd(stream: aclrtStream, graph: *mut aclmdlRI) {
        give(graph, aclmdlRI::NULL)?;
        let stream = books().stream(stream.0 as u64)?;
        let tasks = stream.end_capture()?;
        let mut books = books();
        if let Some(code) = books.planned("capture") {
            return refuse(code, "the capture turned out invalid, as planned");
        }
        if books.streams.len() + books.graphs.len() >= number("FAKE_CANN_STREAMS", MOST_STREAMS as u64) as usize {
            return refuse(code::STREAM_RESOURCE, "no stream left for a graph");
        }
        let made = handle();
        books.graphs.insert(made, Arc::new(tasks));
        drop(books);
        give(graph, aclmdlRI(made as *mut c_void))
    }

    /// Enqueues a graph.
    fn aclmdlRIExecuteAsync(graph: aclmdlRI, stream: aclrtStream) {
        let mut books = books();
        let Some(tasks) = books.graphs.get(&(graph.0 as u64)).cloned() else {
            return broken("handles", code::HANDLE, "a graph that is not alive");
        };
        let stream = books.stream(stream.0 as u64)?;
        drop(books);
        stream.outside_capture("a launch")?;
        stream.push(Task::Graph(tasks))
    }

    /// Forgets a graph, which must not run.
    fn aclmdlRIDestroy(graph: aclmdlRI) {
        let Some(tasks) = books().graphs.remove(&(graph.0 as u64)) else {
            return broken("handles", code::HANDLE, "a graph that is not alive");
        };
        // Launches under way hold the tasks too.
        match Arc::strong_count(&tasks) {
            1 => Ok(()),
            _ if crate::books::Lost::cause().is_some() => Ok(()),
            _ => broken("graph in use", code::PARAM, "a graph was destroyed while it runs"),
        }
    }
}
