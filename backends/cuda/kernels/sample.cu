// sample.topk: blocks keep the best of parts of a row, another merges them. sample.pick: the same for the candidates, with the sum of the exponentials beside them, then
// one block a row cuts, draws and remembers.
#include "common.cuh"
#include "params_sample.h"
#include "topk.cuh"

// ---- topk ------------------------------------------------------------------------------------------------------------------------------------

DEVICE u64 element_rank(const SampleTopK& p, const float* x, u32 i) { return rank_of(p.largest ? x[i] : -x[i], i); }

// Writes element `i` of the result; ranks lie there as complements, best first.
DEVICE void write_best(const SampleTopK& p, const u64* complements, const float* x, i64 row, u32 i) {
    u32 place = place_of(~complements[i]);
    static_cast<float*>(p.values.data)[row * p.values.outer + i] = x[place];
    static_cast<i32*>(p.idx.data)[row * p.idx.outer + i] = static_cast<i32>(place);
}

KERNEL(topk_part, SampleTopK, 256, 2) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    TopK best = {ranks, &state, static_cast<u32>(p.keep), static_cast<u32>(p.room)};
    i64 row = blockIdx.x;
    const float* x = static_cast<const float*>(p.x.data) + row * p.x.outer;
    u32 from = blockIdx.y * p.length, to = min(from + p.length, static_cast<u32>(p.width));
    topk_clear(best);
    topk_offer(best, from, to, [&](u32 i) { return element_rank(p, x, i); });
    if (p.segments > 1) return topk_leave(best, static_cast<u64*>(p.parts) + (row * p.segments + blockIdx.y) * p.left, p.left);
    topk_best_first(best);
    for (u32 i = threadIdx.x; i < best.keep; i += blockDim.x) write_best(p, ranks, x, row, i);
}

KERNEL(topk_merge, SampleTopK, 512, 1) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    TopK best = {ranks, &state, static_cast<u32>(p.keep), static_cast<u32>(p.room)};
    i64 row = blockIdx.x;
    const u64* parts = static_cast<const u64*>(p.parts) + row * p.segments * p.left;
    topk_clear(best);
    topk_offer(best, 0, p.segments * p.left, [&](u32 i) { return parts[i]; });
    topk_best_first(best);
    for (u32 i = threadIdx.x; i < best.keep; i += blockDim.x) write_best(p, ranks, static_cast<const float*>(p.x.data) + row * p.x.outer, row, i);
}

// More is kept than fits shared memory: the whole row is sorted in the workspace.
KERNEL(topk_sort, SampleTopK, 1024, 1) {
    i64 row = blockIdx.x;
    const float* x = static_cast<const float*>(p.x.data) + row * p.x.outer;
    u32 padded = power_of_two(p.width);
    u64* all = static_cast<u64*>(p.parts) + row * padded;
    for (u32 i = threadIdx.x; i < padded; i += blockDim.x) all[i] = i < static_cast<u32>(p.width) ? ~element_rank(p, x, i) : ~0ull;
    sort_ascending(all, padded);
    for (u32 i = threadIdx.x; i < static_cast<u32>(p.keep); i += blockDim.x) write_best(p, all, x, row, i);
}

// ---- pick ------------------------------------------------------------------------------------------------------------------------------------

// State slot of a wanted row, -1 if nobody wants it.
DEVICE i32 slot_of(const SamplePick& p, u32 wanted) {
    i32 row = static_cast<const i32*>(p.out)[wanted];
    if (row < 0 || row >= p.rows) return -1;
    const i32* token = static_cast<const i32*>(p.toks.data) + row * p.toks.outer;
    return token[0] < 0 || token[1] < 0 || token[2] < 0 || token[1] >= p.slots ? -1 : token[1];
}

// A row's logits with its parameters.
struct Logits {
    const float *x, *seen;  // `seen` is null where it does not count
    float temperature, penalty;

    // The number whose exponential is the token's share.
    DEVICE float number(u32 id) const {
        float v = x[id];
        if (temperature == 0.0f) return v;
        if (seen && seen[id] != 0.0f) v = v > 0.0f ? v / penalty : v * penalty;
        return v / temperature;
    }
};

DEVICE const float* parameters(const SamplePick& p, i64 wanted) { return static_cast<const float*>(p.par.data) + wanted * p.par.outer; }

DEVICE Logits logits_of(const SamplePick& p, i64 wanted, i32 slot) {
    const float* par = parameters(p, wanted);
    bool counts = p.seen.data && par[4] != 1.0f;
    return {static_cast<const float*>(p.logits.data) + wanted * p.logits.outer, counts ? static_cast<const float*>(p.seen.data) + slot * p.seen.outer : nullptr, par[0], par[4]};
}

