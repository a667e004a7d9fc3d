//! Matrix products for AVX2, FMA and F16C: the sums of `portable`, with widening and tiles written in intrinsics.

use super::widen::{BF16, F4E2M1, F4E2M1Times, F8E4M3, F32, Widen};
use crate::simd::portable::reduce;
use crate::simd::weight::ScaleRow;
use crate::simd::{Code, DOTS, LANES, TILE_OUTS, TILE_ROWS, WeightRows};
use std::arch::x86_64::*;
use std::ops::Range;

/// Scaled elements `k .. k + LANES` of a row by the general path: ends of rows, and scales that change within a chunk.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn general(w: &WeightRows, row: usize, k: usize) -> [__m256; 2] {
    // SAFETY: passed on to the caller; the array has `LANES` numbers.
    unsafe {
        let chunk = w.chunk(row, k);
        [_mm256_loadu_ps(chunk.as_ptr()), _mm256_loadu_ps(chunk.as_ptr().add(8))]
    }
}

/// The same in the order of `Code::place`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn ordered(w: &WeightRows, row: usize, k: usize) -> [__m256; 2] {
    // SAFETY: passed on to the caller; the array has `LANES` numbers.
    unsafe {
        let mut chunk = w.chunk(row, k);
        w.code.arrange(&mut chunk);
        [_mm256_loadu_ps(chunk.as_ptr()), _mm256_loadu_ps(chunk.as_ptr().add(8))]
    }
}

/// Elements at the start of a row that the fast loops may take.
#[inline(always)]
fn whole_chunks(w: &WeightRows) -> usize {
    if w.regular() { w.inner / LANES * LANES } else { 0 }
}

pub(super) unsafe fn dots(w: &WeightRows, outs: &[usize; DOTS], a: *const f32) -> [f32; DOTS] {
    // SAFETY: passed on to the caller; the table that names this function is given out after asking the host.
    unsafe {
        match w.code {
            Code::F32 => dots_of::<F32, DOTS>(w, outs, a),
            Code::BF16 => dots_of::<BF16, DOTS>(w, outs, a),
            Code::F8E4M3 => dots_of::<F8E4M3, 2>(w, outs, a),
            Code::F4E2M1 if w.scales.is_some_and(|s| s.power_of_two) => dots_of::<F4E2M1, 2>(w, outs, a),
            Code::F4E2M1 => dots_of::<F4E2M1Times, 2>(w, outs, a),
        }
    }
}

/// Elements that some rows are multiplied by before the others take their turn: the activations stay in the first-level cache.
const SPAN: usize = 512;

/// Elements of a row that the inner loop takes at a time.
const STEP: usize = 2 * LANES;

/// Sums of one row, half its lanes each.
type Sums = [__m256; 2];

/// Products with `N` rows at a time: as many as leave everything of the inner loop in registers.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots_of<W: Widen, const N: usize>(w: &WeightRows, outs: &[usize; DOTS], a: *const f32) -> [f32; DOTS] {
    let mut sums = [[_mm256_setzero_ps(); 2]; DOTS];
    let (outs, (parts, _)) = (outs.as_chunks::<N>().0, sums.as_chunks_mut::<N>());
    let fast = w.scales.map_or(!W::CODE.scaled(), |s| s.cols % STEP == 0);
    let whole = if fast { w.inner / STEP * STEP } else { 0 };
    // Spans are cut where scales change.
    let cols = w.scales.map_or(SPAN, |s| s.cols);
    let span = SPAN.div_ceil(cols) * cols;
    for start in (0..whole).step_by(span) {
        let end = (start + span).min(whole);
        for (outs, sums) in outs.iter().zip(&mut *parts) {
            // SAFETY: passed on to the caller; the span lies in the rows.
            unsafe { *sums = span_of::<W, N>(w, outs, a, start..end, cols, *sums) };
        }
    }
    for (outs, sums) in outs.iter().zip(&mut *parts) {
        // SAFETY: passed on to the caller.
        unsafe { *sums = rest_of(w, outs, a, whole..w.inner, *sums) };
    }
    let mut out = [0.0; DOTS];
    for (out, [low, high]) in out.iter_mut().zip(sums) {
        let mut lanes = [0.0; LANES];
        // SAFETY: the array has room for both halves.
        unsafe {
            _mm256_storeu_ps(lanes.as_mut_ptr(), low);
            _mm256_storeu_ps(lanes.as_mut_ptr().add(8), high);
        }
        *out = reduce(&std::array::from_fn(|j| lanes[W::CODE.place(j)]));
    }
    out
}

