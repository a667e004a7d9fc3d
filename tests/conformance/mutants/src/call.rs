//! What a kernel is given.

use crate::Variant;
use omnihal::{Mem, Op, View};
use std::sync::Mutex;

/// One call of one operator.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The operator with its descriptor.
    pub op: &'a Op,
    /// The arguments, in the order of the catalogue.
    pub views: &'a [Option<View>],
    /// Scratch memory of at least [`crate::ops::workspace`] bytes, undefined before and after.
    pub workspace: Mem,
    /// Number of leading rows that matter; may shorten work.
    pub rows_hint: usize,
    /// Memory of the plan, kept from run to run. Honest kernels have no use for it.
    pub kept: &'a Mutex<Vec<f32>>,
    /// The variant of the device.
    pub variant: Option<&'static Variant>,
}

impl<'a> Call<'a> {
    /// True if the device runs this variant. A test compares the ids asked for with those of the table.
    pub fn is(&self, id: &str) -> bool {
        self.variant.is_some_and(|v| v.id == id)
    }

    /// Argument `i`, if it is there.
    pub fn view(&self, i: usize) -> Option<&'a View> {
        self.views.get(i).and_then(Option::as_ref)
    }

    /// Argument `i`, which the descriptor requires. A missing one is a failure of the run, as on any device: the worker turns the panic into
    /// a poisoned stream.
    pub fn arg(&self, i: usize) -> &'a View {
        match self.view(i) {
            Some(view) => view,
            None => panic!("argument {i} of {} is missing", self.op.kind().name()),
        }
    }
}
