// indexer.query: one warp a head. indexer.select: a block scores a part of a row's entries, tile by tile, and keeps the best; scores are never written.
#include "common.cuh"
#include "mma.cuh"
#include "params_indexer.h"
#include "topk.cuh"
#include "indexer_select.cuh"
#include "indexer_mma.cuh"

// Orthonormal Hadamard matrix, Sylvester's, on one warp's vector in shared memory.
DEVICE void hadamard(float* x, i32 width) {
    for (i32 half = 1; half < width; half *= 2) {
        __syncwarp();
        for (i32 i = LANE; i < width / 2; i += 32) {
            i32 low = 2 * i - (i & (half - 1));
            float a = x[low], b = x[low + half];
            x[low] = a + b, x[low + half] = a - b;
        }
    }
    __syncwarp();
    float factor = 1.0f / sqrtf(static_cast<float>(width));
    for (i32 i = LANE; i < width; i += 32) x[i] *= factor;
}

// E2M1 with a power-of-two scale for the 32 numbers of a warp: `2^ceil(log2(max(amax, 6 * 2^-126) / 6))`, the logarithm taken from the bits. NaN stays NaN.
DEVICE float round_f4(float x) {
    float amax = fmaxf(warp_max(x == x ? fabsf(x) : 0.0f), 6.0f * 0x1p-126f);
    u32 bits = __float_as_uint(amax * (1.0f / 6.0f));
    u32 code = (bits >> 23) + ((bits & 0x7fffffu) != 0);
    if (amax == INFINITY_F) code = 254;
    float scaled = x * e8m0_to_f32(static_cast<u8>(254 - code));
    return x == x ? e2m1_to_f32(f32_to_e2m1(scaled)) * e8m0_to_f32(static_cast<u8>(code)) : x;
}

KERNEL(query, IndexerQuery, 256, 4) {
    DYN_SHARED(float, all);
    i64 vector = static_cast<i64>(blockIdx.x) * (blockDim.x >> 5) + WARP;
    if (vector >= p.vectors) return;
    i64 row = vector / p.heads, at = row * p.q.outer + vector % p.heads * p.q.inner;
    const i32* token = static_cast<const i32*>(p.toks.data) + row * p.toks.outer;
    if (token[0] < 0 || token[1] < 0 || token[2] < 0) return;
    float* x = all + WARP * p.width;
    i32 plain = p.width - p.rotary;
    const float* angles = static_cast<const float*>(p.rope.data) + min(token[0], p.positions - 1) * p.rope.outer;
    bool rounds = p.q.dtype == BF16;
    for (i32 i = LANE; i < plain; i += 32) x[i] = load_as_f32(p.q.data, p.q.dtype, at + i);
    for (i32 i = LANE; i < p.rotary / 2; i += 32) {
        float a = load_as_f32(p.q.data, p.q.dtype, at + plain + 2 * i), b = load_as_f32(p.q.data, p.q.dtype, at + plain + 2 * i + 1);
        float c = angles[2 * i], s = angles[2 * i + 1], even = a * c - b * s, odd = a * s + b * c;
        x[plain + 2 * i] = rounds ? round_as<bf16>(even) : even;
        x[plain + 2 * i + 1] = rounds ? round_as<bf16>(odd) : odd;
    }
    if (p.hadamard) hadamard(x, p.width);
    __syncwarp();
    for (i32 first = 0; first < p.width; first += 32) {
        i32 i = first + static_cast<i32>(LANE);
        float y = i < p.width ? x[i] : 0.0f;
        if (rounds) y = round_as<bf16>(y);
        if (p.quant) y = round_f4(y);
        if (i < p.width) store_f32(p.q.data, p.q.dtype, at + i, y);
    }
}

// The best of what the parts of a row have left.
KERNEL(select_merge, IndexerSelect, 512, 1) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    TopK best = {ranks, &state, static_cast<u32>(p.keep), static_cast<u32>(p.room)};
    i64 row = blockIdx.x;
    Visible seen = visible_to(p, row);
    if (seen.sequence < 0) return;
    topk_clear(best);
    if (!seen.scored) {
        offer_all(p, best, seen);
    } else {
        Part part = part_of(p, seen.count, 0);
        const u64* parts = static_cast<const u64*>(p.parts) + row * p.segments * p.left;
        topk_offer(best, 0, part.active * p.left, [parts](u32 i) { return parts[i]; });
    }
    write_entries(p, best, row);
}
