// Products of many rows of E4M3 codes with weights of E4M3 codes on Hopper's warp-group unit: 256 rows x 128 channels a block. Both sides share a scale over 128 neighbouring k, over which the
// unit adds up by itself; it keeps few fraction bits, so these sums are scaled and added in f32.
#pragma once
#include "gemm_store.cuh"
#include "wgmma.cuh"

#ifdef HAS_WGMMA
struct CodesTile {
    static constexpr i32 ROWS = 256, CHANNELS = 128, THREADS = 256, INNER = 128, STAGES = 4;
    static constexpr i32 ROW_BYTES = ROWS * 128, STAGE_BYTES = (ROWS + CHANNELS) * 128;
};

// The scales of this lane's rows at one step: of each 64 rows of its warp group, rows g and g + 8 of its warp's 16.
DEVICE void row_scales(float (&into)[2][2], const float* scales, i32 row, i32 end) {
    for (int i = 0; i < 4; i++) {
        i32 at = row + i / 2 * 64 + i % 2 * 8;
        into[i / 2][i % 2] = at < end ? scales[at] : 0.0f;
    }
}

// `p.a` are codes, `p.a_scales` their scales, `[inner / 128, rows]`; weights have one scale for 128 x 128 codes.
DEVICE void codes_product(const Product& p) {
    typedef CodesTile T;
    DYN_SHARED(u8, unaligned);
    u8* shared = unaligned + (-shared_address(unaligned) & 1023u);
    i32 first = blockIdx.x % p.row_tiles * T::ROWS, channel = blockIdx.x / p.row_tiles * T::CHANNELS;
    if (first >= p.rows) return;
    Matrix m = matrix_of<F8E4M3>(p.w, 0, p.outer, p.inner, p.w_row, 0);
    const u8* a = static_cast<const u8*>(p.a) + first * p.a_row;
    const u8* w = m.data + channel * m.row_bytes;
    i32 from = blockIdx.z * p.split_inner, to = min(from + p.split_inner, p.inner), steps = (to - from) / T::INNER;
    auto copy = [&](i32 step) {
        if (step < steps) {
            u8* stage = shared + step % T::STAGES * T::STAGE_BYTES;
            for (i32 i = threadIdx.x; i < (T::ROWS + T::CHANNELS) * 8; i += T::THREADS) {
                i32 row = i / 8, unit = i % 8, down = row - T::ROWS;
                bool left = down < 0, valid = left ? first + row < p.rows : channel + down < p.outer;
                const u8* at = left ? a + row * p.a_row : w + down * m.row_bytes;
                cp_async16(stage + swizzled(row, unit), valid ? at + from + step * T::INNER + unit * 16 : a, valid);
            }
        }
        cp_async_commit();
    };
    const float* scales = static_cast<const float*>(p.a_scales);
    i32 group = WARP / 4, mine = first + group * 128 + WARP % 4 * 16 + LANE / 4;
    float sum[2][64] = {}, part[64], rows[2][2], next[2][2];
    row_scales(next, scales + i64(from / T::INNER) * p.rows, mine, p.rows);
    for (i32 step = 0; step < T::STAGES - 1; step++) copy(step);
    for (i32 step = 0; step < steps; step++) {
        cp_async_wait<T::STAGES - 2>();
        fence_async_proxy();
        // The stage has come; and everybody has waited for the products of the stage that is filled next.
        __syncthreads();
        copy(step + T::STAGES - 1);
        i32 k = from + step * T::INNER;
        float weight = e8m0_to_f32(m.scale[scale_place(m, channel, k)]);
        for (int i = 0; i < 4; i++) rows[i / 2][i % 2] = next[i / 2][i % 2] * weight;
        if (step + 1 < steps) row_scales(next, scales + i64(k / T::INNER + 1) * p.rows, mine, p.rows);
        u32 stage = shared_address(shared + step % T::STAGES * T::STAGE_BYTES);
        u64 left = swizzled_rows(stage + group * 128 * 128), right = swizzled_rows(stage + T::ROW_BYTES);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            wgmma_fence(part);
#pragma unroll
            for (int i = 0; i < 4; i++) wgmma_e4m3(part, left + half * (64 * 128 / 16) + i * 2, right + i * 2, i > 0);
            wgmma_commit();
            wgmma_wait(part);
#pragma unroll
            for (int e = 0; e < 64; e++) sum[half][e] = __fmaf_rn(part[e], rows[half][e % 4 / 2], sum[half][e]);
        }
    }
    cp_async_wait<0>();
#pragma unroll
    for (int i = 0; i < 64; i++) {
        i32 half = i / 32, e = i % 32 * 2, row = mine + half * 64 + e % 4 / 2 * 8, c = channel + e / 4 * 8 + LANE % 4 * 2;
        if (row < p.rows && c < p.outer) store_sums(p, 0, row, c, sum[half][e], sum[half][e + 1]);
    }
}
#else
// Built for other devices, where nobody launches it.
DEVICE void codes_product(const Product&) {}
#endif
