//! Widening of stored weights to f32, for AVX2, FMA and F16C.

use crate::num::{E2M1, e8m0_to_f32};
use crate::simd::weight::ScaleRow;
use crate::simd::{Code, LANES};
use std::arch::x86_64::*;

/// A way to widen [`LANES`] stored elements.
pub(super) trait Widen {
    /// The type of the elements.
    const CODE: Code;

    /// What [`Widen::load_two`] scales a block with.
    type Scale: Copy;

    /// The scale of a block, unless [`Widen::load_two`] cannot represent it.
    ///
    /// # Safety
    /// The block must exist, unless the elements have no scales, and the host must have the features of this module.
    unsafe fn scale(row: &ScaleRow, block: usize) -> Option<Self::Scale>;

    /// Elements `k .. k + LANES` of a row, without scales, times `1 / Code::post`.
    ///
    /// # Safety
    /// The row must hold them, and the host must have the features of this module.
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2];

    /// Elements `k .. k + 2 * LANES` times their scale, each [`LANES`] of them in the order of `Code::place`. The same numbers as those
    /// of [`Widen::load`] times the scale.
    ///
    /// # Safety
    /// As for [`Widen::load`].
    unsafe fn load_two(row: *const u8, k: usize, scale: Self::Scale) -> [__m256; 4];
}

/// F32 numbers whose upper halves are the lower ones of pairs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn lower_words(pairs: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))
}

/// F32 numbers whose upper halves are the upper ones of pairs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn upper_words(pairs: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(0xFFFF_0000u32 as i32)))
}

pub(super) struct F32;
pub(super) struct BF16;
pub(super) struct F8E4M3;
pub(super) struct F4E2M1;

/// E2M1 codes with scales that are not powers of two.
pub(super) struct F4E2M1Times;

impl Widen for F32 {
    const CODE: Code = Code::F32;
    type Scale = ();

    #[inline]
    unsafe fn scale(_: &ScaleRow, _: usize) -> Option<()> {
        Some(())
    }

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
    unsafe fn load_two(row: *const u8, k: usize, _: ()) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        unsafe {
            let ([a, b], [c, d]) = (Self::load(row, k), Self::load(row, k + LANES));
            [a, b, c, d]
        }
    }
}

impl Widen for BF16 {
    const CODE: Code = Code::BF16;
    type Scale = ();

    #[inline]
    unsafe fn scale(_: &ScaleRow, _: usize) -> Option<()> {
        Some(())
    }

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
    unsafe fn load_two(row: *const u8, k: usize, _: ()) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        let words = |k| unsafe { _mm256_loadu_si256(row.cast::<u16>().add(k).cast()) };
        let (first, second) = (words(k), words(k + LANES));
        [lower_words(first), upper_words(first), lower_words(second), upper_words(second)]
    }
}

/// Makes up for copying the exponent field of an E4M3 number, of bias 7, into an F32 number, of bias 127.
const EXPONENTS: f32 = f32::from_bits((127 + 120) << 23);

impl Widen for F8E4M3 {
    const CODE: Code = Code::F8E4M3;
    type Scale = __m256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scale(row: &ScaleRow, block: usize) -> Option<__m256> {
        // SAFETY: passed on to the caller.
        let scale = unsafe { row.at(block) } * (EXPONENTS / 256.0);
        scale.is_finite().then(|| _mm256_set1_ps(scale))
    }

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
    unsafe fn load_two(row: *const u8, k: usize, scale: __m256) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        let codes = |k| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(row.add(k).cast())) };
        // The even codes to the upper bytes of the words of 16 bits in the lower half, where the odd ones are in the upper half.
        let even = _mm256_setr_epi32(8, 8, 8, 8, 0, 0, 0, 0);
        // s eeee mmm becomes s 0000eeee mmm0000, the upper half of an F32 number: subnormal codes are subnormal there as well, so the
        // multiplication is exact for all of them.
        let mask = _mm256_set1_epi16(0x87F0u16 as i16);
        let upper = |codes| _mm256_and_si256(_mm256_srai_epi16::<4>(_mm256_sllv_epi32(codes, even)), mask);
        let (first, second) = (upper(codes(k)), upper(codes(k + LANES)));
        [
            _mm256_mul_ps(lower_words(first), scale),
            _mm256_mul_ps(upper_words(first), scale),
            _mm256_mul_ps(lower_words(second), scale),
            _mm256_mul_ps(upper_words(second), scale),
        ]
    }
}

/// The E2M1 codes under one scale: bytes 2 and 3 of the scaled numbers, whose other bytes are zero.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Scaled {
    low: [u8; 16],
    high: [u8; 16],
}

/// The place in [`SCALED`] of the scale 1.
const ONE: usize = 127;

