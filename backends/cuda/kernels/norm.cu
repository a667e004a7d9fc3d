// norm.rms: one block a vector, eight neighbours a thread, which stay in registers between the sum and the product.
#include "common.cuh"
#include "params_norm.h"
#include "runs.cuh"

// Runs that a thread holds. The order of the sum depends on the width only: views that no vector may read give the same bits.
constexpr int HELD = 4;

KERNEL(rms_norm, RmsNorm, 256, 4) {
    __shared__ float scratch[32];
    i64 row = blockIdx.x / p.heads, head = blockIdx.x % p.heads, at = row * p.x.outer + head * p.x.inner, to = row * p.y.outer + head * p.y.inner;
    i32 step = static_cast<i32>(blockDim.x) * RUN;
    float v[HELD][RUN], squares = 0.0f;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        i32 i = k * step + static_cast<i32>(threadIdx.x) * RUN, n = p.width - i;
        if (n > 0) load_run(v[k], p.x.data, p.x.dtype, at + i, 1, n < RUN ? n : RUN, p.whole);
        else for (int e = 0; e < RUN; e++) v[k][e] = 0.0f;
#pragma unroll
        for (int e = 0; e < RUN; e++) squares += v[k][e] * v[k][e];
    }
    // Wider vectors are read again.
    for (i32 i = HELD * step + static_cast<i32>(threadIdx.x) * RUN; i < p.width; i += step) {
        float more[RUN];
        load_run(more, p.x.data, p.x.dtype, at + i, 1, p.width - i < RUN ? p.width - i : RUN, p.whole);
#pragma unroll
        for (int e = 0; e < RUN; e++) squares += more[e] * more[e];
    }
    float mean = block_sum(squares, scratch) / static_cast<float>(p.width) + p.eps;
    // A vector of zeros stays one, even without an epsilon.
    float factor = mean == 0.0f ? 0.0f : 1.0f / sqrtf(mean);
    auto put = [&](float (&x)[RUN], i32 i) {
        int n = p.width - i < RUN ? p.width - i : RUN;
        float gain[RUN];
        if (p.weight.data) load_run(gain, p.weight.data, p.weight.dtype, i, 1, n, p.weight_whole);
#pragma unroll
        for (int e = 0; e < RUN; e++) x[e] = p.weight.data ? x[e] * factor * gain[e] : x[e] * factor;
        store_run(x, p.y.data, p.y.dtype, to + i, 1, n, p.y_whole);
    };
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        i32 i = k * step + static_cast<i32>(threadIdx.x) * RUN;
        if (i < p.width) put(v[k], i);
    }
    for (i32 i = HELD * step + static_cast<i32>(threadIdx.x) * RUN; i < p.width; i += step) {
        float more[RUN];
        load_run(more, p.x.data, p.x.dtype, at + i, 1, p.width - i < RUN ? p.width - i : RUN, p.whole);
        put(more, i);
    }
}
