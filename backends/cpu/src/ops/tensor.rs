//! Typed access to the host memory behind a view, and to scratch memory.

use crate::num::{bf16_to_f32, f32_to_bf16};
use crate::simd::Kernels;
use omnihal::{DType, MAX_RANK, Mem, View};

/// The memory of a view. Places are counted in elements from element 0; [`Tensor::place`] finds them.
///
/// Tensors are copied into tasks that run on several threads. Every access is `unsafe`: the caller of `Stream::run` promises that
/// the views fit their operator, and a kernel gives each output element to one task.
#[derive(Clone, Copy)]
pub(crate) struct Tensor {
    ptr: *mut u8,
    pub dtype: DType,
    pub strides: [usize; MAX_RANK],
}

// SAFETY: a tensor is an address; each access states why it is free of races.
unsafe impl Send for Tensor {}
// SAFETY: as above.
unsafe impl Sync for Tensor {}

impl Tensor {
    pub(crate) fn new(view: &View) -> Tensor {
        Tensor { ptr: view.addr() as *mut u8, dtype: view.dtype, strides: view.strides }
    }

    /// Place of the element at `index`; trailing axes may be left out.
    #[inline(always)]
    pub(crate) fn place(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.strides).map(|(i, s)| i * s).sum()
    }

    /// Address of a place. The type must be the stored one, or bytes for one-byte types.
    ///
    /// # Safety
    /// The place must lie in the view.
    #[inline(always)]
    pub(crate) unsafe fn at<T>(&self, place: usize) -> *mut T {
        // SAFETY: the caller promises that the place lies in the view, so the address stays in its memory.
        unsafe { self.ptr.cast::<T>().add(place) }
    }

    /// `len` elements from a place, as stored.
    ///
    /// # Safety
    /// They must lie in the view, one after the other, be of type `T` and aligned for it, and not be written while borrowed.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a, T>(&self, place: usize, len: usize) -> &'a [T] {
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts(self.at(place), len) }
    }

    /// `len` elements from a place, for writing.
    ///
    /// # Safety
    /// As for [`Tensor::slice`], and no other task may touch them.
    #[inline(always)]
    pub(crate) unsafe fn slice_mut<'a, T>(&self, place: usize, len: usize) -> &'a mut [T] {
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts_mut(self.at(place), len) }
    }

    /// One number of an F32, BF16 or F16 tensor.
    ///
    /// # Safety
    /// The place must lie in the view.
    #[inline(always)]
    pub(crate) unsafe fn get(&self, place: usize) -> f32 {
        // SAFETY: passed on to the caller; reads need no alignment.
        unsafe {
            match self.dtype {
                DType::BF16 => bf16_to_f32(self.at::<u16>(place).read_unaligned()),
                DType::F16 => half::f16::from_bits(self.at::<u16>(place).read_unaligned()).to_f32(),
                _ => self.at::<f32>(place).read_unaligned(),
            }
        }
    }

    /// Rounds a number to the type of an F32, BF16 or F16 tensor and stores it.
    ///
    /// # Safety
    /// The place must lie in the view, and no other task may touch it.
    #[inline(always)]
    pub(crate) unsafe fn set(&self, place: usize, value: f32) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::BF16 => self.at::<u16>(place).write_unaligned(f32_to_bf16(value)),
                DType::F16 => self.at::<u16>(place).write_unaligned(half::f16::from_f32(value).to_bits()),
                _ => self.at::<f32>(place).write_unaligned(value),
            }
        }
    }

    /// One index of an I32 tensor.
    ///
    /// # Safety
    /// The place must lie in the view.
    #[inline(always)]
    pub(crate) unsafe fn index(&self, place: usize) -> i32 {
        // SAFETY: passed on to the caller.
        unsafe { self.at::<i32>(place).read_unaligned() }
    }

    /// Widens `out.len()` numbers that follow each other.
    ///
    /// # Safety
    /// They must lie in the view.
    #[inline]
    pub(crate) unsafe fn load(&self, place: usize, out: &mut [f32], simd: &Kernels) {
        // SAFETY: passed on to the caller; reads need no alignment.
        unsafe {
            match self.dtype {
                DType::BF16 => (simd.widen)(self.at(place), out.as_mut_ptr(), out.len()),
                DType::F32 => std::ptr::copy_nonoverlapping(
                    self.at::<u8>(0).add(4 * place),
                    out.as_mut_ptr().cast(),
                    4 * out.len(),
                ),
                _ => out.iter_mut().enumerate().for_each(|(i, v)| *v = self.get(place + i)),
            }
        }
    }

    /// Rounds numbers and stores them one after the other.
    ///
    /// # Safety
    /// They must lie in the view, and no other task may touch them.
    #[inline]
    pub(crate) unsafe fn store(&self, place: usize, values: &[f32], simd: &Kernels) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::BF16 => (simd.narrow)(values.as_ptr(), self.at(place), values.len()),
                DType::F32 => std::ptr::copy_nonoverlapping(
                    values.as_ptr().cast(),
                    self.at::<u8>(0).add(4 * place),
                    4 * values.len(),
                ),
                _ => values.iter().enumerate().for_each(|(i, v)| self.set(place + i, *v)),
            }
        }
    }
}

/// An address that tasks on several threads share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub *mut T);

// SAFETY: an address; each access states why it is free of races.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The address; a method, so that closures capture the whole wrapper.
    #[inline(always)]
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}

/// Scratch memory cut into equal parts, such as one a thread.
#[derive(Clone, Copy)]
pub(crate) struct Scratch {
    ptr: Shared<u8>,
    part: usize,
}

/// Parts start at multiples of this many bytes, so that threads share no cache line.
const PART: usize = 64;

impl Scratch {
    /// Bytes to ask for at plan for `parts` parts of `bytes` bytes.
    pub(crate) const fn bytes(parts: usize, bytes: usize) -> usize {
        parts * bytes.next_multiple_of(PART)
    }

    /// Parts of `bytes` bytes from byte `skip` of the workspace, which should be a multiple of 64.
    pub(crate) fn new(workspace: Mem, skip: usize, bytes: usize) -> Scratch {
        Scratch { ptr: Shared((workspace.addr as usize + skip) as *mut u8), part: bytes.next_multiple_of(PART) }
    }

    /// Address of the element at byte `offset` of a part.
    ///
    /// # Safety
    /// The offset must lie in the part, or at its end.
    #[inline(always)]
    pub(crate) unsafe fn at<T>(&self, part: usize, offset: usize) -> *mut T {
        // SAFETY: passed on to the caller.
        unsafe { self.ptr.get().add(part * self.part + offset).cast() }
    }

    /// `len` elements at byte `offset` of a part, for reading.
    ///
    /// # Safety
    /// They must lie in the part, `offset` must be aligned for `T`, and nobody may write them while borrowed.
    #[inline(always)]
    pub(crate) unsafe fn read<'a, T>(&self, part: usize, offset: usize, len: usize) -> &'a [T] {
        // SAFETY: passed on to the caller; the workspace is 64-byte aligned, and so is each part.
        unsafe { std::slice::from_raw_parts(self.at(part, offset), len) }
    }

    /// `len` elements at byte `offset` of a part.
    ///
    /// # Safety
    /// They must lie in the part, `offset` must be aligned for `T`, and no other borrow of them may be alive.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a, T>(&self, part: usize, offset: usize, len: usize) -> &'a mut [T] {
        // SAFETY: passed on to the caller; the workspace is 64-byte aligned, and so is each part.
        unsafe { std::slice::from_raw_parts_mut(self.at(part, offset), len) }
    }
}
