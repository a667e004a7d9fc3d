// The feed-forward operators of moe.*: which (row, choice) pairs a block works on, and what becomes of its sums. moe.mlp is one expert that every row chooses once.
#pragma once
#include "mma.cuh"
#include "params_moe.h"
#include "weights.cuh"

// Pairs that a launch without sorting may have: a block looks for its own among all of them.
constexpr i32 FEW_PAIRS = 512;

// Number of the expert of a pair among those of this device, -1 for absent and foreign ones.
DEVICE i32 local_expert(const MoeFfn& p, i32 pair) {
    if (!p.idx.data) return 0;
    i64 e = static_cast<const i32*>(p.idx.data)[pair / p.choices * p.idx.outer + pair % p.choices];
    e -= p.first;
    return e >= 0 && e < p.local ? static_cast<i32>(e) : -1;
}

DEVICE float weight_of(const MoeFfn& p, i32 pair) {
    if (!p.wt.data) return 1.0f;
    return static_cast<const float*>(p.wt.data)[pair / p.choices * p.wt.outer + pair % p.choices];
}

// `silu(min(g, limit)) * clamp(u, -limit, limit) * weight`; comparisons, so that NaN stays NaN.
DEVICE float swiglu(float gate, float up, float limit, float weight) {
    gate = gate > limit ? limit : gate;
    up = up < -limit ? -limit : up > limit ? limit : up;
    return gate / (1.0f + expf(-gate)) * up * weight;
}

// The pairs of one expert that a block works on; `matrix` is the expert's weight. No pairs: no work.
struct Pairs { i32 count, matrix; };

// Among few pairs: those with the expert of pair `group`, if that one is the first of them. Called by one warp.
DEVICE Pairs pairs_of_first(const MoeFfn& p, i32 group, i32* list) {
    i32 own = local_expert(p, group), count = 0, total = p.rows * p.choices;
    if (own < 0) return Pairs{0, 0};
#pragma unroll 4
    for (i32 base = 0; base < total; base += 32) {
        i32 pair = base + LANE;
        bool mine = pair < total && local_expert(p, pair) == own;
        u32 votes = __ballot_sync(FULL_WARP, mine);
        if (mine) list[count + __popc(votes & ((1u << LANE) - 1))] = pair;
        if (count == 0 && votes && base + __ffs(votes) - 1 < group) return Pairs{0, 0};
        count += __popc(votes);
    }
    return Pairs{count, own};
}

// Sorted places `first..end`, all of one expert.
struct Places { i32 first, end, expert; };

// Tile `tile` of up to `height` sorted pairs; every expert begins a new tile. Called by whole warps, which all get the same.
DEVICE Places places_of_tile(const i32* counts, i32 experts, i32 tile, i32 height) {
    i32 pairs_before = 0, tiles_before = 0;
    for (i32 base = 0; base < experts; base += 32) {
        i32 e = base + LANE, count = e < experts ? counts[e] : 0, pairs = count, tiles = (count + height - 1) / height;
        for (u32 step = 1; step < 32; step <<= 1) {
            i32 more_pairs = __shfl_up_sync(FULL_WARP, pairs, step), more_tiles = __shfl_up_sync(FULL_WARP, tiles, step);
            if (LANE >= step) pairs += more_pairs, tiles += more_tiles;
        }
        u32 past = __ballot_sync(FULL_WARP, tiles_before + tiles > tile);
        if (past) {
            // The expert of the lowest such lane: its tiles and pairs end here.
            i32 lane = __ffs(past) - 1, own = __shfl_sync(FULL_WARP, count, lane);
            i32 end = pairs_before + __shfl_sync(FULL_WARP, pairs, lane), last = tiles_before + __shfl_sync(FULL_WARP, tiles, lane);
            i32 first = end - own + (tile - last + (own + height - 1) / height) * height;
            return Places{first, min(end, first + height), base + lane};
        }
        pairs_before += __shfl_sync(FULL_WARP, pairs, 31);
        tiles_before += __shfl_sync(FULL_WARP, tiles, 31);
    }
    return Places{0, 0, 0};
}

// What block group `group` of tiles of `height` pairs works on. `list` holds FEW_PAIRS and at least `height` numbers in shared memory, `found` two.
DEVICE Pairs find_pairs(const MoeFfn& p, i32 group, i32 height, i32* list, i32* found) {
    if (p.sorted || !p.idx.data) {
        const i32* order = static_cast<const i32*>(p.perm);
        Places at{min(group * height, p.rows), min((group + 1) * height, p.rows), 0};
        if (p.sorted) at = places_of_tile(static_cast<const i32*>(p.counts), p.local, group, height);
        for (i32 i = at.first + threadIdx.x; i < at.end; i += blockDim.x) list[i - at.first] = p.sorted ? order[i] : i;
        __syncthreads();
        return Pairs{at.end - at.first, at.expert};
    }
    if (WARP == 0) {
        Pairs pairs = pairs_of_first(p, group, list);
        if (LANE == 0) found[0] = pairs.count, found[1] = pairs.matrix;
    }
    __syncthreads();
    return Pairs{found[0], found[1]};
}

