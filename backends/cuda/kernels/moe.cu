// moe.*: routing and experts (deepseek-v4.md 6).
#include "moe_mma.cuh"

// ---- moe.group: block e places the pairs of expert e, the last block those that belong to none ---------------------------------------------------

DEVICE i32 group_of(const MoeGroup& p, i32 pair) {
    i32 row = pair / p.choices;
    i64 e = row < p.live ? static_cast<i64>(static_cast<const i32*>(p.idx.data)[row * p.idx.outer + pair % p.choices]) - p.first : -1;
    return e >= 0 && e < p.local ? static_cast<i32>(e) : p.local;
}

KERNEL(moe_group, MoeGroup, 256, 4) {
    __shared__ i32 before[8], counts[2][8];
    i32 own = blockIdx.x, less = 0, mine = 0;
    for (i32 pair = threadIdx.x; pair < p.pairs; pair += blockDim.x) {
        i32 e = group_of(p, pair);
        less += e < own, mine += e == own;
    }
    for (int step = 16; step; step >>= 1) {
        less += __shfl_xor_sync(FULL_WARP, less, step);
        mine += __shfl_xor_sync(FULL_WARP, mine, step);
    }
    if (LANE == 0) before[WARP] = less, counts[1][WARP] = mine;
    __syncthreads();
    i32 place = 0, total = 0;
    for (i32 w = 0; w < 8; w++) place += before[w], total += counts[1][w];
    if (threadIdx.x == 0 && own < p.local) static_cast<i32*>(p.counts)[own] = total;
    if (total == 0) return;
    // Two sets of counts in turn, beginning with the one not read above: a warp may be one round ahead of another.
    for (i32 base = 0, round = 0; base < p.pairs; base += blockDim.x, round ^= 1) {
        i32 pair = base + threadIdx.x;
        bool here = pair < p.pairs && group_of(p, pair) == own;
        u32 votes = __ballot_sync(FULL_WARP, here);
        if (LANE == 0) counts[round][WARP] = __popc(votes);
        __syncthreads();
        i32 at = place + __popc(votes & ((1u << LANE) - 1));
        for (u32 w = 0; w < 8; w++) {
            if (w < WARP) at += counts[round][w];
            place += counts[round][w];
        }
        if (!here) continue;
        static_cast<i32*>(p.perm)[at] = pair;
        if (p.src) static_cast<i32*>(p.src)[at] = pair / p.choices;
        if (p.inv) static_cast<i32*>(p.inv)[pair] = at;
    }
}

// ---- moe.route: choice from the logits, a warp a row -----------------------------------------------------------------------------------------

// `sqrt(softplus(x))`; beyond 20 softplus is its argument in f32.
DEVICE float route_score(float logit) { return sqrtf(logit > 20.0f ? logit : log1pf(expf(logit))); }

