//! Widening of stored weights to f32, for AVX2, FMA and F16C.

use crate::simd::LANES;
use std::arch::x86_64::*;

/// A way to widen [`LANES`] stored elements.
pub(super) trait Widen {
    /// Elements `k .. k + LANES` of a row, without scales, times `1 / Code::post`.
    ///
    /// # Safety
    /// The row must hold them, and the host must have the features of this module.
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2];

    /// Elements `k .. k + 2 * LANES`, each [`LANES`] of them in the order of `Code::arranged`.
    ///
    /// # Safety
    /// As for [`Widen::load`].
    unsafe fn load_two(row: *const u8, k: usize) -> [__m256; 4];
}

pub(super) struct F32;
pub(super) struct BF16;
pub(super) struct F8E4M3;
pub(super) struct F4E2M1;

impl Widen for F32 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2] {
        // SAFETY: passed on to the caller.
        unsafe {
            let p = row.cast::<f32>().add(k);
            [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))]
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_two(row: *const u8, k: usize) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        unsafe {
            let ([a, b], [c, d]) = (Self::load(row, k), Self::load(row, k + LANES));
            [a, b, c, d]
        }
    }
}

impl Widen for BF16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2] {
        // SAFETY: passed on to the caller.
        unsafe {
            let p = row.cast::<u16>().add(k);
            let half = |p: *const u16| {
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()))))
            };
            [half(p), half(p.add(8))]
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_two(row: *const u8, k: usize) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        let words = |k| unsafe { _mm256_loadu_si256(row.cast::<u16>().add(k).cast()) };
        let even = |words| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words));
        let odd = |words| _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(0xFFFF_0000u32 as i32)));
        let (first, second) = (words(k), words(k + LANES));
        [even(first), odd(first), even(second), odd(second)]
    }
}

impl Widen for F8E4M3 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2] {
        // SAFETY: passed on to the caller.
        let codes = unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(row.add(k).cast())) };
        // s eeee mmm becomes s 0eeee mmm0000000: a half-precision number with an exponent bias of 15 instead of 7.
        let halves = _mm256_srai_epi16::<1>(_mm256_slli_epi16::<8>(codes));
        let halves = _mm256_and_si256(halves, _mm256_set1_epi16(0xBFFFu16 as i16));
        [_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves))]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_two(row: *const u8, k: usize) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        let codes = unsafe { _mm256_loadu_si256(row.add(k).cast()) };
        // As above, for the codes in the lower and in the upper byte of each half-precision number.
        let even = _mm256_srai_epi16::<1>(_mm256_slli_epi16::<8>(codes));
        let even = _mm256_and_si256(even, _mm256_set1_epi16(0xBFFFu16 as i16));
        let odd = _mm256_and_si256(_mm256_srai_epi16::<1>(codes), _mm256_set1_epi16(0xBF80u16 as i16));
        let first = |halves| _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
        let second = |halves| _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves));
        [first(even), first(odd), second(even), second(odd)]
    }
}

impl Widen for F4E2M1 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2] {
        // SAFETY: passed on to the caller.
        let pairs = unsafe { _mm_loadl_epi64(row.add(k / 2).cast()) };
        let low = _mm_set1_epi8(15);
        let codes = _mm_unpacklo_epi8(_mm_and_si128(pairs, low), _mm_and_si128(_mm_srli_epi16::<4>(pairs), low));
        let twice = _mm_shuffle_epi8(_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12), codes);
        let eight = |bytes| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
        [eight(twice), eight(_mm_srli_si128::<8>(twice))]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_two(row: *const u8, k: usize) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        let pairs = unsafe { _mm_loadu_si128(row.add(k / 2).cast()) };
        let low = _mm_set1_epi8(15);
        let (even, odd) = (_mm_and_si128(pairs, low), _mm_and_si128(_mm_srli_epi16::<4>(pairs), low));
        // Upper bytes of the half-precision numbers 0, 1, 2, 3, 4, 6, 8, 12 and their negatives; the lower bytes are zero.
        let table = _mm_setr_epi8(0, 0x3C, 0x40, 0x42, 0x44, 0x46, 0x48, 0x4A, -128, -68, -64, -62, -60, -58, -56, -54);
        let (even, odd) = (_mm_shuffle_epi8(table, even), _mm_shuffle_epi8(table, odd));
        let first = |bytes| _mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), bytes));
        let second = |bytes| _mm256_cvtph_ps(_mm_unpackhi_epi8(_mm_setzero_si128(), bytes));
        [first(even), first(odd), second(even), second(odd)]
    }
}
