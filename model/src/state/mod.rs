//! Per-sequence state: window rings, open windows, compressed entries, indexer keys (op-catalogue.md 5).
//!
//! Rings and open windows belong to a slot; entries and keys lie in pages that a page table names. Slot and page 0 are null, always
//! zero; slot and page 1 are trash, never read. Rolling back and forking are bookkeeping of the host: visibility comes from positions.

mod pages;
mod pools;
mod sequence;

pub use pages::PagePool;
pub use pools::{BlockState, Pools, Space, StateShape};
pub use sequence::{PageCopy, SeqId, Sequences};

/// Most positions that a sequence may be rolled back below the highest it ever wrote (op-catalogue.md 5.2).
pub const MAX_ROLLBACK: usize = 9;

/// Reserved slots and pages: null and trash.
pub const RESERVED: usize = 2;