/// Adds the products of whole chunks of some rows to their lanes. The range begins at a block of scales.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn span_of<W: Widen, const N: usize>(
    w: &WeightRows,
    outs: &[usize; N],
    a: *const f32,
    range: Range<usize>,
    cols: usize,
    mut sums: [Sums; N],
) -> [Sums; N] {
    let rows = outs.map(|out| w.row(out));
    let scale_rows = w.scales.map_or([ScaleRow::NONE; N], |s| outs.map(|out| s.row(out)));
    if cols == STEP {
        // One loop: an inner one that runs once would cost as much as the products.
        for k in range.step_by(STEP) {
            // SAFETY: as below.
            unsafe {
                match scales_of::<W, N>(&scale_rows, k / STEP) {
                    Some(scales) => step_of::<W, N>(&rows, &scales, a, k, &mut sums),
                    None => sums = rest_of(w, outs, a, k..k + STEP, sums),
                }
            }
        }
        return sums;
    }
    for (block, start) in (range.start / cols..).zip(range.clone().step_by(cols)) {
        let end = (start + cols).min(range.end);
        // SAFETY: the caller promises the rows, so their scales exist. Both chunks of a step lie in the row, and activations reach to
        // whole lanes.
        unsafe {
            match scales_of::<W, N>(&scale_rows, block) {
                Some(scales) => {
                    for k in (start..end).step_by(STEP) {
                        step_of::<W, N>(&rows, &scales, a, k, &mut sums);
                    }
                }
                None => sums = rest_of(w, outs, a, start..end, sums),
            }
        }
    }
    sums
}

/// Adds the products of elements `k .. k + STEP` of some rows to their lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn step_of<W: Widen, const N: usize>(
    rows: &[*const u8; N],
    scales: &[W::Scale; N],
    a: *const f32,
    k: usize,
    sums: &mut [Sums; N],
) {
    for o in 0..N {
        // SAFETY: passed on to the caller.
        unsafe {
            let w = W::load_two(rows[o], k, scales[o]);
            sums[o][0] = _mm256_fmadd_ps(w[0], _mm256_loadu_ps(a.add(k)), sums[o][0]);
            sums[o][1] = _mm256_fmadd_ps(w[1], _mm256_loadu_ps(a.add(k + 8)), sums[o][1]);
            sums[o][0] = _mm256_fmadd_ps(w[2], _mm256_loadu_ps(a.add(k + 16)), sums[o][0]);
            sums[o][1] = _mm256_fmadd_ps(w[3], _mm256_loadu_ps(a.add(k + 24)), sums[o][1]);
        }
    }
}

/// What scales block `block` of some rows, if the fast loop can do it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scales_of<W: Widen, const N: usize>(rows: &[ScaleRow; N], block: usize) -> Option<[W::Scale; N]> {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut scales = [W::scale(&rows[0], block)?; N];
        for o in 1..N {
            scales[o] = W::scale(&rows[o], block)?;
        }
        Some(scales)
    }
}

/// The same as [`span_of`] by the general path.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rest_of<const N: usize>(
    w: &WeightRows,
    outs: &[usize; N],
    a: *const f32,
    range: Range<usize>,
    mut sums: [Sums; N],
) -> [Sums; N] {
    for k in range.step_by(LANES) {
        for (out, sum) in outs.iter().zip(&mut sums) {
            // SAFETY: activations reach to whole lanes; the general path stops at the end of the row.
            let ([w0, w1], a0, a1) =
                unsafe { (ordered(w, *out, k), _mm256_loadu_ps(a.add(k)), _mm256_loadu_ps(a.add(k + 8))) };
            *sum = [_mm256_fmadd_ps(w0, a0, sum[0]), _mm256_fmadd_ps(w1, a1, sum[1])];
        }
    }
    sums
}

