//! Walking several tensors of any strides together: axes that follow each other in all of them count as one, and the last one is cut into units or runs.

use crate::params::{Dims, Ptr, Strided};
use omnihal::{DType, MAX_RANK, Shape, View};

/// Elements of a run, as `kernels/runs.cuh` has it.
pub(crate) const RUN: usize = 8;

/// Bytes of the widest load.
const VECTOR: u64 = 16;

/// Threads of a block in all kernels that map element by element.
pub(crate) const THREADS: u32 = 256;

/// Units that a thread moves at most, as `MOVES` in `kernels/copy.cu`.
const MOVES: u64 = 4;

/// Moves below which every thread gets one, so that small copies spread over the device.
const SMALL: u64 = 1 << 18;

/// Blocks for one thread each of `count`.
pub(crate) fn blocks(count: u64) -> u32 {
    count.div_ceil(THREADS as u64) as u32
}

/// Units that a thread moves, and the blocks for all of them.
pub(crate) fn moves(count: u64) -> (i32, u32) {
    let each = if count < SMALL { 1 } else { MOVES };
    (each as i32, count.div_ceil(THREADS as u64 * each) as u32)
}

/// The widest unit of at most 16 bytes that divides all of `bytes`.
pub(crate) fn widest(bytes: impl Iterator<Item = u64>) -> usize {
    1 << bytes.fold(VECTOR, |all, b| all | b).trailing_zeros()
}

/// True if runs of eight along the last axis may be read and written with vector accesses.
pub(crate) fn aligned(view: &View) -> bool {
    let rank = view.shape.rank();
    let outer = (0..rank.saturating_sub(1)).filter(|&axis| view.shape[axis] != 1);
    let bytes = |elements: usize| (elements * view.dtype.bits() / 8) as u64;
    let together = rank == 0 || view.shape[rank - 1] == 1 || view.strides[rank - 1] == 1;
    together && outer.fold(view.addr(), |all, axis| all | bytes(view.strides[axis])).is_multiple_of(VECTOR)
}

/// The common axes of `N` tensors.
pub(crate) struct Walk<const N: usize> {
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; N]; MAX_RANK],
    /// Address and type of each tensor that is there.
    tensors: [Option<(Ptr, DType)>; N],
    /// Elements of a run or unit.
    step: usize,
}

