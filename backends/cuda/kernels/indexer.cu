// indexer.query: one warp a head. indexer.select: a block scores a part of a row's entries, tile by tile, and keeps the best; scores are never written.
#include "common.cuh"
#include "mma.cuh"
#include "params_indexer.h"
#include "topk.cuh"
#include "indexer_select.cuh"
#include "indexer_mma.cuh"

template <typename T, int n> struct alignas(sizeof(T) * n) Pack { T v[n]; };

// A warp's vector, `each` neighbours a lane: channel `each * LANE + e`.
template <int each> struct Vector {
    float x[each];

    // In one access where the address allows it.
    template <typename T> DEVICE void load(const T* from) {
        Pack<T, each> pack;
        if (reinterpret_cast<u64>(from) % sizeof pack == 0) pack = *reinterpret_cast<const Pack<T, each>*>(from);
        else
            for (int e = 0; e < each; e++) pack.v[e] = from[e];
#pragma unroll
        for (int e = 0; e < each; e++) x[e] = to_f32(pack.v[e]);
    }
    template <typename T> DEVICE void store(T* to) const {
        Pack<T, each> pack;
#pragma unroll
        for (int e = 0; e < each; e++) pack.v[e] = from_f32<T>(x[e]);
        if (reinterpret_cast<u64>(to) % sizeof pack == 0) *reinterpret_cast<Pack<T, each>*>(to) = pack;
        else
            for (int e = 0; e < each; e++) to[e] = pack.v[e];
    }

    // Orthonormal Hadamard matrix, Sylvester's: first the bits of the channel that lie in a lane, then those that are the lane.
    DEVICE void hadamard() {
#pragma unroll
        for (int half = 1; half < each; half *= 2)
#pragma unroll
            for (int e = 0; e < each; e++)
                if (!(e & half)) {
                    float a = x[e], b = x[e + half];
                    x[e] = a + b, x[e + half] = a - b;
                }
        for (int step = 1; step < 32; step *= 2)
#pragma unroll
            for (int e = 0; e < each; e++) {
                float other = __shfl_xor_sync(FULL_WARP, x[e], step);
                x[e] = LANE & step ? other - x[e] : x[e] + other;
            }
        float factor = 1.0f / sqrtf(32.0f * each);
#pragma unroll
        for (int e = 0; e < each; e++) x[e] *= factor;
    }

    // E2M1 in groups of 32 with a power-of-two scale: `2^ceil(log2(max(amax, 6 * 2^-126) / 6))`, the logarithm taken from the bits. NaN stays NaN.
    DEVICE void round_f4() {
        float amax = 6.0f * 0x1p-126f;
#pragma unroll
        for (int e = 0; e < each; e++) amax = fmaxf(amax, x[e] == x[e] ? fabsf(x[e]) : 0.0f);
        for (int step = 1; step < 32 / each; step *= 2) amax = fmaxf(amax, __shfl_xor_sync(FULL_WARP, amax, step));
        u32 bits = __float_as_uint(amax * (1.0f / 6.0f)), code = (bits >> 23) + ((bits & 0x7fffffu) != 0);
        if (amax == INFINITY_F) code = 254;
        float scale = e8m0_to_f32(static_cast<u8>(code)), inverse = e8m0_to_f32(static_cast<u8>(254 - code));
#pragma unroll
        for (int e = 0; e < each; e++)
            if (x[e] == x[e]) x[e] = e2m1_to_f32(f32_to_e2m1(x[e] * inverse)) * scale;
    }

    DEVICE void round() {
#pragma unroll
        for (int e = 0; e < each; e++) x[e] = round_as<bf16>(x[e]);
    }
};

// The head that a warp works on.
struct Head {
    i64 at;  // first element in `q`; -1: nothing to do
    i32 position;
};

