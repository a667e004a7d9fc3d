//! Sizes of the selection in `kernels/topk.cuh`.

/// The most that one block keeps: twice as many ranks fit shared memory of every device of capability 8.0, 8.7 and 9.0.
pub(crate) const MOST_KEPT: usize = 4096;

/// Ranks that a block has room for: a merge of four by 512 threads fits beside what is kept.
pub(crate) fn room(keep: usize) -> usize {
    (2 * keep.next_power_of_two()).max(4096)
}

/// Bytes of that room.
pub(crate) fn bytes(keep: usize) -> u32 {
    (8 * room(keep)) as u32
}