// Numbers ordered as unsigned integers, all above 0. NaN ranks below every number.
DEVICE u32 route_rank(float x) {
    u32 bits = __float_as_uint(x != x ? -INFINITY_F : x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The best of the keys, the lowest of equals; it loses its key.
DEVICE i32 take_best(u32* keys, i32 count) {
    u32 best = 0;
    i32 at = 0x7fffffff;
    for (i32 e = LANE; e < count; e += 32)
        if (keys[e] > best) best = keys[e], at = e;
    for (int step = 16; step; step >>= 1) {
        u32 key = __shfl_xor_sync(FULL_WARP, best, step);
        i32 other = __shfl_xor_sync(FULL_WARP, at, step);
        if (key > best || (key == best && other < at)) best = key, at = other;
    }
    if (LANE == 0) keys[at] = 0;
    __syncwarp();
    return at;
}

DEVICE void choose(const MoeRoute& p) {
    DYN_SHARED(u32, all);
    i64 row = static_cast<i64>(blockIdx.x) * 4 + WARP;
    if (row >= p.rows) return;
    u32* keys = all + WARP * p.experts;
    const float* logits = static_cast<const float*>(p.logits.data) + row * p.logits.outer;
    i32* idx = static_cast<i32*>(p.idx.data) + row * p.idx.outer;
    float* wt = static_cast<float*>(p.wt.data) + row * p.wt.outer;
    bool padding = static_cast<const i32*>(p.toks.data)[row * p.toks.outer + 1] < 0;
    if (padding) {
        for (i32 q = LANE; q < p.choices; q += 32) idx[q] = -1, wt[q] = 0.0f;
        return;
    }
    i64 id = p.table.data ? static_cast<const i32*>(p.ids)[row] : -1;
    const i32* listed = id >= 0 && id < p.vocab ? static_cast<const i32*>(p.table.data) + id * p.table.outer : nullptr;
    if (p.bias)
        for (i32 e = LANE; e < p.experts; e += 32) keys[e] = route_rank(route_score(logits[e]) + static_cast<const float*>(p.bias)[e]);
    __syncwarp();
    float sum = 0.0f;
    for (i32 q = 0; q < p.choices; q++) {
        i32 e = p.bias ? take_best(keys, p.experts) : listed ? listed[q] : -1;
        float score = e >= 0 && e < p.experts ? route_score(logits[e]) : 0.0f;
        sum += score;
        if (LANE == 0) idx[q] = e, wt[q] = score;
    }
    __syncwarp();
    // 1e-20: deepseek-v4.md 6.
    for (i32 q = LANE; q < p.choices; q += 32) wt[q] = wt[q] / (sum + 1e-20f) * p.scale;
}

KERNEL(moe_choose, MoeRoute, 128, 8) { choose(p); }

// ---- moe.swiglu ------------------------------------------------------------------------------------------------------------------------------

KERNEL(moe_swiglu, MoeSwiglu, 256, 8) {
    i32 tiles = (p.inter + 255) / 256, c = static_cast<i32>(blockIdx.x % tiles) * 256 + threadIdx.x;
    i64 row = blockIdx.x / tiles, x = row * p.x.outer + c;
    if (c >= p.inter) return;
    float weight = p.wt ? static_cast<const float*>(p.wt)[row] : 1.0f;
    float y = swiglu(load_as_f32(p.x.data, p.x.dtype, x), load_as_f32(p.x.data, p.x.dtype, x + p.inter), p.limit, weight);
    store_f32(p.y.data, p.y.dtype, row * p.y.outer + c, y);
}

// ---- moe.mlp and moe.experts -----------------------------------------------------------------------------------------------------------------

// Adds the results of a row's choices to `acc`, in their order; one rounding.
KERNEL(moe_combine, MoeFfn, 256, 8) {
    i32 tiles = (p.width + 255) / 256, c = static_cast<i32>(blockIdx.x % tiles) * 256 + threadIdx.x;
    i64 row = blockIdx.x / tiles;
    if (c >= p.width) return;
    float sum = p.acc.data ? load_as_f32(p.acc.data, p.acc.dtype, row * p.acc.outer + c) : 0.0f;
    for (i32 q = 0; q < p.choices; q++) {
        i64 pair = row * p.choices + q;
        if (local_expert(p, static_cast<i32>(pair)) >= 0) sum += static_cast<const float*>(p.results)[pair * p.width + c];
    }
    store_f32(p.y.data, p.y.dtype, row * p.y.outer + c, sum);
}

KERNEL(moe_up_any_f32, MoeFfn, 256, 2) { up_any<F32>(p); }
KERNEL(moe_up_any_bf16, MoeFfn, 256, 2) { up_any<BF16>(p); }
KERNEL(moe_up_any_f8, MoeFfn, 256, 2) { up_any<F8E4M3>(p); }
KERNEL(moe_up_any_f4, MoeFfn, 256, 2) { up_any<F4E2M1X2>(p); }
KERNEL(moe_down_any_f32, MoeFfn, 256, 2) { down_any<F32>(p); }
KERNEL(moe_down_any_bf16, MoeFfn, 256, 2) { down_any<BF16>(p); }
KERNEL(moe_down_any_f8, MoeFfn, 256, 2) { down_any<F8E4M3>(p); }
KERNEL(moe_down_any_f4, MoeFfn, 256, 2) { down_any<F4E2M1X2>(p); }

// Up to 8 pairs of an expert, its columns split among the warps.
KERNEL(moe_up_few_bf16, MoeFfn, 256, 2) { ffn<BF16, 1, true, true>(p); }
KERNEL(moe_up_few_f8, MoeFfn, 256, 2) { ffn<F8E4M3, 1, true, true>(p); }
KERNEL(moe_up_few_f4, MoeFfn, 256, 2) { ffn<F4E2M1X2, 1, true, true>(p); }
KERNEL(moe_down_few_bf16, MoeFfn, 256, 2) { ffn<BF16, 1, true, false>(p); }
KERNEL(moe_down_few_f8, MoeFfn, 256, 2) { ffn<F8E4M3, 1, true, false>(p); }
KERNEL(moe_down_few_f4, MoeFfn, 256, 2) { ffn<F4E2M1X2, 1, true, false>(p); }

// Up to 32 pairs, columns split.
KERNEL(moe_up_some_bf16, MoeFfn, 256, 1) { ffn<BF16, 4, true, true>(p); }
KERNEL(moe_up_some_f8, MoeFfn, 256, 1) { ffn<F8E4M3, 4, true, true>(p); }
KERNEL(moe_up_some_f4, MoeFfn, 256, 1) { ffn<F4E2M1X2, 4, true, true>(p); }
KERNEL(moe_down_some_bf16, MoeFfn, 256, 1) { ffn<BF16, 4, true, false>(p); }
KERNEL(moe_down_some_f8, MoeFfn, 256, 1) { ffn<F8E4M3, 4, true, false>(p); }
KERNEL(moe_down_some_f4, MoeFfn, 256, 1) { ffn<F4E2M1X2, 4, true, false>(p); }

// Up to 64 pairs, each warp has channels of its own.
KERNEL(moe_up_many_bf16, MoeFfn, 256, 1) { ffn<BF16, 8, false, true>(p); }
KERNEL(moe_up_many_f8, MoeFfn, 256, 1) { ffn<F8E4M3, 8, false, true>(p); }
KERNEL(moe_up_many_f4, MoeFfn, 256, 1) { ffn<F4E2M1X2, 8, false, true>(p); }
KERNEL(moe_down_many_bf16, MoeFfn, 256, 1) { ffn<BF16, 8, false, false>(p); }
KERNEL(moe_down_many_f8, MoeFfn, 256, 1) { ffn<F8E4M3, 8, false, false>(p); }
KERNEL(moe_down_many_f4, MoeFfn, 256, 1) { ffn<F4E2M1X2, 8, false, false>(p); }
