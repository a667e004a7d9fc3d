//! Walking several tensors of any strides together, in runs along the innermost axis.

use crate::ops::Tensor;
use crate::simd::Kernels;
use omnihal::{DType, MAX_RANK, Shape, View};
use std::ops::Range;

/// Elements of a run at most: a few buffers of this many floats stay in the first-level cache.
pub(crate) const RUN: usize = 512;

/// Elements of a task at least: less work than this is not worth a hand-over to another thread.
const TASK: usize = 1 << 14;

/// Strides of `N` tensors over a common shape. Neighbouring axes that are adjacent in all of them are walked as one.
pub(crate) struct Walk<const N: usize> {
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; N]; MAX_RANK],
}

impl<const N: usize> Walk<N> {
    /// Operands that are not there stay at place 0; dimensions of 1 repeat.
    pub(crate) fn new(shape: &Shape, operands: [Option<&View>; N]) -> Walk<N> {
        let mut walk = Walk { rank: 0, dims: [1; MAX_RANK], strides: [[0; N]; MAX_RANK] };
        for axis in 0..shape.rank() {
            let stride = |view: Option<&View>| match view {
                Some(view) if view.shape[axis] != 1 => view.strides[axis],
                _ => 0,
            };
            walk.push(shape[axis], operands.map(stride));
        }
        walk
    }

    fn push(&mut self, dim: usize, strides: [usize; N]) {
        if dim == 1 {
            return;
        }
        let adjacent = |last: &usize| (0..N).all(|i| self.strides[*last][i] == dim * strides[i]);
        if let Some(last) = self.rank.checked_sub(1).filter(adjacent) {
            (self.dims[last], self.strides[last]) = (self.dims[last] * dim, strides);
            return;
        }
        (self.dims[self.rank], self.strides[self.rank]) = (dim, strides);
        self.rank += 1;
    }

    fn inner(&self) -> usize {
        self.rank.checked_sub(1).map_or(1, |last| self.dims[last])
    }

    /// Distances between the elements of a run.
    pub(crate) fn steps(&self) -> [usize; N] {
        self.rank.checked_sub(1).map_or([0; N], |last| self.strides[last])
    }

    /// Runs in all.
    pub(crate) fn runs(&self) -> usize {
        let outer: usize = self.dims[..self.rank.saturating_sub(1)].iter().product();
        outer * self.inner().div_ceil(RUN)
    }

    /// Runs of one task.
    pub(crate) fn grain(&self) -> usize {
        (TASK / self.inner().min(RUN)).max(1)
    }

    /// Calls `each` with the places of the first elements and the length of every run in a range.
    #[inline]
    pub(crate) fn each(&self, runs: Range<usize>, mut each: impl FnMut([usize; N], usize)) {
        let (inner, steps) = (self.inner(), self.steps());
        let per_line = inner.div_ceil(RUN);
        let outer = &self.dims[..self.rank.saturating_sub(1)];
        let (mut line, mut part) = (runs.start / per_line, runs.start % per_line);
        let mut index = [0; MAX_RANK];
        let mut places = [0; N];
        for axis in (0..outer.len()).rev() {
            index[axis] = line % outer[axis];
            line /= outer[axis];
            (0..N).for_each(|i| places[i] += index[axis] * self.strides[axis][i]);
        }
        for _ in runs {
            let from = part * RUN;
            let mut starts = places;
            (0..N).for_each(|i| starts[i] += from * steps[i]);
            each(starts, RUN.min(inner - from));
            part += 1;
            if part == per_line {
                part = 0;
                self.advance(&mut index, &mut places);
            }
        }
    }

    /// Moves to the next line.
    fn advance(&self, index: &mut [usize; MAX_RANK], places: &mut [usize; N]) {
        for axis in (0..self.rank.saturating_sub(1)).rev() {
            index[axis] += 1;
            (0..N).for_each(|i| places[i] += self.strides[axis][i]);
            if index[axis] < self.dims[axis] {
                return;
            }
            index[axis] = 0;
            (0..N).for_each(|i| places[i] -= self.dims[axis] * self.strides[axis][i]);
        }
    }
}

/// True for the types that [`load`] and [`store`] convert.
pub(crate) fn convertible(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::BF16 | DType::F16 | DType::I32)
}

/// Widens `out.len()` elements that are `step` apart.
///
/// # Safety
/// They must lie in the view, which must be of a [`convertible`] type.
#[inline]
pub(crate) unsafe fn load(tensor: &Tensor, place: usize, step: usize, out: &mut [f32], simd: &Kernels) {
    // SAFETY: passed on to the caller.
    unsafe {
        match (tensor.dtype, step) {
            (DType::I32, _) => {
                out.iter_mut().enumerate().for_each(|(i, v)| *v = tensor.index(place + i * step) as f32);
            }
            (_, 1) => tensor.load(place, out, simd),
            (_, 0) => out.fill(tensor.get(place)),
            _ => out.iter_mut().enumerate().for_each(|(i, v)| *v = tensor.get(place + i * step)),
        }
    }
}

/// Rounds numbers and stores them `step` apart; integers lose their fraction.
///
/// # Safety
/// They must lie in the view, which must be of a [`convertible`] type, and no other task may touch them.
#[inline]
pub(crate) unsafe fn store(tensor: &Tensor, place: usize, step: usize, values: &[f32], simd: &Kernels) {
    // SAFETY: passed on to the caller.
    unsafe {
        match (tensor.dtype, step) {
            (DType::I32, _) => values
                .iter()
                .enumerate()
                .for_each(|(i, v)| tensor.at::<i32>(place + i * step).write_unaligned(*v as i32)),
            (_, 1) => tensor.store(place, values, simd),
            _ => values.iter().enumerate().for_each(|(i, v)| tensor.set(place + i * step, *v)),
        }
    }
}
