// hyper.pre, and hyper.head, which has no `comb` and takes its rows from `out`.
#pragma once
#include "cluster.cuh"
#include "sinkhorn.cuh"

// Coefficients of a row for up to MAX_STREAMS streams.
constexpr i32 MAX_MIX = (2 + MAX_STREAMS) * MAX_STREAMS;

// Row that block or cluster row `at` works on, -1 for none.
DEVICE i64 source_row(const HyperMix& p, i64 at) {
    if (!p.out) return at < p.count ? at : -1;
    i64 row = at < p.count ? static_cast<const i32*>(p.out)[at] : -1;
    return row < p.rows ? row : -1;
}

// Coefficient `i` from its projection `g`: weights of the streams, weights of the sublayer's output, then logits of the mixing matrix.
DEVICE float coefficient(const HyperMix& p, float g, i32 i) {
    i32 group = min(i / p.streams, 2);
    g = g * static_cast<const float*>(p.scale)[group] + static_cast<const float*>(p.base)[i];
    return group == 0 ? sigmoid(g) + p.hc_eps : group == 1 ? 2.0f * sigmoid(g) : g;
}

// 1 / sqrt(mean + eps); a row of zeros stays one, even without an epsilon.
DEVICE float root_factor(float squares, i64 count, float eps) {
    float mean = squares / static_cast<float>(count) + eps;
    return mean == 0.0f ? 0.0f : 1.0f / sqrtf(mean);
}

DEVICE float round_to(i32 dtype, float x) { return dtype == BF16 ? round_as<bf16>(x) : dtype == F16 ? round_as<f16>(x) : x; }

// Any number of streams, strides and alignment: one block a row.
DEVICE void mix_any(const HyperMix& p) {
    __shared__ float scratch[32], mix[MAX_MIX];
    i64 to = blockIdx.x, row = source_row(p, to);
    if (row < 0) return;
    i64 x = row * p.x.outer;
    float squares = 0.0f;
    for (i32 j = 0; j < p.streams; j++)
        for (i32 c = threadIdx.x; c < p.width; c += blockDim.x) {
            float value = load_as_f32(p.x.data, p.x.dtype, x + j * p.x.inner + c);
            squares += value * value;
        }
    float factor = root_factor(block_sum(squares, scratch), static_cast<i64>(p.streams) * p.width, p.eps);
    i32 outs = p.comb.data ? p.streams * (p.streams + 2) : p.streams;
    for (i32 i = WARP; i < outs; i += blockDim.x / 32) {
        float dot = 0.0f;
        for (i32 j = 0; j < p.streams; j++) {
            const float* line = static_cast<const float*>(p.projection.data) + i * p.projection.outer + static_cast<i64>(j) * p.width;
            for (i32 c = LANE; c < p.width; c += 32) dot += load_as_f32(p.x.data, p.x.dtype, x + j * p.x.inner + c) * line[c];
        }
        dot = warp_sum(dot);
        if (LANE == 0) mix[i] = coefficient(p, dot * factor, i);
    }
    __syncthreads();
    squares = 0.0f;
    for (i32 c = threadIdx.x; c < p.width; c += blockDim.x) {
        float a = 0.0f;
        for (i32 j = 0; j < p.streams; j++) a += mix[j] * load_as_f32(p.x.data, p.x.dtype, x + j * p.x.inner + c);
        a = round_to(p.a.dtype, a);
        squares += a * a;
        store_f32(p.a.data, p.a.dtype, to * p.a.outer + c, a);
    }
    if (p.norm.data) {
        factor = root_factor(block_sum(squares, scratch), p.width, p.eps);
        // Each thread reads what it wrote itself.
        for (i32 c = threadIdx.x; c < p.width; c += blockDim.x) {
            i64 at = to * p.a.outer + c;
            store_f32(p.a.data, p.a.dtype, at, load_as_f32(p.a.data, p.a.dtype, at) * factor * load_as_f32(p.norm.data, p.norm.dtype, c));
        }
    }
    if (!p.comb.data || WARP != 0) return;
    if (LANE < static_cast<u32>(p.streams)) static_cast<float*>(p.post.data)[to * p.post.outer + LANE] = mix[p.streams + LANE];
    balance(mix + 2 * p.streams, p.streams, p.iters, p.hc_eps);
    store_matrix(mix + 2 * p.streams, p.streams, p.comb, to);
}