impl<const N: usize> Walk<N> {
    /// Tensors that are not there stay at place 0; dimensions of 1 repeat.
    pub(crate) fn new(shape: &Shape, views: [Option<&View>; N]) -> Walk<N> {
        let tensors = views.map(|view| view.map(|view| (view.into(), view.dtype)));
        let mut walk = Walk { rank: 0, dims: [1; MAX_RANK], strides: [[0; N]; MAX_RANK], tensors, step: 1 };
        for axis in 0..shape.rank() {
            let stride = |view: Option<&View>| match view {
                Some(view) if view.shape[axis] != 1 => view.strides[axis],
                _ => 0,
            };
            walk.push(shape[axis], views.map(stride));
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

    /// Length of the last axis in elements.
    pub(crate) fn inner(&self) -> usize {
        self.rank.checked_sub(1).map_or(1, |last| self.dims[last])
    }

    fn last(&self) -> [usize; N] {
        self.rank.checked_sub(1).map_or([1; N], |last| self.strides[last])
    }

    /// Bytes that a unit must divide so that a tensor can be read in it: its address and its gaps.
    fn gaps(&self, i: usize) -> impl Iterator<Item = u64> + '_ {
        let (address, dtype) = self.tensors[i].map_or((0, DType::U8), |(at, dtype)| (at.0, dtype));
        let outer = self.strides[..self.rank.saturating_sub(1)].iter();
        outer.map(move |s| (s[i] * dtype.bits() / 8) as u64).chain([address])
    }

    /// Cuts the last axis into runs of eight if vectors can read them: true if so. A tensor that repeats along it is read once a run.
    pub(crate) fn runs(&mut self, repeats: bool) -> bool {
        let readable = |i: usize| match (self.tensors[i], self.last()[i]) {
            (None, _) => true,
            (_, 1) => self.gaps(i).all(|bytes| bytes.is_multiple_of(VECTOR)),
            (_, step) => repeats && step == 0,
        };
        if self.inner() < RUN || !(0..N).all(readable) {
            return false;
        }
        self.step = RUN;
        true
    }

    /// Cuts the last axis into the widest units of bytes for moving elements of `size` bytes, and gives the bytes of one.
    pub(crate) fn units(&mut self, size: usize) -> usize {
        if self.rank > 0 && self.last() != [1; N] {
            return size;
        }
        let gaps = (0..N).flat_map(|i| self.gaps(i)).chain([(self.inner() * size) as u64]);
        let unit = widest(gaps).max(size);
        self.step = unit / size;
        unit
    }

    /// Runs, units or elements in all.
    pub(crate) fn count(&self) -> u64 {
        let outer: usize = self.dims[..self.rank.saturating_sub(1)].iter().product();
        (outer * self.inner().div_ceil(self.step)) as u64
    }

    /// The common dimensions, the last in runs or units.
    pub(crate) fn dims(&self) -> Dims {
        let mut dims = self.dims;
        if let Some(last) = self.rank.checked_sub(1) {
            dims[last] = dims[last].div_ceil(self.step);
        }
        Dims::new(&dims[..self.rank])
    }

    /// Tensor `i` along the common axes: strides in elements for runs.
    pub(crate) fn elements(&self, i: usize) -> Strided {
        self.strided(i, 1, self.step)
    }

    /// Tensor `i` along the common axes: strides in units.
    pub(crate) fn in_units(&self, i: usize) -> Strided {
        self.strided(i, self.step, 1)
    }

    fn strided(&self, i: usize, by: usize, last: usize) -> Strided {
        let mut s = [0i64; MAX_RANK];
        let to = &mut s[MAX_RANK - self.rank..];
        for (axis, (s, strides)) in to.iter_mut().zip(&self.strides).enumerate() {
            let inner = axis + 1 == self.rank;
            *s = (if inner { strides[i] * last } else { strides[i] / by }) as i64;
        }
        let (data, dtype) = self.tensors[i].unwrap_or((Ptr(0), DType::F32));
        let [s0, s1, s2, s3, s4, s5] = s;
        Strided { data, dtype: dtype as i32, reserved: 0, s0, s1, s2, s3, s4, s5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::Mem;

    fn view(dtype: DType, shape: &[usize], strides: &[usize], offset: usize) -> View {
        let mem = Mem { addr: 256, len: 1 << 20 };
        let mut view = View::contiguous(mem, dtype, Shape::new(shape)).unwrap();
        view.offset = offset;
        view.strides[..strides.len()].copy_from_slice(strides);
        view
    }

    #[test]
    fn adjacent_axes_become_one_and_are_moved_in_the_widest_unit() {
        let (x, y) = (view(DType::BF16, &[6, 8], &[8, 1], 0), view(DType::BF16, &[6, 8], &[8, 1], 32));
        let mut walk = Walk::new(&x.shape, [Some(&x), Some(&y)]);
        assert_eq!((walk.units(2), walk.count(), walk.dims().d5), (16, 6, 6));
        let mut shifted = Walk::new(&x.shape, [Some(&x), Some(&view(DType::BF16, &[6, 8], &[8, 1], 2))]);
        assert_eq!((shifted.units(2), shifted.count()), (2, 48));
    }

    #[test]
    fn rows_with_gaps_are_moved_in_units_that_divide_the_gaps() {
        let (x, y) = (view(DType::F32, &[6, 8], &[10, 1], 0), view(DType::F32, &[6, 8], &[12, 1], 0));
        let mut walk = Walk::new(&x.shape, [Some(&x), Some(&y)]);
        assert_eq!((walk.units(4), walk.count()), (8, 24));
        let (a, b) = (walk.in_units(0), walk.in_units(1));
        assert_eq!((a.s4, a.s5, b.s4, b.s5), (5, 1, 6, 1));
    }

    #[test]
    fn permuted_and_repeated_tensors_are_walked_element_by_element() {
        let (x, y) = (view(DType::F32, &[4, 16], &[1, 4], 0), view(DType::F32, &[4, 16], &[16, 1], 0));
        let mut walk = Walk::new(&x.shape, [Some(&x), Some(&y)]);
        assert_eq!((walk.units(4), walk.count(), walk.in_units(0).s4, walk.in_units(0).s5), (4, 64, 1, 4));
        let repeated = view(DType::F32, &[4, 16], &[1, 0], 0);
        let mut walk = Walk::new(&x.shape, [Some(&repeated), Some(&y)]);
        assert!(!walk.runs(false) && walk.runs(true));
        assert_eq!((walk.count(), walk.elements(0).s5, walk.elements(1).s5), (8, 0, 8));
    }

    #[test]
    fn a_run_needs_rows_that_start_at_multiples_of_16_bytes() {
        let whole = view(DType::BF16, &[3, 20], &[24, 1], 0);
        let mut walk = Walk::new(&whole.shape, [Some(&whole)]);
        assert!(walk.runs(false) && aligned(&whole));
        assert_eq!((walk.count(), walk.dims().d5), (9, 3));
        let odd = view(DType::BF16, &[3, 20], &[20, 1], 0);
        assert!(!aligned(&odd));
        // Without gaps it is one long axis.
        assert!(Walk::new(&odd.shape, [Some(&odd)]).runs(false));
        assert!(!aligned(&view(DType::BF16, &[3, 24], &[24, 1], 8)));
    }
}
