//! The eight lanes of an AVX2 register.

use super::LANES;
use super::vector::Vector;
use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

/// A register; only for functions that are compiled for AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Register(__m256);

impl Vector for Register {
    const FUSED: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: by the contract of the type the caller is compiled for AVX2 and FMA.
        Register(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: as for `zero`.
        Register(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as for `zero`; the numbers are valid by the caller's promise.
        Register(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    fn madd(self, b: Self, c: Self) -> Self {
        // SAFETY: as for `zero`.
        Register(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: as for `zero`; the array has as many numbers as a register.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), self.0) };
        lanes
    }
}
