//! Tensors as plain data: where the bytes are, and how to read them.

use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest rank of a tensor.
pub const MAX_RANK: usize = 6;

/// The dimensions of a tensor, outermost first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// A shape from its dimensions. More than [`MAX_RANK`] of them is a programming error and panics.
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "rank {} exceeds {MAX_RANK}", dims.len());
        let mut all = [1; MAX_RANK];
        all[..dims.len()].copy_from_slice(dims);
        Shape { rank: dims.len() as u8, dims: all }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank()]
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }

    /// Strides in elements of a contiguous tensor of this shape.
    pub fn contiguous_strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self.dims[axis];
        }
        strides
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape::new(&dims)
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;
    fn index(&self, axis: usize) -> &usize {
        &self.dims()[axis]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.dims(), f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.dims(), f)
    }
}

/// A range of device memory, as plain data. The address is the device's own: a host may read it only where the device says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mem {
    /// Device address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub len: usize,
}

impl Mem {
    /// The part of `bytes` bytes that starts `offset` bytes in.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<Mem> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.len => Ok(Mem { addr: self.addr + offset as u64, len: bytes }),
            _ => Err(Error::argument(format!("range {offset}+{bytes} is outside a buffer of {} bytes", self.len))),
        }
    }
}

/// How the bytes of a tensor are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Layout {
    /// Elements at `offset + sum(index * stride)`.
    #[default]
    Strided,
    /// A backend's private weight layout, made by `Device::repack`. Only that backend can read it.
    Vendor(u32),
}

/// How the values of a weight are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WeightFormat {
    /// One number an element.
    Plain(DType),
    /// Codes with one scale for each block of `rows x cols` codes.
    Blocked {
        /// Type of a code: `F8E4M3` or `F4E2M1X2`.
        data: DType,
        /// Type of a scale: `E8M0` or `F32`.
        scale: DType,
        /// Rows and columns that share a scale: (128, 128), (1, 128) or (1, 32).
        block: (usize, usize),
    },
}

impl WeightFormat {
    /// FP8 codes with a power-of-two scale for each 128 x 128 block: the released linears (deepseek-v4.md 2.1).
    pub const FP8_BLOCK: WeightFormat =
        WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::E8M0, block: (128, 128) };
    /// Packed FP4 codes with a power-of-two scale for 32 columns of a row: the released experts.
    pub const FP4_ROW: WeightFormat =
        WeightFormat::Blocked { data: DType::F4E2M1X2, scale: DType::E8M0, block: (1, 32) };

    /// Type of a stored element.
    pub fn dtype(&self) -> DType {
        match self {
            WeightFormat::Plain(dtype) => *dtype,
            WeightFormat::Blocked { data, .. } => *data,
        }
    }

    /// True when values are codes times scales.
    pub fn is_quantised(&self) -> bool {
        matches!(self, WeightFormat::Blocked { .. })
    }

    /// Shape of the scale tensor of a weight `[.., rows, cols]`; `None` for plain formats.
    pub fn scale_shape(&self, shape: &Shape) -> Option<Shape> {
        let WeightFormat::Blocked { block, .. } = self else { return None };
        let mut dims = [1; MAX_RANK];
        let rank = shape.rank();
        dims[..rank].copy_from_slice(shape.dims());
        dims[rank - 2] = dims[rank - 2].div_ceil(block.0);
        dims[rank - 1] = dims[rank - 1].div_ceil(block.1);
        Some(Shape::new(&dims[..rank]))
    }

    /// Bytes that a contiguous weight of `shape` takes: codes and scales.
    pub fn bytes(&self, shape: &Shape) -> usize {
        let data = self.dtype().bytes(shape.elements());
        let scale = match (self, self.scale_shape(shape)) {
            (WeightFormat::Blocked { scale, .. }, Some(s)) => scale.bytes(s.elements()),
            _ => 0,
        };
        data + scale
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightFormat::Plain(dtype) => write!(f, "{dtype}"),
            WeightFormat::Blocked { data, scale, block } => write!(f, "{data}x{scale}/{}x{}", block.0, block.1),
        }
    }
}

/// The scales of a quantised tensor: same rank as its data, one scale a block, contiguous.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// Memory of the scales.
    pub mem: Mem,
    /// `E8M0` or `F32`.
    pub dtype: DType,
    /// Rows and columns of data that share a scale.
    pub block: (usize, usize),
    /// Shape of the scale tensor.
    pub shape: Shape,
}

