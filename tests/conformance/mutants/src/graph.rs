//! Captured graphs: the calls, ready to be enqueued again.

use crate::Variant;
use crate::stream::{Step, is};
use omnihal::{Error, Graph, Result};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// A captured sequence of calls.
pub struct HostGraph {
    steps: Vec<Step>,
    variant: Option<&'static Variant>,
    /// The stream it was captured on.
    ordinal: usize,
    launched: AtomicBool,
}

impl HostGraph {
    /// Keeps the calls of a capture.
    pub fn new(mut steps: Vec<Step>, variant: Option<&'static Variant>, ordinal: usize) -> HostGraph {
        if is(variant, "stream.graph_keeps_the_first_arguments_of_a_plan") {
            share_arguments(&mut steps);
        }
        if is(variant, "stream.graph_drops_its_last_call") {
            steps.pop();
        }
        if is(variant, "stream.graph_leaves_out_waits") {
            steps.retain(|s| !matches!(s, Step::Wait(_)));
        }
        HostGraph { steps, variant, ordinal, launched: AtomicBool::new(false) }
    }

    /// The calls of one launch on the stream of this number.
    pub fn steps(&self, stream: usize) -> Result<Vec<Step>> {
        if stream != self.ordinal && is(self.variant, "stream.graph_is_tied_to_its_stream") {
            return Err(Error::argument("the graph was captured on another stream, launch it there"));
        }
        let again = self.launched.swap(true, SeqCst);
        if again && is(self.variant, "stream.graph_runs_once_only") {
            return Ok(Vec::new());
        }
        Ok(self.steps.clone())
    }
}

/// Planted: one parameter block a plan instead of one a call.
fn share_arguments(steps: &mut [Step]) {
    for i in 1..steps.len() {
        let (before, rest) = steps.split_at_mut(i);
        let Step::Run { kernel, views, .. } = &mut rest[0] else { continue };
        let first = before.iter().find_map(|s| match s {
            Step::Run { kernel: k, views, .. } if Arc::ptr_eq(k, kernel) => Some(views),
            _ => None,
        });
        if let Some(first) = first {
            *views = first.clone();
        }
    }
}

impl Graph for HostGraph {
    fn nodes(&self) -> usize {
        self.steps.len()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
