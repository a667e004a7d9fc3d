//! Streams.

use crate::Variant;

/// The variants of streams, events, graphs and memory.
pub const VARIANTS: &[Variant] = &[];