DEVICE Head head_of(const IndexerQuery& p) {
    i64 vector = static_cast<i64>(blockIdx.x) * (blockDim.x >> 5) + WARP;
    if (vector >= p.vectors) return {-1, 0};
    i64 row = vector / p.heads;
    const i32* token = static_cast<const i32*>(p.toks.data) + row * p.toks.outer;
    if (token[0] < 0 || token[1] < 0 || token[2] < 0) return {-1, 0};
    return {row * p.q.outer + vector % p.heads * p.q.inner, min(token[0], p.positions - 1)};
}

// Widths of 32 times 2 or 4: a pair of the rotation lies in one lane.
template <int each> DEVICE void query_in_registers(const IndexerQuery& p) {
    Head head = head_of(p);
    if (head.at < 0) return;
    i32 first = each * static_cast<i32>(LANE), plain = p.width - p.rotary;
    bool rounds = p.q.dtype == BF16;
    Vector<each> v;
    if (rounds) v.load(static_cast<const bf16*>(p.q.data) + head.at + first);
    else v.load(static_cast<const float*>(p.q.data) + head.at + first);
    const float* angles = static_cast<const float*>(p.rope.data) + head.position * p.rope.outer;
#pragma unroll
    for (int e = 0; e < each; e += 2) {
        i32 channel = first + e - plain;
        if (channel < 0) continue;
        float c = angles[channel], s = angles[channel + 1], a = v.x[e], b = v.x[e + 1];
        v.x[e] = a * c - b * s, v.x[e + 1] = a * s + b * c;
    }
    if (rounds) v.round();
    if (p.hadamard) v.hadamard();
    if (rounds && p.hadamard) v.round();
    if (p.quant) v.round_f4();
    if (rounds) v.store(static_cast<bf16*>(p.q.data) + head.at + first);
    else v.store(static_cast<float*>(p.q.data) + head.at + first);
}

KERNEL(query_64, IndexerQuery, 256, 4) { query_in_registers<2>(p); }
KERNEL(query_128, IndexerQuery, 256, 4) { query_in_registers<4>(p); }

// Any width, in shared memory.
KERNEL(query, IndexerQuery, 256, 4) {
    DYN_SHARED(float, all);
    Head head = head_of(p);
    if (head.at < 0) return;
    float* x = all + WARP * p.width;
    i32 plain = p.width - p.rotary;
    bool rounds = p.q.dtype == BF16;
    const float* angles = static_cast<const float*>(p.rope.data) + head.position * p.rope.outer;
    for (i32 i = LANE; i < plain; i += 32) x[i] = load_as_f32(p.q.data, p.q.dtype, head.at + i);
    for (i32 i = LANE; i < p.rotary / 2; i += 32) {
        i64 pair = head.at + plain + 2 * i;
        float a = load_as_f32(p.q.data, p.q.dtype, pair), b = load_as_f32(p.q.data, p.q.dtype, pair + 1);
        float c = angles[2 * i], s = angles[2 * i + 1], even = a * c - b * s, odd = a * s + b * c;
        x[plain + 2 * i] = rounds ? round_as<bf16>(even) : even;
        x[plain + 2 * i + 1] = rounds ? round_as<bf16>(odd) : odd;
    }
    for (i32 half = 1; p.hadamard && half < p.width; half *= 2) {
        __syncwarp();
        for (i32 i = LANE; i < p.width / 2; i += 32) {
            i32 low = 2 * i - (i & (half - 1));
            float a = x[low], b = x[low + half];
            x[low] = a + b, x[low + half] = a - b;
        }
    }
    __syncwarp();
    float factor = p.hadamard ? 1.0f / sqrtf(static_cast<float>(p.width)) : 1.0f;
    for (i32 from = 0; from < p.width; from += 32) {
        i32 i = from + static_cast<i32>(LANE);
        Vector<1> v = {{i < p.width ? x[i] * factor : 0.0f}};
        if (rounds) v.round();
        if (p.quant) v.round_f4();
        if (i < p.width) store_f32(p.q.data, p.q.dtype, head.at + i, v.x[0]);
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
