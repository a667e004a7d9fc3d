//! The C plug-in interface: tables, adapters both ways, loader.

mod codes;
mod columns;
mod header;
mod layout;
pub mod sys;
mod wire;

pub use header::{layout_table, types_header};

/// Most arguments that a run may have across the interface: the operator's own, step-table columns, and the prologue's output.
pub const MAX_ARGS: usize = 32;
