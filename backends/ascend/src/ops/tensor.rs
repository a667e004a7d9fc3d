//! Views as the vendor wants them: a base address aligned to 32, and offset and strides in elements.

use crate::sys::constants::aclDataType;
use omnihal::{DType, Error, Result, View};

/// More axes than any operator of the catalogue needs, and what the vendor takes.
const MOST_AXES: usize = 8;
/// What the vendor wants of the address of a tensor.
const BASE: u64 = 32;

/// A strided view over device memory. Plain data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensor {
    base: u64,
    offset: usize,
    kind: aclDataType,
    rank: usize,
    dims: [usize; MOST_AXES],
    strides: [usize; MOST_AXES],
}

/// The vendor's name of an element type.
pub(crate) fn kind(dtype: DType) -> Result<aclDataType> {
    Ok(match dtype {
        DType::F32 => aclDataType::ACL_FLOAT,
        DType::F16 => aclDataType::ACL_FLOAT16,
        DType::BF16 => aclDataType::ACL_BF16,
        DType::I8 => aclDataType::ACL_INT8,
        // Codes are moved as bytes: older chips have no type for them.
        DType::U8 | DType::F8E4M3 | DType::F8E5M2 | DType::E8M0 => aclDataType::ACL_UINT8,
        DType::I32 => aclDataType::ACL_INT32,
        // Moved as bits, like all types; the older operators lack unsigned words.
        DType::U32 => aclDataType::ACL_INT32,
        DType::I64 => aclDataType::ACL_INT64,
        DType::BOOL => aclDataType::ACL_BOOL,
        DType::F4E2M1X2 => {
            return Err(Error::unsupported("packed 4-bit elements are read as bytes: expand them first"));
        }
    })
}

/// Bytes of an element of the types that this backend names.
pub(crate) fn width(kind: aclDataType) -> usize {
    match kind {
        aclDataType::ACL_FLOAT | aclDataType::ACL_INT32 => 4,
        aclDataType::ACL_FLOAT16 | aclDataType::ACL_BF16 => 2,
        aclDataType::ACL_INT64 => 8,
        _ => 1,
    }
}

fn packed(dims: &[usize]) -> [usize; MOST_AXES] {
    let (mut strides, mut step) = ([0; MOST_AXES], 1);
    for axis in (0..dims.len()).rev() {
        strides[axis] = step;
        step *= dims[axis];
    }
    strides
}

impl Tensor {
    /// A contiguous tensor that starts at an address.
    pub(crate) fn at(addr: u64, kind: aclDataType, dims: &[usize]) -> Self {
        let mut all = [1; MOST_AXES];
        all[..dims.len()].copy_from_slice(dims);
        let base = addr / BASE * BASE;
        let offset = (addr - base) as usize / width(kind);
        Tensor { base, offset, kind, rank: dims.len(), dims: all, strides: packed(dims) }
    }

    /// A view of an argument.
    pub(crate) fn of(view: &View) -> Result<Self> {
        let mut tensor = Tensor::at(view.addr(), kind(view.dtype)?, view.shape.dims());
        tensor.strides[..view.shape.rank()].copy_from_slice(&view.strides[..view.shape.rank()]);
        Ok(tensor)
    }

    /// A view of packed 4-bit codes as bytes, two codes each.
    pub(crate) fn of_packed(view: &View) -> Self {
        let rank = view.shape.rank();
        let mut dims = view.shape.dims().to_vec();
        dims[rank - 1] = dims[rank - 1].div_ceil(2);
        let mut tensor = Tensor::at(view.addr(), aclDataType::ACL_UINT8, &dims);
        for axis in 0..rank - 1 {
            tensor.strides[axis] = view.strides[axis] / 2;
        }
        tensor
    }

    pub(crate) fn kind(&self) -> aclDataType {
        self.kind
    }

    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    pub(crate) fn strides(&self) -> &[usize] {
        &self.strides[..self.rank]
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn elements(&self) -> usize {
        self.dims().iter().product()
    }

    /// Elements from the base to behind the last that the view reaches.
    pub(crate) fn storage(&self) -> usize {
        self.offset + self.dims().iter().zip(self.strides()).map(|(&n, &s)| (n - 1) * s).sum::<usize>() + 1
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.dims().iter().zip(self.strides()).rev().all(|(&n, &s)| {
            let fits = n == 1 || s == step;
            step *= n;
            fits
        })
    }

    /// True if some axis repeats its elements.
    pub(crate) fn repeats(&self) -> bool {
        self.dims().iter().zip(self.strides()).any(|(&n, &s)| n > 1 && s == 0)
    }

    /// True if the ranges that two views reach share a byte.
    pub(crate) fn meets(&self, other: &Tensor) -> bool {
        let range = |t: &Tensor| {
            let w = width(t.kind);
            (t.base + (t.offset * w) as u64, t.base + (t.storage() * w) as u64)
        };
        let ((a, a_end), (b, b_end)) = (range(self), range(other));
        a < b_end && b < a_end
    }

    /// Other dimensions of a contiguous tensor.
    pub(crate) fn reshape(mut self, dims: &[usize]) -> Self {
        debug_assert!(self.is_contiguous() && self.elements() == dims.iter().product::<usize>());
        self.dims = [1; MOST_AXES];
        self.dims[..dims.len()].copy_from_slice(dims);
        self.strides = packed(dims);
        self.rank = dims.len();
        self
    }

    /// Part of an axis.
    pub(crate) fn slice(mut self, axis: usize, from: usize, len: usize) -> Self {
        self.offset += from * self.strides[axis];
        self.dims[axis] = len;
        self
    }

    /// Every `step`th element of the last axis, from one on.
    pub(crate) fn every(mut self, step: usize, from: usize) -> Self {
        let axis = self.rank - 1;
        self.offset += from * self.strides[axis];
        self.dims[axis] /= step;
        self.strides[axis] *= step;
        self
    }

    /// Two axes exchanged.
    pub(crate) fn exchanged(mut self, a: usize, b: usize) -> Self {
        self.dims.swap(a, b);
        self.strides.swap(a, b);
        self
    }

    /// Without the first axis, which has length 1.
    pub(crate) fn without_first(mut self) -> Self {
        self.rank -= 1;
        self.dims.copy_within(1.., 0);
        self.strides.copy_within(1.., 0);
        self
    }

    /// With an axis of length 1 put in.
    pub(crate) fn with_axis(mut self, axis: usize) -> Self {
        for i in (axis..self.rank).rev() {
            self.dims[i + 1] = self.dims[i];
            self.strides[i + 1] = self.strides[i];
        }
        (self.dims[axis], self.strides[axis]) = (1, 0);
        self.rank += 1;
        self
    }

    /// Repeated axes as axes of length 1, which the vendor broadcasts.
    pub(crate) fn folded(mut self) -> Self {
        for axis in 0..self.rank {
            if self.strides[axis] == 0 {
                self.dims[axis] = 1;
            }
        }
        self
    }

    /// The same bits as elements of another type of the same width.
    pub(crate) fn bits(mut self, kind: aclDataType) -> Self {
        debug_assert_eq!(width(self.kind), width(kind));
        self.kind = kind;
        self
    }
}
