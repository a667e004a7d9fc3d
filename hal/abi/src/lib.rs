//! The C plug-in interface: a vendor's shared library as a backend, and any backend as such a library.
//!
//! The interface itself is written down in `include/ohal_plugin.h` and `include/ohal_types.h`; the second is made from the operator
//! catalogue ([`types_header`]). Two adapters join it to the traits: [`export`] makes a C table of a [`omnihal::Backend`], an [`Importer`]
//! makes a backend ([`Imported`]) of a C table. [`through_table`] does both, so that a crate of this tree can be judged by the door that a
//! vendor's library must use.
//!
//! [`load`] opens a vendor's library: first in a child process, where it may crash or hang, then here, for good. [`discover`] finds the files.
//!
//! Runs, copies, fills, records and waits allocate nothing in either adapter. No panic crosses the interface.

mod codes;
mod columns;
mod convert;
mod errors;
mod export;
mod header;
mod host;
mod import;
mod layout;
mod limits;
mod loader;
mod structs;
pub mod sys;
mod wire;

pub use export::export;
pub use header::{layout_table, types_header};
pub use host::Fallbacks;
pub use import::{EntryFn, Imported, Importer, through_table, through_table_with};
pub use loader::{
    Candidate, Discovery, LoadError, LoadOptions, Loaded, ProbeCommand, ProbeReport, ProbedDevice, discover,
    discover_with, load, probe_child,
};

/// Most arguments that a run may have across the interface: the operator's own, step-table columns, and the prologue's output.
pub const MAX_ARGS: usize = 32;

/// Major version of the interface: both sides must have the same.
pub const ABI_MAJOR: u32 = 0;

/// Minor version of the interface: a newer one adds to the end.
pub const ABI_MINOR: u32 = 2;

/// `OHAL_PLUGIN_MAGIC`.
pub const PLUGIN_MAGIC: u64 = u64::from_le_bytes(*b"OHALPLUG");
