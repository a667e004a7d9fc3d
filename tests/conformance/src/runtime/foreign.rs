//! Objects that no device made: each must refuse them.

use omnihal::{Accumulation, Determinism, Op, Result};
use std::any::Any;
use std::time::Duration;

/// An event of nobody.
pub struct Event;

impl omnihal::Event for Event {
    fn poll(&self) -> Result<bool> {
        Ok(true)
    }

    fn sync(&self, _: Duration) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A plan of nobody.
pub struct Plan(pub Op);

impl omnihal::Plan for Plan {
    fn op(&self) -> &Op {
        &self.0
    }

    fn determinism(&self) -> Determinism {
        Determinism::RowInvariant
    }

    fn accumulation(&self) -> Accumulation {
        Accumulation::F32
    }
}

/// A graph of nobody.
pub struct Graph;

impl omnihal::Graph for Graph {
    fn nodes(&self) -> usize {
        1
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
