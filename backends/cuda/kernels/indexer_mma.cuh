// indexer.select on tensor cores, for bf16 queries of up to 64 heads and 128 channels and keys in bf16 or packed F4. A warp has 16 keys (the rows of the product) and
// all heads (its columns). The queries stay in registers for the whole part; keys go from global memory straight into fragments. Both are possible because the order
// of the channels is free as long as both sides have the same: of each 32 channels a thread of a quad has eight that lie side by side.
#pragma once
#include "mma.cuh"
#include "indexer_select.cuh"

#define MMA_HEADS 64u
#define MMA_GROUPS 4u  // of 32 channels

DEVICE u32 load_word(const u8* from, bool aligned) {
    if (aligned) return *reinterpret_cast<const u32*>(from);
    return from[0] | from[1] << 8 | from[2] << 16 | static_cast<u32>(from[3]) << 24;
}

DEVICE Vec16 load_eight(const u8* from, bool aligned) {
    if (aligned) return load16(from);
    Vec16 v;
    for (u32 i = 0; i < 4; i++) v.w[i] = load_word(from + 4 * i, false);
    return v;
}

// Products of two bf16 by two bf16, exact here: a power of two times a number of few bits. sm_80 has it only with an addend.
DEVICE u32 scale_bf16(u32 x, u32 factor) {
#ifdef __CUDACC__
    u32 y;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(x), "r"(factor), "r"(0x80008000u));
    return y;
#else
    return pack_bf16(low_bf16(x) * low_bf16(factor), high_bf16(x) * high_bf16(factor));
#endif
}

// Keys as they are stored: those of rows g and g + 8 of the warp's tile, of each 32 channels this thread's eight.
template <bool packed> struct Keys;

template <> struct Keys<false> {
    Vec16 channels[2][MMA_GROUPS];
    bool there[2];

    DEVICE void load(const IndexerSelect& p, i32 half, i64 at, bool aligned) {
        const u8* key = static_cast<const u8*>(p.pool.data) + 2 * at;
        for (u32 group = 0; group < MMA_GROUPS; group++)
            channels[half][group] = 32 * group < static_cast<u32>(p.width) ? load_eight(key + 64 * group + 16 * (LANE % 4), aligned) : Vec16{};
    }
    DEVICE void clear(i32 half) {
        for (u32 group = 0; group < MMA_GROUPS; group++) channels[half][group] = Vec16{};
    }
    DEVICE void prepare() {}
    // Pair `pair` of the eight channels.
    DEVICE u32 pair(i32 half, u32 group, u32 pair) const { return channels[half][group].w[pair]; }
    // The same pair of a query's eight channels.
    static DEVICE void arrange(Vec16&) {}
};

template <> struct Keys<true> {
    u32 codes[2][MMA_GROUPS], scales[2], factors[2][MMA_GROUPS];
    bool there[2];

    DEVICE void load(const IndexerSelect& p, i32 half, i64 at, bool aligned) {
        const u8* key = static_cast<const u8*>(p.pool.data) + at;
        for (u32 group = 0; group < MMA_GROUPS; group++)
            codes[half][group] = 32 * group < static_cast<u32>(p.width) ? load_word(key + 16 * group + 4 * (LANE % 4), aligned) : 0;
        const u8* scale = key + p.width / 2;
        if (p.width == 128) {
            scales[half] = load_word(scale, aligned);
            return;
        }
        scales[half] = 0;
        for (i32 group = 0; group < p.width / 32; group++) scales[half] |= static_cast<u32>(scale[group]) << (8 * group);
    }
    DEVICE void clear(i32 half) {
        for (u32 group = 0; group < MMA_GROUPS; group++) codes[half][group] = 0;
        scales[half] = 0;
    }
    // A code's bits, placed where bf16 has exponent and fraction, are the number divided by 2^126: the factor has that and the scale.
    DEVICE void prepare() {
        for (u32 half = 0; half < 2; half++)
            for (u32 group = 0; group < MMA_GROUPS; group++) {
                u32 scale = (scales[half] >> (8 * group)) & 255u;
                u32 field = scale == 255 ? 0x7fffu : ((scale > 128 ? 128 : scale) + 126) << 7;
                factors[half][group] = field | field << 16;
            }
    }
    // Channels `pair` and `pair + 4` of the eight.
    DEVICE u32 pair(i32 half, u32 group, u32 pair) const {
        u32 word = codes[half][group] >> (4 * pair);
        u32 x = scale_bf16(((word << 12) & 0x80008000u) | ((word << 6) & 0x01c001c0u), factors[half][group]);
        u32 scale = (scales[half] >> (8 * group)) & 255u;
        if (scale > 128) {
            // What the first factor could not hold.
            u32 field = scale == 255 ? 0x3f80u : (scale - 1) << 7;
            x = scale_bf16(x, field | field << 16);
        }
        return x;
    }
    static DEVICE void arrange(Vec16& v) {
        Vec16 w = v;
        v.w[0] = (w.w[0] & 0xffffu) | w.w[2] << 16;
        v.w[1] = w.w[0] >> 16 | (w.w[2] & 0xffff0000u);
        v.w[2] = (w.w[1] & 0xffffu) | w.w[3] << 16;
        v.w[3] = w.w[1] >> 16 | (w.w[3] & 0xffff0000u);
    }
};