/// One for every E8M0 code.
static SCALED: [Scaled; 256] = {
    let mut tables = [Scaled { low: [0; 16], high: [0; 16] }; 256];
    let mut i = 0;
    while i < 256 * 16 {
        let (scale, code) = (i / 16, i % 16);
        let number = if scale == 255 { f32::NAN } else { E2M1[code] * 2.0 * e8m0_to_f32(scale as u8) };
        [_, _, tables[scale].low[code], tables[scale].high[code]] = number.to_le_bytes();
        i += 1;
    }
    tables
};

impl Widen for F4E2M1 {
    const CODE: Code = Code::F4E2M1;
    type Scale = &'static Scaled;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scale(row: &ScaleRow, block: usize) -> Option<&'static Scaled> {
        // SAFETY: passed on to the caller.
        Some(&SCALED[unsafe { row.code(block) } as usize])
    }

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
    unsafe fn load_two(row: *const u8, k: usize, scale: &'static Scaled) -> [__m256; 4] {
        // SAFETY: passed on to the caller; the tables have 16 bytes.
        let (pairs, low, high) = unsafe {
            let twice = |bytes: *const u8| _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.cast()));
            (twice(row.add(k / 2)), twice(scale.low.as_ptr()), twice(scale.high.as_ptr()))
        };
        // Even codes in the lower half, odd ones in the upper half.
        let codes = _mm256_srlv_epi32(pairs, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
        let codes = _mm256_and_si256(codes, _mm256_set1_epi8(15));
        let (low, high) = (_mm256_shuffle_epi8(low, codes), _mm256_shuffle_epi8(high, codes));
        let (first, second) = (_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high));
        [lower_words(first), upper_words(first), lower_words(second), upper_words(second)]
    }
}

impl Widen for F4E2M1Times {
    const CODE: Code = Code::F4E2M1;
    type Scale = __m256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scale(row: &ScaleRow, block: usize) -> Option<__m256> {
        // SAFETY: passed on to the caller.
        Some(_mm256_set1_ps(unsafe { row.at(block) }))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(row: *const u8, k: usize) -> [__m256; 2] {
        // SAFETY: passed on to the caller.
        unsafe { F4E2M1::load(row, k) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_two(row: *const u8, k: usize, scale: __m256) -> [__m256; 4] {
        // SAFETY: passed on to the caller.
        let [a, b, c, d] = unsafe { F4E2M1::load_two(row, k, &SCALED[ONE]) };
        [_mm256_mul_ps(a, scale), _mm256_mul_ps(b, scale), _mm256_mul_ps(c, scale), _mm256_mul_ps(d, scale)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::weight::Scales;

    fn lanes([low, high]: [__m256; 2]) -> [f32; LANES] {
        // SAFETY: both are sixteen numbers of the same layout.
        unsafe { std::mem::transmute::<[__m256; 2], [f32; LANES]>([low, high]) }
    }

    /// Compares the two ways to widen all codes under every E8M0 scale; returns the scales that only one of them takes.
    fn refused<W: Widen>() -> Vec<u8> {
        let (codes, scales): (Vec<u8>, Vec<u8>) = ((0..=255).collect(), (0..=255).collect());
        let elements = if W::CODE == Code::F8E4M3 { codes.len() } else { 2 * codes.len() };
        let row = Scales { data: scales.as_ptr(), power_of_two: true, stride: 256, rows: 1, cols: 2 * LANES }.row(0);
        let mut refused = Vec::new();
        for &code in &scales {
            // SAFETY: the host was asked, and there is a scale of every code.
            let Some(scale) = (unsafe { W::scale(&row, code as usize) }) else {
                refused.push(code);
                continue;
            };
            for k in (0..elements).step_by(2 * LANES) {
                // SAFETY: the row holds both chunks.
                let ([a, b, c, d], plain) = unsafe {
                    (W::load_two(codes.as_ptr(), k, scale), [0, LANES].map(|part| W::load(codes.as_ptr(), k + part)))
                };
                for (plain, placed) in plain.map(lanes).into_iter().zip([[a, b], [c, d]].map(lanes)) {
                    for j in 0..LANES {
                        let (want, got) = (plain[j] * e8m0_to_f32(code), placed[W::CODE.place(j)]);
                        let same = want == got || (want.is_nan() && got.is_nan());
                        assert!(same, "{:?} {k}+{j} scale {code}: {want} {got}", W::CODE);
                    }
                }
            }
        }
        refused
    }

    #[test]
    fn codes_widen_to_the_same_numbers_in_both_orders_under_every_scale() {
        if crate::simd::x86::kernels().is_none() {
            return;
        }
        // 2^16 and more, and NaN: the factor of the copied exponents would be infinite.
        assert_eq!(refused::<F8E4M3>(), (127 + 16..=255).collect::<Vec<u8>>());
        assert!(refused::<F4E2M1>().is_empty());
    }
}