// Where a pair's result goes: to the row itself if it is all of the sum, or to memory that `moe_combine` adds up.
DEVICE void store_result(const MoeFfn& p, i32 pair, i32 channel, float sum) {
    if (p.results) static_cast<float*>(p.results)[static_cast<i64>(pair) * p.width + channel] = sum;
    else store_f32(p.y.data, p.y.dtype, static_cast<i64>(pair) * p.y.outer + channel, sum);
}

// ---- any layout, f32 products: a block makes eight channels of a pair, a warp each -----------------------------------------------------------

// A row of `count` values into shared memory as f32, rounded in groups of 128 if asked.
DEVICE void stage_row(float* to, const void* from, i32 dtype, i64 first, i32 count, i32 a_quant) {
    if (!a_quant) {
        for (i32 c = threadIdx.x; c < count; c += blockDim.x) to[c] = load_as_f32(from, dtype, first + c);
    } else {
        // A warp takes a group.
        for (i32 group = WARP; group < count / 128; group += blockDim.x / 32) {
            float x[4], largest = 0.0f;
            for (int i = 0; i < 4; i++) {
                x[i] = load_as_f32(from, dtype, first + group * 128 + i * 32 + LANE);
                largest = fmaxf(largest, fabsf(x[i]));
            }
            i32 k = e4m3_exponent(warp_max(largest));
            for (int i = 0; i < 4; i++)
                to[group * 128 + i * 32 + LANE] = e4m3_to_f32(f32_to_e4m3(x[i] * power_of_two(-k))) * power_of_two(k);
        }
    }
    __syncthreads();
}

// Inner product of a row with `x` in shared memory, by a warp.
template <int CODE> DEVICE float dot_row(const Matrix& m, i32 row, const float* x) {
    constexpr i32 COLS = 128 / Code<CODE>::BITS;
    float sum = 0.0f;
    const u8* line = m.data + row * m.row_bytes;
    if (CODE == F32 || m.cols % COLS || reinterpret_cast<u64>(line) % 16) {
        for (i32 c = LANE; c < m.cols; c += 32) sum += weight_at<CODE>(m, row, c) * x[c];
    } else if constexpr (CODE != F32) {
        // The columns of a lane's 16 bytes share a scale.
#pragma unroll 4
        for (i32 c = LANE * COLS; c < m.cols; c += 32 * COLS) {
            Vec16 v = load_once(line + code_bytes<CODE>(c));
            float part = 0.0f;
#pragma unroll
            for (i32 e = 0; e < COLS / 8; e++) {
                u32 pairs[4];
                Widen<CODE>::eight(pairs, v.w + e * Widen<CODE>::WORDS, factor_of<CODE>(127));
#pragma unroll
                for (int i = 0; i < 4; i++) part += low_bf16(pairs[i]) * x[c + e * 8 + 2 * i] + high_bf16(pairs[i]) * x[c + e * 8 + 2 * i + 1];
            }
            sum += CODE == BF16 ? part : part * scale_of(m, row, c);
        }
    }
    return warp_sum(sum);
}

template <int CODE> DEVICE void up_any(const MoeFfn& p) {
    DYN_SHARED(float, x);
    i32 tiles = (p.inter + 7) / 8, pair = blockIdx.x / tiles, channel = static_cast<i32>(blockIdx.x % tiles) * 8 + WARP, e = local_expert(p, pair);
    if (e < 0) return;
    stage_row(x, p.x.data, p.x.dtype, pair / p.choices * p.x.outer, p.width, p.a_quant);
    if (channel >= p.inter) return;
    Matrix m = matrix_of<CODE>(p.w13, e, 2 * p.inter, p.width, p.w13_row, p.w13_matrix);
    float gate = dot_row<CODE>(m, channel, x), up = dot_row<CODE>(m, channel + p.inter, x);
    float hidden = swiglu(gate, up, p.limit, weight_of(p, pair));
    if (LANE == 0) store_f32(p.hidden, p.x.dtype, static_cast<i64>(pair) * p.inter + channel, hidden);
}

template <int CODE> DEVICE void down_any(const MoeFfn& p) {
    DYN_SHARED(float, x);
    i32 tiles = (p.width + 7) / 8, pair = blockIdx.x / tiles, channel = static_cast<i32>(blockIdx.x % tiles) * 8 + WARP, e = local_expert(p, pair);
    if (e < 0) return;
    stage_row(x, p.hidden, p.x.dtype, pair * p.hidden_row, p.inter, p.a_quant);
    if (channel >= p.width) return;
    float sum = dot_row<CODE>(matrix_of<CODE>(p.w2, e, p.width, p.inter, p.w2_row, p.w2_matrix), channel, x);
    if (LANE == 0) store_result(p, pair, channel, sum);
}
