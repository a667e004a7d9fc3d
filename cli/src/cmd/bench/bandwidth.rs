//! How fast this host reads memory: what decoding can at most be.

use crate::host;
use std::hint::black_box;
use std::time::Instant;

/// Much larger than any last-level cache of a few cores.
const BYTES: u64 = 512 << 20;
const PASSES: usize = 5;

/// Bytes a second that `threads` threads read together, each its own part: the best of a few passes. `None` without room for the buffer.
pub fn read(threads: usize) -> Option<f64> {
    let bytes = BYTES.min(host::available_memory().unwrap_or(BYTES) / 4);
    let part = (bytes as usize / 8 / threads.max(1)).next_multiple_of(8);
    if bytes < BYTES / 8 {
        return None;
    }
    let mut data: Vec<u64> = vec![0; part * threads.max(1)];
    let sum = |part: &[u64]| {
        let mut sums = [0u64; 8];
        for chunk in part.chunks_exact(8) {
            sums.iter_mut().zip(chunk).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
        black_box(sums);
    };
    // Zeroed memory has no pages of its own until it is written.
    std::thread::scope(|scope| {
        data.chunks_mut(part).for_each(|part| {
            scope.spawn(|| part.fill(0x0101_0101));
        });
    });
    let mut fastest = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        std::thread::scope(|scope| {
            data.chunks(part).for_each(|part| {
                scope.spawn(|| sum(part));
            });
        });
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Some((data.len() * 8) as f64 / fastest)
}
