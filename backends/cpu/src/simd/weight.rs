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

    /// Where [`Kernels::dots`] takes lane `j` of each [`LANES`] activations. Codes narrower than F32 lie several to a machine word of
    /// 32 bits, and are widened fastest if those at the same place in their words follow each other: every second BF16 number, every
    /// fourth E4M3 code. The pairs of E2M1 codes are as wide as two E4M3 codes, and end up in the same order.
    ///
    /// [`Kernels::dots`]: super::Kernels::dots
    #[inline(always)]
    pub(crate) const fn place(self, j: usize) -> usize {
        let words = match self {
            Code::F32 => 1,
            Code::BF16 => 2,
            Code::F8E4M3 | Code::F4E2M1 => 4,
        };
        j / words + j % words * (LANES / words)
    }

    /// Moves the elements of each [`LANES`] to their places. The length must be whole lanes.
    pub(crate) fn arrange(self, row: &mut [f32]) {
        if self == Code::F32 {
            return;
        }
        for lanes in row.as_chunks_mut::<LANES>().0 {
            let old = *lanes;
            for j in 0..LANES {
                lanes[self.place(j)] = old[j];
            }
        }
    }

    /// Whether elements have scales.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn scaled(self) -> bool {
        matches!(self, Code::F8E4M3 | Code::F4E2M1)
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
    /// That of a weight without scales.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const NONE: ScaleRow = ScaleRow { data: std::ptr::null(), power_of_two: false };

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

    /// The E8M0 code of block `block`.
    ///
    /// # Safety
    /// The block must exist, and the scales must be powers of two.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub(crate) unsafe fn code(&self, block: usize) -> u8 {
        // SAFETY: passed on to the caller.
        unsafe { *self.data.add(block) }
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
