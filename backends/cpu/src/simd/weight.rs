//! Weights as stored, as the product kernels see them.

use super::LANES;
use crate::num::{E2M1, E4M3, bf16_to_f32, e8m0_to_f32};

/// Type of the stored elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    F32,
    BF16,
    F8E4M3,
    F4E2M1,
}

impl Code {
    /// Factor that turns the numbers of [`Code::widen`] into the true ones. A power of two, applied once to a finished sum.
    ///
    /// E4M3 codes widen fastest as the upper bits of a half-precision number, which is 2^-8 of the value; E2M1 codes as small integers,
    /// twice the value.
    pub(crate) fn post(self) -> f32 {
        match self {
            Code::F32 | Code::BF16 => 1.0,
            Code::F8E4M3 => 256.0,
            Code::F4E2M1 => 0.5,
        }
    }

    /// Whether [`Kernels::dots`] takes each [`LANES`] activations as [`arrange`] puts them: even ones, then odd ones. Codes narrower than
    /// F32 lie two to a machine word, and are widened fastest in that order.
    ///
    /// [`Kernels::dots`]: super::Kernels::dots
    pub(crate) fn arranged(self) -> bool {
        self != Code::F32
    }

    /// Bytes of `len` elements.
    pub(crate) fn bytes(self, len: usize) -> usize {
        match self {
            Code::F32 => 4 * len,
            Code::BF16 => 2 * len,
            Code::F8E4M3 => len,
            Code::F4E2M1 => len / 2,
        }
    }

    /// Element `k` of a row, times `1 / post`.
    ///
    /// # Safety
    /// The row must hold it.
    #[inline(always)]
    unsafe fn widen(self, row: *const u8, k: usize) -> f32 {
        // SAFETY: passed on to the caller; reads need no alignment.
        unsafe {
            match self {
                Code::F32 => row.cast::<f32>().add(k).read_unaligned(),
                Code::BF16 => bf16_to_f32(row.cast::<u16>().add(k).read_unaligned()),
                Code::F8E4M3 => E4M3[*row.add(k) as usize] * (1.0 / 256.0),
                Code::F4E2M1 => E2M1[((*row.add(k / 2) >> (4 * (k % 2))) & 15) as usize] * 2.0,
            }
        }
    }
}

/// Moves the even elements of each [`LANES`] to the front. The length must be whole lanes.
pub(crate) fn arrange(row: &mut [f32]) {
    for lanes in row.as_chunks_mut::<LANES>().0 {
        let old = *lanes;
        for j in 0..LANES {
            lanes[place(j)] = old[j];
        }
    }
}

/// Where [`arrange`] puts lane `j`.
#[inline(always)]
pub(crate) const fn place(j: usize) -> usize {
    j / 2 + j % 2 * (LANES / 2)
}

/// Scales of a weight: one for `rows x cols` elements.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    pub data: *const u8,
    /// E8M0, or else F32.
    pub power_of_two: bool,
    /// Scales of a row of blocks.
    pub stride: usize,
    pub rows: usize,
    pub cols: usize,
}

/// The scales of one row, block after block.
#[derive(Clone, Copy)]
pub(crate) struct ScaleRow {
    data: *const u8,
    power_of_two: bool,
}

impl ScaleRow {
    /// The scale of block `block`.
    ///
    /// # Safety
    /// The block must exist.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, block: usize) -> f32 {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.power_of_two {
                true => e8m0_to_f32(*self.data.add(block)),
                false => self.data.cast::<f32>().add(block).read_unaligned(),
            }
        }
    }
}

impl Scales {
    /// The scales of a row.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> ScaleRow {
        let size = if self.power_of_two { 1 } else { size_of::<f32>() };
        ScaleRow { data: self.data.wrapping_add(row / self.rows * self.stride * size), power_of_two: self.power_of_two }
    }

    /// The scale of the block that holds element `(row, k)`.
    ///
    /// # Safety
    /// The block must exist.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, row: usize, k: usize) -> f32 {
        // SAFETY: passed on to the caller.
        unsafe { self.row(row).at(k / self.cols) }
    }
}

/// The rows of one weight matrix: output channels, each of `inner` elements.
#[derive(Clone, Copy)]
pub(crate) struct WeightRows {
    pub code: Code,
    pub data: *const u8,
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    pub inner: usize,
    pub scales: Option<Scales>,
}

// SAFETY: addresses of weights, which nobody writes while they are in use.
unsafe impl Send for WeightRows {}
// SAFETY: as above.
unsafe impl Sync for WeightRows {}

impl WeightRows {
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> *const u8 {
        self.data.wrapping_add(row * self.row_bytes)
    }

    /// True if a scale never changes inside a run of [`LANES`] elements that starts at a multiple of it.
    #[inline(always)]
    pub(crate) fn regular(&self) -> bool {
        self.scales.is_none_or(|s| s.cols % LANES == 0)
    }

    /// Elements `k .. k + LANES` of a row, codes times scales; zeros beyond the end.
    ///
    /// # Safety
    /// The row must exist.
    #[inline(always)]
    pub(crate) unsafe fn chunk(&self, row: usize, k: usize) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        for (j, out) in out.iter_mut().enumerate().take(self.inner - k) {
            // SAFETY: the loop stops at the end of the row.
            unsafe {
                let scale = self.scales.map_or(1.0, |s| s.at(row, k + j));
                *out = self.code.widen(self.row(row), k + j) * scale;
            }
        }
        out
    }
}
