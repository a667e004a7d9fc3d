// hyper.*: mixing of the residual streams (deepseek-v4.md 3.2), f32 inside.
#include "common.cuh"
#include "params_hyper.h"
#include "sinkhorn.cuh"
#include "hyper_cluster.cuh"

// ---- hyper.sinkhorn: a warp a row ------------------------------------------------------------------------------------------------------------

KERNEL(hyper_sinkhorn, HyperSinkhorn, 128, 8) {
    __shared__ float matrices[4][MAX_STREAMS * MAX_STREAMS];
    i64 row = static_cast<i64>(blockIdx.x) * 4 + WARP;
    if (row >= p.rows) return;
    const float* logits = static_cast<const float*>(p.logits.data) + row * p.logits.outer;
    float* matrix = matrices[WARP];
    for (u32 i = LANE; i < static_cast<u32>(p.streams * p.streams); i += 32) matrix[i] = logits[i];
    __syncwarp();
    balance(matrix, p.streams, p.iters, p.eps);
    store_matrix(matrix, p.streams, p.comb, row);
}

// ---- hyper.post ------------------------------------------------------------------------------------------------------------------------------

// Any number of streams, strides and alignment: a thread mixes one column. All streams are read before one is written, so `y` may be `x`.
KERNEL(hyper_post_any, HyperPost, 128, 8) {
    i32 tiles = (p.width + 127) / 128;
    i64 row = blockIdx.x / tiles;
    i32 c = static_cast<i32>(blockIdx.x % tiles) * 128 + threadIdx.x;
    if (c >= p.width) return;
    const float* post = static_cast<const float*>(p.post.data) + row * p.post.outer;
    const float* comb = static_cast<const float*>(p.comb.data) + row * p.comb.outer;
    float out = load_as_f32(p.out.data, p.out.dtype, row * p.out.outer + c), x[MAX_STREAMS];
#pragma unroll
    for (i32 j = 0; j < MAX_STREAMS; j++)
        x[j] = j < p.streams ? load_as_f32(p.x.data, p.x.dtype, row * p.x.outer + j * p.x.inner + c) : 0.0f;
    for (i32 k = 0; k < p.streams; k++) {
        float y = post[k] * out;
#pragma unroll
        for (i32 j = 0; j < MAX_STREAMS; j++)
            if (j < p.streams) y += comb[j * p.comb.inner + k] * x[j];
        store_f32(p.y.data, p.y.dtype, row * p.y.outer + k * p.y.inner + c, y);
    }
}

// Four streams, 16 bytes at a time.
template <typename T> DEVICE void post_row(const HyperPost& p) {
    constexpr i32 N = 16 / sizeof(T), STREAMS = 4;
    i32 tiles = (p.width + 128 * N - 1) / (128 * N);
    i64 row = blockIdx.x / tiles;
    i32 c = (static_cast<i32>(blockIdx.x % tiles) * 128 + threadIdx.x) * N;
    if (c >= p.width) return;
    const float* post = static_cast<const float*>(p.post.data) + row * p.post.outer;
    const float* comb = static_cast<const float*>(p.comb.data) + row * p.comb.outer;
    float out[N], x[STREAMS][N];
    load_floats(static_cast<const T*>(p.out.data) + row * p.out.outer + c, out);
#pragma unroll
    for (i32 j = 0; j < STREAMS; j++) load_floats(static_cast<const T*>(p.x.data) + row * p.x.outer + j * p.x.inner + c, x[j]);
#pragma unroll
    for (i32 k = 0; k < STREAMS; k++) {
        float y[N], weight = post[k];
#pragma unroll
        for (i32 i = 0; i < N; i++) y[i] = weight * out[i];
#pragma unroll
        for (i32 j = 0; j < STREAMS; j++) {
            float mixing = comb[j * p.comb.inner + k];
#pragma unroll
            for (i32 i = 0; i < N; i++) y[i] += mixing * x[j][i];
        }
        store_floats(static_cast<T*>(p.y.data) + row * p.y.outer + k * p.y.inner + c, y);
    }
}

KERNEL(hyper_post_bf16, HyperPost, 128, 6) { post_row<bf16>(p); }
KERNEL(hyper_post_f32, HyperPost, 128, 8) { post_row<float>(p); }

// ---- hyper.pre and hyper.head ----------------------------------------------------------------------------------------------------------------

KERNEL(hyper_mix_any, HyperMix, 256, 4) { mix_any(p); }

#ifdef HAS_CLUSTERS
CLUSTER_KERNEL(hyper_pre_bf16_1, HyperMix, 128, 1) { mix_cluster<bf16, 1, 24>(p); }
CLUSTER_KERNEL(hyper_pre_bf16_4, HyperMix, 128, 2) { mix_cluster<bf16, 4, 24>(p); }
CLUSTER_KERNEL(hyper_pre_f32_1, HyperMix, 128, 1) { mix_cluster<float, 1, 24>(p); }
CLUSTER_KERNEL(hyper_pre_f32_4, HyperMix, 128, 2) { mix_cluster<float, 4, 24>(p); }
CLUSTER_KERNEL(hyper_head_bf16, HyperMix, 128, 2) { mix_cluster<bf16, 1, 4>(p); }
CLUSTER_KERNEL(hyper_head_f32, HyperMix, 128, 2) { mix_cluster<float, 1, 4>(p); }
#endif
