//! Whether two tensors share an element. Bytes are counted in 128 bits, so that no field of a view can overflow.

use omnihal::{Layout, Mem, View};

/// A set of bit addresses: `start + sum(i_k * stride_k) + [0, unit)`.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    start: u128,
    unit: u128,
    /// Count and stride in bits of each axis that is longer than 1.
    axes: Vec<(u128, u128)>,
}

impl Lattice {
    /// The elements of a view; for a private layout, all of its memory.
    pub(super) fn of(view: &View) -> Lattice {
        if let Layout::Vendor(_) = view.layout {
            return Lattice::bytes(view.mem);
        }
        let bits = view.dtype.bits() as u128;
        let axes = (0..view.shape.rank())
            .filter(|&axis| view.shape[axis] > 1)
            .map(|axis| (view.shape[axis] as u128, view.strides[axis] as u128 * bits))
            .collect();
        Lattice { start: (u128::from(view.mem.addr) + view.offset as u128) * 8, unit: bits, axes }
    }

    /// A range of bytes.
    pub(super) fn bytes(mem: Mem) -> Lattice {
        Lattice { start: u128::from(mem.addr) * 8, unit: mem.len as u128 * 8, axes: Vec::new() }
    }

    /// Length in bits from the first to the last element, over the axes that `keep` accepts.
    fn extent(&self, keep: impl Fn(u128) -> bool) -> u128 {
        let spread = |&(count, stride): &(u128, u128)| (count - 1).saturating_mul(stride);
        let axes = self.axes.iter().filter(|axis| keep(axis.1)).map(spread);
        axes.fold(self.unit, u128::saturating_add)
    }

    /// First byte, and one past the last.
    pub(super) fn byte_range(&self) -> (u128, u128) {
        (self.start / 8, self.start.saturating_add(self.extent(|_| true)).div_ceil(8))
    }

    /// True if no element is reached twice. Shapes that interleave axes in unusual ways count as reaching one twice.
    pub(super) fn is_injective(&self) -> bool {
        let mut axes = self.axes.clone();
        axes.sort_unstable_by_key(|axis| axis.1);
        let mut reach = self.unit;
        axes.iter().all(|&(count, stride)| {
            let apart = stride >= reach;
            reach = reach.saturating_add((count - 1).saturating_mul(stride));
            apart
        })
    }
}

/// True unless the two are proved to share no element: by their ranges, or by lying in different columns of a common pitch.
pub(super) fn overlap(a: &Lattice, b: &Lattice) -> bool {
    let (a_range, b_range) = (a.byte_range(), b.byte_range());
    if a.unit == 0 || b.unit == 0 || a_range.1 <= b_range.0 || b_range.1 <= a_range.0 {
        return false;
    }
    let pitches = a.axes.iter().chain(&b.axes).map(|axis| axis.1).filter(|pitch| *pitch > 0);
    !pitches.into_iter().any(|pitch| in_different_columns(a, b, pitch))
}

/// Reduces both modulo `pitch`: axes that step by whole pitches vanish, and what remains are two intervals on a circle.
fn in_different_columns(a: &Lattice, b: &Lattice, pitch: u128) -> bool {
    let width = |lattice: &Lattice| lattice.extent(|stride| stride % pitch != 0);
    let (a_width, b_width) = (width(a), width(b));
    let gap = (b.start % pitch + pitch - a.start % pitch) % pitch;
    a_width <= gap && gap.saturating_add(b_width) <= pitch
}

/// True if two ranges share a byte.
pub(super) fn bytes_overlap(a: Mem, b: Mem) -> bool {
    overlap(&Lattice::bytes(a), &Lattice::bytes(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::{DType, Shape};

    fn tensor(dims: &[usize]) -> View {
        let shape = Shape::new(dims);
        View::contiguous(Mem { addr: 4096, len: shape.elements() * 2 }, DType::BF16, shape).unwrap()
    }

    fn share(a: &View, b: &View) -> bool {
        let (a, b) = (Lattice::of(a), Lattice::of(b));
        assert_eq!(overlap(&a, &b), overlap(&b, &a));
        overlap(&a, &b)
    }

    #[test]
    fn columns_of_one_tensor_share_nothing_until_they_meet() {
        let whole = tensor(&[5, 12]);
        let part = |start, len| whole.slice(1, start, len).unwrap();
        assert!(!share(&part(0, 4), &part(4, 8)));
        assert!(share(&part(0, 5), &part(4, 8)));
        assert!(share(&whole, &part(11, 1)));
    }

    #[test]
    fn channels_inside_heads_are_told_apart() {
        let whole = tensor(&[3, 4, 16]);
        let (nope, rope) = (whole.slice(2, 0, 12).unwrap(), whole.slice(2, 12, 4).unwrap());
        assert!(!share(&nope, &rope));
        assert!(share(&nope, &whole.slice(2, 11, 1).unwrap()));
        assert!(!share(&whole.slice(1, 0, 2).unwrap(), &whole.slice(1, 2, 2).unwrap()));
    }

    #[test]
    fn rows_that_follow_each_other_share_nothing() {
        let whole = tensor(&[6, 4]);
        assert!(!share(&whole.slice(0, 0, 3).unwrap(), &whole.slice(0, 3, 3).unwrap()));
        assert!(share(&whole.slice(0, 0, 4).unwrap(), &whole.slice(0, 3, 3).unwrap()));
    }

    #[test]
    fn a_repeated_axis_reaches_elements_twice_and_a_permuted_one_does_not() {
        let whole = tensor(&[3, 1, 4]);
        assert!(!Lattice::of(&whole.expand(1, 5).unwrap()).is_injective());
        assert!(Lattice::of(&whole.swap(0, 2).unwrap()).is_injective());
    }

    #[test]
    fn absurd_strides_neither_panic_nor_pass() {
        let mut view = tensor(&[6, 4]);
        view.strides = [usize::MAX; 6];
        view.offset = usize::MAX;
        assert!(Lattice::of(&view).byte_range().1 > u128::from(u64::MAX));
        assert!(!share(&view, &tensor(&[6, 4])));
    }
}