// Share of a number beside the largest, which has 1. NaN has none.
DEVICE float share(float x, float largest) { return x == largest ? 1.0f : x < largest ? expf(x - largest) : 0.0f; }

DEVICE u64 warp_best(u64 rank) {
    for (int step = 16; step; step >>= 1) {
        u64 other = __shfl_xor_sync(FULL_WARP, rank, step);
        if (other > rank) rank = other;
    }
    return rank;
}

// Room for all ranks of a row and for their sums, where more candidates are wanted than fit shared memory.
DEVICE u64* sorted_of(const SamplePick& p, i64 wanted) {
    u32 padded = power_of_two(p.vocab);
    return static_cast<u64*>(p.sorted) + wanted * (padded + padded / 2);
}

// The largest number and the sum of the shares of a part of a row; its best ranks.
KERNEL(pick_part, SamplePick, 256, 2) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    __shared__ float scratch[32];
    __shared__ u64 firsts[32];
    TopK best = {ranks, &state, static_cast<u32>(p.candidates), static_cast<u32>(p.room)};
    i64 wanted = blockIdx.x;
    i32 slot = slot_of(p, blockIdx.x);
    if (slot < 0) return;
    Logits logits = logits_of(p, wanted, slot);
    u32 from = blockIdx.y * p.length, to = min(from + p.length, static_cast<u32>(p.vocab));
    i64 part = wanted * p.segments + blockIdx.y;
    u64* left = static_cast<u64*>(p.parts) + part * p.left;
    float largest = -INFINITY_F, sum = 0.0f;
    if (logits.temperature == 0.0f || p.sorted) {
        u64 first = 0;
        for (u32 id = from + threadIdx.x; id < to; id += blockDim.x) {
            float x = logits.number(id);
            u64 rank = rank_of(x, id);
            if (rank > first) first = rank;
            if (p.sorted) sorted_of(p, wanted)[id] = ~rank;
            largest = fmaxf(largest, x);
        }
        first = warp_best(first);
        if (LANE == 0) firsts[WARP] = first;
        __syncthreads();
        if (WARP == 0) first = warp_best(LANE < blockDim.x / 32 ? firsts[LANE] : 0);
        if (threadIdx.x == 0) left[0] = first;
    } else {
        topk_clear(best);
        topk_offer(best, from, to, [&](u32 id) {
            float x = logits.number(id);
            largest = fmaxf(largest, x);
            return rank_of(x, id);
        });
        topk_leave(best, left, p.left);
    }
    largest = block_max(largest, scratch);
    for (u32 id = from + threadIdx.x; id < to; id += blockDim.x) sum += share(logits.number(id), largest);
    sum = block_sum(sum, scratch);
    float* sums = static_cast<float*>(p.sums) + 2 * part;
    if (threadIdx.x == 0) sums[0] = largest, sums[1] = sum;
}

// Sum over the earlier threads of a block, in a fixed order.
DEVICE float sum_before(float x, float* scratch) {
    float through = x;
    for (u32 step = 1; step < 32; step *= 2) {
        float other = __shfl_up_sync(FULL_WARP, through, step);
        if (LANE >= step) through += other;
    }
    __syncthreads();
    if (LANE == 31) scratch[WARP] = through;
    __syncthreads();
    float before = 0.0f;
    for (u32 warp = 0; warp < WARP; warp++) before += scratch[warp];
    float earlier = __shfl_up_sync(FULL_WARP, through, 1);
    return LANE ? before + earlier : before;
}

// Adds up what all threads of a block count.
DEVICE u32 count_all(u32 mine, u32* total) {
    __syncthreads();
    if (threadIdx.x == 0) *total = 0;
    __syncthreads();
    atomicAdd(total, mine);
    __syncthreads();
    return *total;
}

// The candidate drawn from `n`, best first, by the cuts and the uniform number of a row. `sums` has a place for each.
DEVICE u64 draw(const u64* complements, float* sums, u32 n, const float* par, float u, float largest, float total) {
    __shared__ float scratch[32];
    __shared__ u32 counter;
    if (par[1] >= 1.0f) n = static_cast<u32>(fminf(par[1], static_cast<float>(n)));
    auto probability = [=](u32 i) { return share(number_of(static_cast<u32>(~complements[i] >> 32)), largest) / total; };
    // Each thread adds up neighbours, then what the threads before it have.
    u32 each = (n + blockDim.x - 1) / blockDim.x, from = min(threadIdx.x * each, n), to = min(from + each, n);
    float sum = 0.0f;
    for (u32 i = from; i < to; i++) sums[i] = sum += probability(i);
    float before = sum_before(sum, scratch);
    for (u32 i = from; i < to; i++) sums[i] += before;
    __syncthreads();
    u32 stay = 0, likely = 0;
    float least = par[3] * probability(0);
    for (u32 i = from; i < to; i++) {
        stay += par[2] >= 1.0f || (i ? sums[i - 1] : 0.0f) < par[2];
        likely += probability(i) >= least;
    }
    stay = count_all(stay, &counter), likely = count_all(likely, &counter);
    u32 kept = max(min(stay, likely), 1u), passed = 0;
    float all = sums[kept - 1];
    for (u32 i = from; i < min(to, kept); i++) passed += !(sums[i] / all > u);
    passed = count_all(passed, &counter);
    return ~complements[min(passed, kept - 1)];
}