pub(super) unsafe fn panel(w: &WeightRows, rows: Range<usize>, dst: *mut f32) {
    // SAFETY: passed on to the caller; the table that names this function is given out after asking the host.
    unsafe {
        match w.code {
            Code::F32 => panel_of::<F32, false>(w, rows, dst),
            Code::BF16 => panel_of::<BF16, false>(w, rows, dst),
            Code::F8E4M3 => panel_of::<F8E4M3, true>(w, rows, dst),
            Code::F4E2M1 => panel_of::<F4E2M1, true>(w, rows, dst),
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn panel_of<W: Widen, const SCALED: bool>(w: &WeightRows, rows: Range<usize>, dst: *mut f32) {
    let steps = w.inner.div_ceil(LANES);
    let whole = whole_chunks(w) / LANES;
    for half in 0..TILE_OUTS / 8 {
        let first = rows.start + 8 * half;
        let used = rows.end.saturating_sub(first).min(8);
        // Rows past the end repeat the last one and are not stored.
        let picked: [usize; 8] = std::array::from_fn(|o| first + o.min(used.max(1) - 1));
        if used == 0 {
            // SAFETY: passed on to the caller.
            unsafe { clear(dst, steps, half) };
            continue;
        }
        let (data, scale_rows) = (picked.map(|row| w.row(row)), w.scales.map(|s| picked.map(|row| s.row(row))));
        // Chunks that share a scale.
        let run = w.scales.map_or(whole, |s| s.cols / LANES).max(1);
        for (block, start) in (0..whole).step_by(run).enumerate() {
            // SAFETY: the rows exist, so their scales do.
            let scales = scale_rows.map_or([1.0; 8], |s| s.map(|s| unsafe { s.at(block) }));
            for i in start..(start + run).min(whole) {
                let mut chunk = [[_mm256_setzero_ps(); 8]; 2];
                for o in 0..used {
                    // SAFETY: the row exists and the chunk lies in it.
                    let [mut w0, mut w1] = unsafe { W::load(data[o], i * LANES) };
                    if SCALED {
                        let scale = _mm256_set1_ps(scales[o]);
                        (w0, w1) = (_mm256_mul_ps(w0, scale), _mm256_mul_ps(w1, scale));
                    }
                    (chunk[0][o], chunk[1][o]) = (w0, w1);
                }
                // SAFETY: passed on to the caller.
                unsafe { put(dst, steps, i, half, chunk) };
            }
        }
        for i in whole..steps {
            let mut chunk = [[_mm256_setzero_ps(); 8]; 2];
            for o in 0..used {
                // SAFETY: the row exists; the general path stops at its end.
                [chunk[0][o], chunk[1][o]] = unsafe { general(w, picked[o], i * LANES) };
            }
            // SAFETY: passed on to the caller.
            unsafe { put(dst, steps, i, half, chunk) };
        }
    }
}

/// Zeros the half of a panel that has no outputs.
///
/// # Safety
/// `dst` must have room for a panel.
unsafe fn clear(dst: *mut f32, steps: usize, half: usize) {
    for place in 0..LANES * steps {
        // SAFETY: passed on to the caller.
        unsafe { dst.add(place * TILE_OUTS + 8 * half).cast::<[f32; 8]>().write([0.0; 8]) };
    }
}

/// Stores chunk `i` of eight outputs, transposed.
///
/// # Safety
/// `dst` must have room for a panel.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn put(dst: *mut f32, steps: usize, i: usize, half: usize, chunk: [[__m256; 8]; 2]) {
    for (part, block) in chunk.into_iter().enumerate() {
        for (j, column) in transpose(block).into_iter().enumerate() {
            // SAFETY: passed on to the caller.
            unsafe { _mm256_storeu_ps(dst.add(((8 * part + j) * steps + i) * TILE_OUTS + 8 * half), column) };
        }
    }
}

/// Transposes 8 x 8 numbers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transpose(r: [__m256; 8]) -> [__m256; 8] {
    let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (t0, t1) = pair(r[0], r[1]);
    let (t2, t3) = pair(r[2], r[3]);
    let (t4, t5) = pair(r[4], r[5]);
    let (t6, t7) = pair(r[6], r[7]);
    let quad = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xEE>(a, b));
    let (u0, u1) = quad(t0, t2);
    let (u2, u3) = quad(t1, t3);
    let (u4, u5) = quad(t4, t6);
    let (u6, u7) = quad(t5, t7);
    let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
    let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
    [low(u0, u4), low(u1, u5), low(u2, u6), low(u3, u7), high(u0, u4), high(u1, u5), high(u2, u6), high(u3, u7)]
}

pub(super) unsafe fn tile(steps: usize, a: *const f32, w: *const f32, tile: *mut f32, set: bool) {
    // SAFETY: passed on to the caller; the table that names this function is given out after asking the host.
    unsafe { tile_of(steps, a, w, tile, set) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile_of(steps: usize, a: *const f32, w: *const f32, tile: *mut f32, set: bool) {
    let mut sums = [[_mm256_setzero_ps(); 2]; TILE_ROWS];
    let (mut pa, mut pw) = (a, w);
    for _ in 0..steps {
        // SAFETY: the caller promises `steps` rows of activations and weights.
        unsafe {
            let (w0, w1) = (_mm256_loadu_ps(pw), _mm256_loadu_ps(pw.add(8)));
            for (r, sum) in sums.iter_mut().enumerate() {
                let a = _mm256_broadcast_ss(&*pa.add(r));
                sum[0] = _mm256_fmadd_ps(w0, a, sum[0]);
                sum[1] = _mm256_fmadd_ps(w1, a, sum[1]);
            }
            (pa, pw) = (pa.add(TILE_ROWS), pw.add(TILE_OUTS));
        }
    }
    for (r, sum) in sums.into_iter().enumerate() {
        for (half, mut sum) in sum.into_iter().enumerate() {
            // SAFETY: the caller promises a whole tile, which no other task touches.
            unsafe {
                let p = tile.add(r * TILE_OUTS + 8 * half);
                if !set {
                    sum = _mm256_add_ps(_mm256_loadu_ps(p), sum);
                }
                _mm256_storeu_ps(p, sum);
            }
        }
    }
}