/// A tensor: plain data, copied freely, owns nothing. Whoever made it keeps the memory alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The memory it lies in. Element 0 is at `mem.addr + offset`.
    pub mem: Mem,
    /// Bytes from the start of `mem` to element 0.
    pub offset: usize,
    /// Element type.
    pub dtype: DType,
    /// Dimensions in logical elements.
    pub shape: Shape,
    /// Distance in logical elements between neighbours along each axis. 0 repeats an input.
    pub strides: [usize; MAX_RANK],
    /// How the bytes are arranged.
    pub layout: Layout,
    /// Scales, if the elements are codes.
    pub quant: Option<Quant>,
}

impl View {
    /// A contiguous view of the start of `mem`.
    pub fn contiguous(mem: Mem, dtype: DType, shape: impl Into<Shape>) -> Result<View> {
        let shape = shape.into();
        let view = View {
            mem,
            offset: 0,
            dtype,
            strides: shape.contiguous_strides(),
            shape,
            layout: Layout::Strided,
            quant: None,
        };
        view.check_bounds()?;
        Ok(view)
    }

    /// Address of element 0.
    pub fn addr(&self) -> u64 {
        self.mem.addr + self.offset as u64
    }

    /// Dimension `axis`.
    pub fn dim(&self, axis: usize) -> usize {
        self.shape[axis]
    }