// The queries of a row as fragments: of head 8n + g the pairs that meet those of the keys.
struct Queries {
    u32 pairs[MMA_HEADS / 8][MMA_GROUPS][4];
};

template <bool packed> DEVICE void load_queries(const IndexerSelect& p, i64 row, Queries& q) {
    bool aligned = p.q_aligned;
#pragma unroll
    for (u32 n = 0; n < MMA_HEADS / 8; n++)
#pragma unroll
        for (u32 group = 0; group < MMA_GROUPS; group++) {
            u32 head = 8 * n + LANE / 4;
            Vec16 v = Vec16{};
            if (head < static_cast<u32>(p.heads) && 32 * group < static_cast<u32>(p.width))
                v = load_eight(static_cast<const u8*>(p.q.data) + 2 * (row * p.q.outer + head * p.q.inner) + 64 * group + 16 * (LANE % 4), aligned);
            Keys<packed>::arrange(v);
#pragma unroll
            for (u32 i = 0; i < 4; i++) q.pairs[n][group][i] = v.w[i];
        }
}

// The keys of a warp's tile: rows g and g + 8 of the 16 entries from `first` on.
template <bool packed> DEVICE void load_keys(const IndexerSelect& p, i32 sequence, u32 first, u32 end, Keys<packed>& keys) {
    for (u32 half = 0; half < 2; half++) {
        u32 entry = first + LANE / 4 + 8 * half;
        i64 at = entry < end ? key_of(p, sequence, entry) : -1;
        keys.there[half] = at >= 0;
        if (at >= 0) keys.load(p, half, at, p.pool_aligned);
        else keys.clear(half);
    }
}

// Scores of the tile before the common factor, of row g and of row g + 8, the same in all four threads of a quad.
template <bool packed> DEVICE void score_tile(const Queries& q, const float* weights, Keys<packed>& keys, float (&sums)[2]) {
    float products[MMA_HEADS / 8][4] = {};
    keys.prepare();
#pragma unroll
    for (u32 group = 0; group < MMA_GROUPS; group++)
#pragma unroll
        for (u32 s = 0; s < 2; s++) {
            u32 a[4] = {keys.pair(0, group, 2 * s), keys.pair(1, group, 2 * s), keys.pair(0, group, 2 * s + 1), keys.pair(1, group, 2 * s + 1)};
#pragma unroll
            for (u32 n = 0; n < MMA_HEADS / 8; n++) {
                u32 b[2] = {q.pairs[n][group][2 * s], q.pairs[n][group][2 * s + 1]};
                mma_bf16(products[n], a, b);
            }
        }
    sums[0] = sums[1] = 0.0f;
#pragma unroll
    for (u32 n = 0; n < MMA_HEADS / 8; n++) {
        float even = weights[8 * n + 2 * (LANE % 4)], odd = weights[8 * n + 2 * (LANE % 4) + 1];
#pragma unroll
        for (u32 half = 0; half < 2; half++) sums[half] += even * relu(products[n][2 * half]) + odd * relu(products[n][2 * half + 1]);
    }
#pragma unroll
    for (u32 half = 0; half < 2; half++)
#pragma unroll
        for (u32 step = 1; step < 4; step *= 2) sums[half] += __shfl_xor_sync(FULL_WARP, sums[half], static_cast<int>(step));
}

template <bool packed> DEVICE void select_mma(const IndexerSelect& p, u64* ranks, TopKState* state, float* weights) {
    TopK best = {ranks, state, static_cast<u32>(p.keep), static_cast<u32>(p.room)};
    i64 row = blockIdx.x;
    Visible seen;
    Part part;
    if (!begin_part(p, best, row, seen, part)) return;
    if (threadIdx.x < MMA_HEADS) weights[threadIdx.x] = threadIdx.x < static_cast<u32>(p.heads) ? static_cast<const float*>(p.w.data)[row * p.w.outer + threadIdx.x] : 0.0f;
    Queries queries;
    load_queries<packed>(p, row, queries);
    Keys<packed> next;
    u32 first = part.begin + 16 * WARP;
    load_keys<packed>(p, seen.sequence, first, part.end, next);
    for (u32 done = part.begin; done < part.end;) {
        // Both barriers in here also stand between the weights and their first use.
        u32 until = done + topk_room(best, SELECT_STEP) / SELECT_STEP * SELECT_STEP;
        if (until > part.end) until = part.end;
        for (; first < until; first += SELECT_STEP) {
            Keys<packed> keys = next;
            load_keys<packed>(p, seen.sequence, first + SELECT_STEP, part.end, next);
            float sums[2];
            score_tile<packed>(queries, weights, keys, sums);
            u32 half = LANE & 1;
            offer(best, LANE % 4 < 2 && (half ? keys.there[1] : keys.there[0]), (half ? sums[1] : sums[0]) * p.factor, first + LANE / 4 + 8 * half);
        }
        done = until;
    }
    end_part(p, best, row);
}

KERNEL(select_bf16, IndexerSelect, 256, 1) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    __shared__ float weights[MMA_HEADS];
    select_mma<false>(p, ranks, &state, weights);
}

KERNEL(select_f4, IndexerSelect, 256, 1) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    __shared__ float weights[MMA_HEADS];
    select_mma<true>(p, ranks, &state, weights);
}
