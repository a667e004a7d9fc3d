// The result of gemm.*, and the plain f32 tile that takes every type, stride and address.
#pragma once
#include "gemm_tile.cuh"
#include "params_gemm.h"

DEVICE i64 result_place(const Product& p, i32 matrix, i32 row, i32 channel) { return matrix * p.y_batch + row * p.y_row + channel; }

// One rounding: the product is scaled and added to the old value in f32.
DEVICE void store_result(const Product& p, i64 at, float sum) {
    sum *= p.alpha;
    if (p.accumulate) sum += load_as_f32(p.y, p.y_dtype, at);
    store_f32(p.y, p.y_dtype, at, sum);
}

// Two neighbours, the second only if it is there: in one store where they are aligned.
DEVICE void store_pair(const Product& p, i64 at, float x, float y, bool both) {
    if (both && p.y_dtype == BF16 && !p.accumulate && (reinterpret_cast<u64>(p.y) + at * 2) % 4 == 0) {
        *reinterpret_cast<u32*>(static_cast<bf16*>(p.y) + at) = pack_bf16(x * p.alpha, y * p.alpha);
        return;
    }
    store_result(p, at, x);
    if (both) store_result(p, at + 1, y);
}

// Sums of two neighbouring channels: the result, or this block's part of it where k is split.
DEVICE void store_sums(const Product& p, i32 pair, i32 row, i32 channel, float x, float y) {
    bool both = channel + 1 < p.outer;
    if (p.splits == 1) {
        store_pair(p, result_place(p, pair, row, channel), x, y, both);
        return;
    }
    float* part = static_cast<float*>(p.parts) + ((i64(blockIdx.z) * p.matrices + pair) * p.rows + row) * p.outer + channel;
    part[0] = x;
    if (both) part[1] = y;
}

template <int CODE> DEVICE float operand_at(const Product& p, const Matrix& m, i32 channel, i32 k) {
    if (CODE == F32 || CODE == BF16) return load_as_f32(m.data, CODE, channel * p.w_row + k * p.w_col);
    return weight_at<CODE>(m, channel, k);
}

// 64 x 64 results a block of 256 threads, 4 x 4 a thread, sums in f32 in the order of k.
template <int CODE> DEVICE void simt_product(const Product& p) {
    constexpr i32 TILE = 64, DEPTH = 16;
    __shared__ float left[DEPTH][TILE + 4], right[DEPTH][TILE + 4];
    Span span = span_of(static_cast<const i32*>(p.counts), p.matrices, p.rows, blockIdx.x % p.row_tiles, TILE);
    if (span.first >= span.end) return;
    i32 first_channel = blockIdx.x / p.row_tiles * TILE, thread = threadIdx.x, across = thread % 16 * 4, down = thread / 16 * 4;
    Matrix m = matrix_of<CODE>(p.w, span.matrix, p.outer, p.inner, p.w_row, p.w_batch);
    i64 a = p.counts ? 0 : span.matrix * p.a_batch;
    float sum[4][4] = {};
    for (i32 k0 = 0; k0 < p.inner; k0 += DEPTH) {
        for (i32 i = thread; i < TILE * DEPTH; i += 256) {
            // Neighbouring threads follow the axis that is contiguous.
            i32 row = p.a_col == 1 ? i / DEPTH : i % TILE, k = p.a_col == 1 ? i % DEPTH : i / TILE;
            bool inside = span.first + row < span.end && k0 + k < p.inner;
            left[k][row] = inside ? load_as_f32(p.a, p.a_dtype, a + (span.first + row) * p.a_row + (k0 + k) * p.a_col) : 0.0f;
            i32 channel = p.w_col == 1 ? i / DEPTH : i % TILE;
            k = p.w_col == 1 ? i % DEPTH : i / TILE;
            inside = first_channel + channel < p.outer && k0 + k < p.inner;
            right[k][channel] = inside ? operand_at<CODE>(p, m, first_channel + channel, k0 + k) : 0.0f;
        }
        __syncthreads();
        for (i32 k = 0; k < DEPTH; k++)
#pragma unroll
            for (i32 i = 0; i < 4; i++)
#pragma unroll
                for (i32 j = 0; j < 4; j++) sum[i][j] = __fmaf_rn(left[k][down + i], right[k][across + j], sum[i][j]);
        __syncthreads();
    }
#pragma unroll
    for (i32 i = 0; i < 4; i++)
#pragma unroll
        for (i32 j = 0; j < 4; j++) {
            i32 row = span.first + down + i, channel = first_channel + across + j;
            if (row < span.end && channel < p.outer) store_result(p, result_place(p, p.counts ? 0 : span.matrix, row, channel), sum[i][j]);
        }
}