    /// Number of logical elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// True when the elements follow each other without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for axis in (0..self.shape.rank()).rev() {
            if self.shape[axis] != 1 && self.strides[axis] != step {
                return false;
            }
            step *= self.shape[axis];
        }
        true
    }

    /// Index of the last element that the view reaches, plus one.
    fn extent(&self) -> Option<usize> {
        if self.elements() == 0 {
            return Some(0);
        }
        let mut last = 0usize;
        for axis in 0..self.shape.rank() {
            last = last.checked_add((self.shape[axis] - 1).checked_mul(self.strides[axis])?)?;
        }
        last.checked_add(1)
    }

    /// Bytes from element 0 to the end of the last element that the view reaches.
    pub fn extent_bytes(&self) -> usize {
        self.extent().and_then(|n| self.dtype.checked_bytes(n)).unwrap_or(usize::MAX)
    }

    /// Fails if any element lies outside the memory of the view.
    pub fn check_bounds(&self) -> Result<()> {
        if let Layout::Vendor(_) = self.layout {
            return Ok(());
        }
        let fits = self
            .extent()
            .and_then(|n| self.offset.checked_add(self.dtype.checked_bytes(n)?))
            .is_some_and(|end| end <= self.mem.len);
        if fits {
            return Ok(());
        }
        Err(Error::argument(format!(
            "view {} {:?} at byte {} does not fit its buffer of {} bytes",
            self.dtype, self.shape, self.offset, self.mem.len
        )))
    }

    /// The part `start..start+len` of one axis.
    pub fn slice(&self, axis: usize, start: usize, len: usize) -> Result<View> {
        if axis >= self.shape.rank() || start.checked_add(len).is_none_or(|end| end > self.shape[axis]) {
            return Err(Error::argument(format!("slice {start}+{len} of axis {axis} is outside {:?}", self.shape)));
        }
        let skip = start * self.strides[axis];
        if (skip * self.dtype.bits()) % 8 != 0 || self.quant.is_some() {
            return Err(Error::argument(format!("a {} view cannot be cut at element {skip}", self.dtype)));
        }
        let mut view = *self;
        view.offset += self.dtype.bytes(skip);
        view.shape.dims[axis] = len;
        Ok(view)
    }

    /// Splits `axis` into `outer` blocks of `inner` elements.
    pub fn split(&self, axis: usize, outer: usize, inner: usize) -> Result<View> {
        if axis >= self.shape.rank() || outer * inner != self.shape[axis] || self.shape.rank() == MAX_RANK {
            return Err(Error::argument(format!(
                "axis {axis} of {:?} does not split into {outer} x {inner}",
                self.shape
            )));
        }
        let (mut dims, mut strides) = (self.shape.dims, self.strides);
        dims.copy_within(axis..MAX_RANK - 1, axis + 1);
        strides.copy_within(axis..MAX_RANK - 1, axis + 1);
        (dims[axis], dims[axis + 1]) = (outer, inner);
        (strides[axis], strides[axis + 1]) = (self.strides[axis] * inner, self.strides[axis]);
        Ok(View { shape: Shape { rank: self.shape.rank + 1, dims }, strides, ..*self })
    }

    /// Joins `axis` and the next one, which must follow each other without gaps.
    pub fn merge(&self, axis: usize) -> Result<View> {
        let rank = self.shape.rank();
        if axis + 1 >= rank {
            return Err(Error::argument(format!("{:?} has no axis {} to merge", self.shape, axis + 1)));
        }
        let (outer, inner) = (self.shape[axis], self.shape[axis + 1]);
        let stride = match (outer, inner) {
            (_, 1) => self.strides[axis],
            (1, _) => self.strides[axis + 1],
            _ if self.strides[axis] == inner * self.strides[axis + 1] => self.strides[axis + 1],
            _ => {
                return Err(Error::argument(format!(
                    "axes {axis} and {} of {:?} are not adjacent in memory",
                    axis + 1,
                    self.shape
                )));
            }
        };
        let (mut dims, mut strides) = (self.shape.dims, self.strides);
        dims.copy_within(axis + 2..MAX_RANK, axis + 1);
        strides.copy_within(axis + 2..MAX_RANK, axis + 1);
        (dims[axis], strides[axis]) = (outer * inner, stride);
        dims[rank - 1] = 1;
        Ok(View { shape: Shape { rank: self.shape.rank - 1, dims }, strides, ..*self })
    }

    /// Swaps two axes.
    pub fn swap(&self, a: usize, b: usize) -> Result<View> {
        if a.max(b) >= self.shape.rank() {
            return Err(Error::argument(format!("axes {a} and {b} are not both in {:?}", self.shape)));
        }
        let mut view = *self;
        view.shape.dims.swap(a, b);
        view.strides.swap(a, b);
        Ok(view)
    }

    /// Inserts an axis of length 1 before `axis`.
    pub fn unsqueeze(&self, axis: usize) -> Result<View> {
        let rank = self.shape.rank();
        if axis > rank || rank == MAX_RANK {
            return Err(Error::argument(format!("no axis can be put before axis {axis} of {:?}", self.shape)));
        }
        let (mut dims, mut strides) = (self.shape.dims, self.strides);
        dims.copy_within(axis..MAX_RANK - 1, axis + 1);
        strides.copy_within(axis..MAX_RANK - 1, axis + 1);
        (dims[axis], strides[axis]) = (1, 0);
        Ok(View { shape: Shape { rank: self.shape.rank + 1, dims }, strides, ..*self })
    }

    /// Repeats an axis of length 1. Only copies may read such a view.
    pub fn expand(&self, axis: usize, len: usize) -> Result<View> {
        if axis >= self.shape.rank() || self.shape[axis] != 1 {
            return Err(Error::argument(format!("axis {axis} of {:?} is not of length 1", self.shape)));
        }
        let mut view = *self;
        view.shape.dims[axis] = len;
        view.strides[axis] = 0;
        Ok(view)
    }

    /// How the values are stored: the format that a weight argument must have.
    pub fn format(&self) -> WeightFormat {
        match &self.quant {
            None => WeightFormat::Plain(self.dtype),
            Some(q) => WeightFormat::Blocked { data: self.dtype, scale: q.dtype, block: q.block },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(dims: &[usize]) -> View {
        let shape = Shape::new(dims);
        View::contiguous(Mem { addr: 0, len: shape.elements() * 4 }, DType::F32, shape).unwrap()
    }

    #[test]
    fn slicing_moves_the_offset_and_keeps_strides() {
        let v = view(&[3, 8]).slice(1, 2, 4).unwrap();
        assert_eq!((v.offset, v.shape, v.strides[0]), (8, Shape::from([3, 4]), 8));
        assert!(!v.is_contiguous());
        assert!(view(&[3, 8]).slice(1, 6, 4).is_err());
    }

    #[test]
    fn split_then_merge_is_the_identity() {
        let v = view(&[3, 8]);
        assert_eq!(v.split(1, 2, 4).unwrap().merge(1).unwrap(), v);
        assert!(v.slice(1, 0, 4).unwrap().merge(0).is_err());
    }

    #[test]
    fn a_view_past_its_buffer_is_refused() {
        let short = Mem { addr: 0, len: 95 };
        assert!(View::contiguous(short, DType::F32, [3, 8]).is_err());
    }

    #[test]
    fn a_stride_past_the_address_space_is_refused() {
        let mut v = view(&[3, 8]);
        v.strides[0] = 1 << 60;
        assert!(v.check_bounds().is_err());
    }

    #[test]
    fn packed_elements_are_cut_only_at_whole_bytes() {
        let v = View::contiguous(Mem { addr: 0, len: 8 }, DType::F4E2M1X2, [2, 8]).unwrap();
        assert!(v.slice(1, 1, 2).is_err());
        assert_eq!(v.slice(1, 2, 2).unwrap().offset, 1);
    }
}