// Stores a row's token: the n-th wanted row of a slot goes to column n of `last`.
DEVICE void remember(const SamplePick& p, u32 wanted, i32 slot, u64 chosen, float largest, float total) {
    __shared__ u32 counter;
    u32 earlier = 0;
    for (u32 i = threadIdx.x; i < wanted; i += blockDim.x) earlier += slot_of(p, i) == slot;
    earlier = count_all(earlier, &counter);
    if (threadIdx.x) return;
    u32 token = place_of(chosen);
    static_cast<i32*>(p.tok)[wanted] = static_cast<i32>(token);
    static_cast<float*>(p.logprob)[wanted] = number_of(static_cast<u32>(chosen >> 32)) - largest - logf(total);
    if (earlier <= static_cast<u32>(p.drafts)) static_cast<i32*>(p.last.data)[slot * p.last.outer + earlier] = static_cast<i32>(token);
    if (p.seen.data) static_cast<float*>(p.seen.data)[slot * p.seen.outer + token] = 1.0f;
}

// All parts of a row together: at most 32, one for each lane. Every warp does the same.
struct Whole {
    float largest, total;
    u64 first;
};

DEVICE Whole whole(const SamplePick& p, i64 wanted) {
    bool mine = LANE < static_cast<u32>(p.segments);
    i64 part = wanted * p.segments + (mine ? LANE : 0);
    const float* sums = static_cast<const float*>(p.sums) + 2 * part;
    float largest = warp_max(mine ? sums[0] : -INFINITY_F);
    float total = warp_sum(mine ? sums[1] * share(sums[0], largest) : 0.0f);
    return {largest, total, warp_best(mine ? static_cast<const u64*>(p.parts)[part * p.left] : 0)};
}

// True if there is no such row; its results are then written.
DEVICE bool unwanted(const SamplePick& p, i32 slot) {
    if (slot >= 0) return false;
    if (threadIdx.x == 0) static_cast<i32*>(p.tok)[blockIdx.x] = -1, static_cast<float*>(p.logprob)[blockIdx.x] = 0.0f;
    return true;
}

KERNEL(pick_merge, SamplePick, 512, 1) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    TopK best = {ranks, &state, static_cast<u32>(p.candidates), static_cast<u32>(p.room)};
    i64 wanted = blockIdx.x;
    i32 slot = slot_of(p, blockIdx.x);
    if (unwanted(p, slot)) return;
    const float* par = parameters(p, wanted);
    Whole all = whole(p, wanted);
    u64 chosen = all.first;
    if (par[0] != 0.0f) {
        const u64* parts = static_cast<const u64*>(p.parts) + wanted * p.segments * p.left;
        topk_clear(best);
        topk_offer(best, 0, p.segments * p.left, [&](u32 i) { return parts[i]; });
        u32 n = topk_best_first(best);
        chosen = draw(ranks, reinterpret_cast<float*>(ranks + p.room), n, par, static_cast<const float*>(p.u)[wanted], all.largest, all.total);
    }
    remember(p, blockIdx.x, slot, chosen, all.largest, all.total);
}

// More candidates than fit shared memory: the whole row is sorted in the workspace.
KERNEL(pick_sort, SamplePick, 1024, 1) {
    i64 wanted = blockIdx.x;
    i32 slot = slot_of(p, blockIdx.x);
    if (unwanted(p, slot)) return;
    const float* par = parameters(p, wanted);
    Whole all = whole(p, wanted);
    u64 chosen = all.first;
    if (par[0] != 0.0f) {
        u32 padded = power_of_two(p.vocab);
        u64* ranks = sorted_of(p, wanted);
        for (u32 id = p.vocab + threadIdx.x; id < padded; id += blockDim.x) ranks[id] = ~0ull;
        sort_ascending(ranks, padded);
        chosen = draw(ranks, reinterpret_cast<float*>(ranks + padded), p.candidates, par, static_cast<const float*>(p.u)[wanted], all.largest, all.total);
    }
    remember(p, blockIdx.x, slot, chosen, all.largest, all.total);
}
