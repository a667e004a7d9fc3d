// Sinkhorn balancing of a small matrix by one warp, and what the kernels of hyper.* share beside it.
#pragma once
#include "common.cuh"
#include "params_hyper.h"

// Residual streams that kernels take.
constexpr i32 MAX_STREAMS = 8;

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// 16 bytes of one type as f32, and back.
DEVICE void load_floats(const float* from, float (&x)[4]) {
    Vec16 v = load16(from);
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = __uint_as_float(v.w[i]);
}
DEVICE void load_floats(const bf16* from, float (&x)[8]) {
    Vec16 v = load16(from);
#pragma unroll
    for (int i = 0; i < 4; i++) x[2 * i] = low_bf16(v.w[i]), x[2 * i + 1] = high_bf16(v.w[i]);
}
DEVICE void store_floats(float* to, const float (&x)[4]) {
    store16(to, {__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3])});
}
DEVICE void store_floats(bf16* to, const float (&x)[8]) {
    store16(to, {pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])});
}

// Softmax of each row plus eps, then columns, then `iters - 1` times rows and columns, divided by their sum plus eps. Lane 4j + k holds element (j, k); the other lanes
// hold copies.
DEVICE float balance4(float value, i32 iters, float eps) {
    float most = fmaxf(value, __shfl_xor_sync(FULL_WARP, value, 1));
    most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, 2));
    value = expf(value - most);
    float sum = value + __shfl_xor_sync(FULL_WARP, value, 1);
    sum += __shfl_xor_sync(FULL_WARP, sum, 2);
    value = value / sum + eps;
    for (i32 i = 0;; i++) {
        sum = value + __shfl_xor_sync(FULL_WARP, value, 4);
        sum += __shfl_xor_sync(FULL_WARP, sum, 8);
        value /= sum + eps;
        if (i + 1 >= iters) return value;
        sum = value + __shfl_xor_sync(FULL_WARP, value, 1);
        sum += __shfl_xor_sync(FULL_WARP, sum, 2);
        value /= sum + eps;
    }
}

// Divides `count` elements `step` apart by their sum plus eps.
DEVICE void divide(float* first, i32 count, i32 step, float eps) {
    float sum = 0.0f;
    for (i32 i = 0; i < count; i++) sum += first[i * step];
    for (i32 i = 0; i < count; i++) first[i * step] /= sum + eps;
}

// The same for any number of streams, in shared memory that the calling warp has filled.
DEVICE void balance(float* matrix, i32 streams, i32 iters, float eps) {
    if (streams == 4) {
        float value = balance4(matrix[LANE & 15], iters, eps);
        __syncwarp();
        if (LANE < 16) matrix[LANE] = value;
        __syncwarp();
        return;
    }
    bool own = LANE < static_cast<u32>(streams);
    float *row = matrix + LANE * streams, *column = matrix + LANE;
    if (own) {
        float most = -INFINITY_F, sum = 0.0f;
        for (i32 k = 0; k < streams; k++) most = fmaxf(most, row[k]);
        for (i32 k = 0; k < streams; k++) sum += row[k] = expf(row[k] - most);
        for (i32 k = 0; k < streams; k++) row[k] = row[k] / sum + eps;
    }
    for (i32 i = 0; i < iters; i++) {
        if (i && own) divide(row, streams, 1, eps);
        __syncwarp();
        if (own) divide(column, streams, streams, eps);
        __syncwarp();
    }
}

DEVICE void store_matrix(const float* matrix, i32 streams, const Rows& comb, i64 row) {
    for (i32 i = LANE; i < streams * streams; i += 32)
        static_cast<float*>(comb.data)[row * comb.outer + i / streams * comb.inner + i % streams] = matrix[i];
}
