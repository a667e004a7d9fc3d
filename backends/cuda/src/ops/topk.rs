//! Sizes of the selection in `kernels/topk.cuh`.

/// The most that one block keeps: four times as many ranks fit the shared memory of compute capability 8.0 and 9.0.
pub(crate) const MOST_KEPT: usize = 4096;

/// Ranks that a block has room for, if it takes in `step` at once: enough that a cut pays.
pub(crate) fn room(keep: usize, step: usize) -> usize {
    (4 * keep.next_power_of_two()).max(2 * step)
}

/// Bytes of that room.
pub(crate) fn bytes(room: usize) -> u32 {
    // `room` is at most four times `MOST_KEPT` or two steps.
    (8 * room) as u32
}

/// Threads of a block that merges what parts of a row have left.
pub(crate) const MERGE_THREADS: u32 = 512;

/// Ranks that a block takes in at once in `topk_offer`.
pub(crate) fn step(threads: u32) -> usize {
    4 * threads as usize
}

/// Room of a merging block.
pub(crate) fn merge_room(keep: usize) -> usize {
    room(keep, step(MERGE_THREADS))
}

/// Parts of a row that occupy the device best: the fewest whose last wave is not much emptier than that of more parts. The choice does not change the result.
pub(crate) fn parts(rows: usize, multiprocessors: u32, most: usize) -> usize {
    let multiprocessors = multiprocessors.max(1) as usize;
    let time = |parts: usize| (rows * parts).div_ceil(multiprocessors) as f64 / parts as f64;
    // Five parts bring any number of waves to within a fifth of a whole one.
    let limit = (multiprocessors / rows).max(5).min(most.max(1));
    (1..=limit).fold(1, |best, parts| if time(parts) < 0.95 * time(best) { parts } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_until_the_device_is_full() {
        assert_eq!(parts(1, 132, 256), 129);
        assert_eq!(parts(64, 132, 256), 2);
        assert_eq!(parts(4096, 132, 256), 1);
        assert_eq!(parts(1, 132, 0), 1);
        assert!(parts(100, 132, 256) > 1);
    }

    #[test]
    fn a_step_fits_beside_what_is_kept() {
        for keep in 1..=MOST_KEPT {
            for step in [128, 1024, 2048] {
                assert!(room(keep, step) >= keep + step);
            }
        }
    }
}
