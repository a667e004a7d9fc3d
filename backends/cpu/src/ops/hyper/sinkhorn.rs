//! Sinkhorn balancing of the mixing matrix of one row.

use crate::ops::{Ctx, Scratch, Tensor};

/// Bytes of scratch for a matrix and the sums of its columns.
pub(super) const fn scratch(streams: usize) -> usize {
    4 * (streams * streams + streams)
}

/// The matrix and the sums, at a byte of a thread's scratch.
///
/// # Safety
/// As for [`Scratch::slice`].
pub(super) unsafe fn parts<'a>(
    scratch: &Scratch,
    thread: usize,
    offset: usize,
    streams: usize,
) -> (&'a mut [f32], &'a mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { scratch.slice::<f32>(thread, offset, streams * streams + streams).split_at_mut(streams * streams) }
}

/// Softmax of each row plus eps, then columns, then `iters - 1` times rows and columns, divided by their sum plus eps.
pub(super) fn balance(matrix: &mut [f32], sums: &mut [f32], iters: usize, eps: f32) {
    let streams = sums.len();
    for row in matrix.chunks_exact_mut(streams) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|v| *v = (*v - most).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|v| *v = *v / sum + eps);
    }
    divide_columns(matrix, sums, eps);
    for _ in 1..iters {
        for row in matrix.chunks_exact_mut(streams) {
            let sum = row.iter().sum::<f32>() + eps;
            row.iter_mut().for_each(|v| *v /= sum);
        }
        divide_columns(matrix, sums, eps);
    }
}

fn divide_columns(matrix: &mut [f32], sums: &mut [f32], eps: f32) {
    sums.fill(0.0);
    for row in matrix.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    sums.iter_mut().for_each(|s| *s += eps);
    for row in matrix.chunks_exact_mut(sums.len()) {
        row.iter_mut().zip(&*sums).for_each(|(v, s)| *v /= s);
    }
}

/// Stores the matrix of a row.
///
/// # Safety
/// The row must lie in `comb`, and no other task may touch it.
pub(super) unsafe fn store(comb: &Tensor, row: usize, matrix: &[f32], streams: usize, ctx: &Ctx<'_>) {
    for (j, line) in matrix.chunks_exact(streams).enumerate() {
        // SAFETY: passed on to the caller.
        unsafe { comb.store(comb.place(&[row, j]), line, ctx.simd) };
    }
}
