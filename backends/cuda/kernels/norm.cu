// norm.rms: one block a vector, eight neighbours a thread, which stay in registers between the sum and the product.
#include "common.cuh"
#include "params_norm.h"
#include "runs.cuh"

DEVICE int length(const RmsNorm& p, i32 i) { return p.width - i < RUN ? p.width - i : RUN; }

DEVICE void load_gain(const RmsNorm& p, float (&gain)[RUN], i32 i) {
    if (p.weight.data) return load_run(gain, p.weight.data, p.weight.dtype, i, 1, length(p, i), p.weight_whole);
#pragma unroll
    for (int k = 0; k < RUN; k++) gain[k] = 1.0f;
}

DEVICE float squares_of(const float (&v)[RUN]) {
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < RUN; k++) sum += v[k] * v[k];
    return sum;
}

DEVICE void put(const RmsNorm& p, float (&v)[RUN], const float (&gain)[RUN], float factor, i64 to, i32 i) {
#pragma unroll
    for (int k = 0; k < RUN; k++) v[k] *= factor * gain[k];
    store_run(v, p.y.data, p.y.dtype, to + i, 1, length(p, i), p.y_whole);
}

// The order of the sum depends on the width only: views that no vector may read give the same bits.
KERNEL(rms_norm, RmsNorm, 1024, 1) {
    __shared__ float scratch[32];
    i64 row = blockIdx.x / p.heads, head = blockIdx.x % p.heads, at = row * p.x.outer + head * p.x.inner, to = row * p.y.outer + head * p.y.inner;
    i32 first = static_cast<i32>(threadIdx.x) * RUN, step = static_cast<i32>(blockDim.x) * RUN;
    float v[RUN] = {0, 0, 0, 0, 0, 0, 0, 0}, gain[RUN] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (first < p.width) {
        load_run(v, p.x.data, p.x.dtype, at + first, 1, length(p, first), p.whole);
        // Asked for before the sum, so that one wait serves both.
        load_gain(p, gain, first);
    }
    float squares = squares_of(v);
    // What the block cannot hold is read again.
    for (i32 i = first + step; i < p.width; i += step) {
        float more[RUN];
        load_run(more, p.x.data, p.x.dtype, at + i, 1, length(p, i), p.whole);
        squares += squares_of(more);
    }
    float mean = block_sum(squares, scratch) / static_cast<float>(p.width) + p.eps;
    // A vector of zeros stays one, even without an epsilon.
    float factor = mean == 0.0f ? 0.0f : 1.0f / sqrtf(mean);
    if (first < p.width) put(p, v, gain, factor, to, first);
    for (i32 i = first + step; i < p.width; i += step) {
        float more[RUN], its[RUN];
        load_run(more, p.x.data, p.x.dtype, at + i, 1, length(p, i), p.whole);
        load_gain(p, its, i);
        put(p, more, its, factor, to, i);
    }
}
