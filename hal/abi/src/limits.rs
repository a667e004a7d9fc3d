//! What a host accepts from a plug-in. The header lists the same limits: a plug-in that needs more is broken, not large.

/// Devices that one search may find.
pub(crate) const DEVICES: u64 = 4096;
/// Lines that say where a search looked.
pub(crate) const SEARCHED: u64 = 4096;
/// Versions of one device.
pub(crate) const VERSIONS: u64 = 256;
/// Columns that a plan may ask for: with the 12 arguments of the largest operator and a prologue they stay below `MAX_ARGS`.
pub(crate) const COLUMNS: u64 = 16;
/// Bytes of one text.
pub(crate) const TEXT: u64 = 1 << 16;
/// Bytes of one struct.
pub(crate) const STRUCT: u32 = 1 << 16;
/// Bytes of a workspace, a prologue output or a repacked weight.
pub(crate) const BYTES: u64 = 1 << 46;
/// Alignment of an allocation.
pub(crate) const ALIGNMENT: u64 = 1 << 30;
/// Bytes of a name.
pub(crate) const NAME: usize = 64;
