// The best `keep` of a stream of ranks, kept by one block in shared memory. A rank is a number in an order-preserving code above a place, so all ranks differ and the
// set that is kept does not depend on the order in which threads offer them.
#pragma once
#include "common.cuh"

// Ascending with the number; both zeros are equal, NaN comes below every number.
DEVICE u32 order_of(float x) {
    u32 bits = __float_as_uint(x + 0.0f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

DEVICE float number_of(u32 order) {
    if (order == 0) return NAN_F;
    return __uint_as_float(order >> 31 ? order ^ 0x80000000u : ~order);
}

// The largest rank is the best; of equal numbers that at the lowest place. 0 is the rank of nothing.
DEVICE u64 rank_of(float x, u32 place) { return static_cast<u64>(order_of(x)) << 32 | static_cast<u32>(~place); }
DEVICE u32 place_of(u64 rank) { return ~static_cast<u32>(rank); }

struct TopKState {
    u64 floor;  // lower ranks are no longer among the best
    u64 differing;
    u32 count, kept, digit, need, inside;
    u32 bins[256];
};

struct TopK {
    u64* ranks;  // `room` places
    TopKState* state;
    u32 keep, room;
};

// All functions are called by all threads of the block, those about a warp's ranks by whole warps.
DEVICE void topk_clear(const TopK& b) {
    if (threadIdx.x == 0) b.state->count = 0, b.state->floor = 1;
    __syncthreads();
}

// Offers one rank a lane. There must be room: see `topk_room`.
DEVICE void topk_push(const TopK& b, u64 rank) {
    bool taken = rank >= b.state->floor;
    u32 votes = __ballot_sync(FULL_WARP, taken), at = 0;
    if (!votes) return;
    if (LANE == 0) at = atomicAdd(&b.state->count, static_cast<u32>(__popc(votes)));
    at = __shfl_sync(FULL_WARP, at, 0) + __popc(votes & ((1u << LANE) - 1));
    if (taken) b.ranks[at] = rank;
}

// Finds the digit at which, from the largest down, the bins hold `need` ranks. Called by one warp; a lane has eight bins.
DEVICE void topk_digit(TopKState* s, u32 need) {
    u32 mine = 0;
    for (u32 i = 0; i < 8; i++) mine += s->bins[8 * LANE + i];
    u32 down = mine;
    for (u32 step = 1; step < 32; step <<= 1) {
        u32 more = __shfl_down_sync(FULL_WARP, down, step);
        if (LANE + step < 32) down += more;
    }
    u32 above = down - mine;
    if (above < need && need <= down) {
        u32 digit = 8 * LANE + 7;
        while (above + s->bins[digit] < need) above += s->bins[digit--];
        s->digit = digit, s->need = need - above, s->inside = s->bins[digit];
    }
}

DEVICE u64 shifted(u64 x, u32 by) { return by >= 64 ? 0 : x >> by; }

// The lowest of the `keep` best among `n` ranks, or a number below it and above the others. Radix selection from the highest bit in which they differ; `n > keep > 0`.
DEVICE u64 topk_border(const TopK& b, u32 n) {
    TopKState* s = b.state;
    u64 first = b.ranks[0], differing = 0;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) differing |= b.ranks[i] ^ first;
    for (u32 step = 16; step; step >>= 1) differing |= __shfl_xor_sync(FULL_WARP, differing, step);
    if (threadIdx.x == 0) s->differing = 0;
    __syncthreads();
    if (LANE == 0) atomicOr(&s->differing, differing);
    __syncthreads();
    differing = s->differing;
    u32 high = static_cast<u32>(differing >> 32), low = static_cast<u32>(differing);
    u32 left = high ? 64 - __clz(static_cast<int>(high)) : 32 - __clz(static_cast<int>(low));
    u32 need = b.keep;
    u64 prefix = shifted(first, left);
    for (;;) {
        u32 width = left < 8 ? left : 8;
        left -= width;
        for (u32 i = threadIdx.x; i < 256; i += blockDim.x) s->bins[i] = 0;
        __syncthreads();
        for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
            u64 rank = b.ranks[i];
            if (shifted(rank, left + width) == prefix) atomicAdd(&s->bins[static_cast<u32>(rank >> left) & ((1u << width) - 1)], 1u);
        }
        __syncthreads();
        if (WARP == 0) topk_digit(s, need);
        __syncthreads();
        prefix = prefix << width | s->digit, need = s->need;
        if (s->inside == need || left == 0) return prefix << left;
    }
}

// Drops all but the `keep` best.
DEVICE void topk_cut(const TopK& b) {
    TopKState* s = b.state;
    __syncthreads();
    u32 n = s->count;
    __syncthreads();
    if (n <= b.keep) return;
    u64 floor = topk_border(b, n);
    if (threadIdx.x == 0) s->kept = 0, s->floor = floor;
    for (u32 at = 0; at < n; at += blockDim.x) {
        u64 rank = at + threadIdx.x < n ? b.ranks[at + threadIdx.x] : 0;
        // All of this round is read before any of it is written, and no more is written than was read.
        __syncthreads();
        bool stays = rank >= floor;
        u32 votes = __ballot_sync(FULL_WARP, stays), to = 0;
        if (LANE == 0) to = atomicAdd(&s->kept, static_cast<u32>(__popc(votes)));
        to = __shfl_sync(FULL_WARP, to, 0) + __popc(votes & ((1u << LANE) - 1));
        if (stays) b.ranks[to] = rank;
    }
    __syncthreads();
    if (threadIdx.x == 0) s->count = b.keep;
    __syncthreads();
}

// Free places, at least `least`.
DEVICE u32 topk_room(const TopK& b, u32 least) {
    __syncthreads();
    u32 n = b.state->count;
    __syncthreads();
    if (b.room - n >= least) return b.room - n;
    topk_cut(b);
    return b.room - (n < b.keep ? n : b.keep);
}

// Sorts `n` numbers, a power of two, ascending. They may lie in shared or in global memory, which the block alone writes.
DEVICE void sort_ascending(u64* x, u32 n) {
    for (u32 size = 2; size <= n; size <<= 1)
        for (u32 step = size >> 1; step; step >>= 1) {
            __syncthreads();
            for (u32 i = threadIdx.x; i < n / 2; i += blockDim.x) {
                u32 low = 2 * i - (i & (step - 1)), high = low + step;
                u64 a = x[low], b = x[high];
                if ((a > b) == ((low & size) == 0)) x[low] = b, x[high] = a;
            }
        }
    __syncthreads();
}

DEVICE u32 power_of_two(u32 n) {
    u32 p = 1;
    while (p < n) p <<= 1;
    return p;
}

// Cuts, then leaves the complements of the ranks in order, best first, and returns how many there are. Needs room for a power of two.
DEVICE u32 topk_best_first(const TopK& b) {
    topk_cut(b);
    u32 n = b.state->count, padded = power_of_two(n);
    for (u32 i = threadIdx.x; i < padded; i += blockDim.x) b.ranks[i] = i < n ? ~b.ranks[i] : ~0ull;
    sort_ascending(b.ranks, padded);
    return n;
}

// Cuts, then leaves the ranks by place, lowest first, as place above order, and returns how many there are. Needs room for a power of two.
DEVICE u32 topk_by_place(const TopK& b) {
    topk_cut(b);
    u32 n = b.state->count, padded = power_of_two(n);
    for (u32 i = threadIdx.x; i < padded; i += blockDim.x) {
        u64 rank = i < n ? b.ranks[i] : 0;
        b.ranks[i] = i < n ? static_cast<u64>(place_of(rank)) << 32 | rank >> 32 : ~0ull;
    }
    sort_ascending(b.ranks, padded);
    return n;
}

// Offers `rank(i)` for `from <= i < to`. Four loads of a thread are under way before the first is looked at.
template <typename Rank> DEVICE void topk_offer(const TopK& b, u32 from, u32 to, Rank rank) {
    u32 step = 4 * blockDim.x;
    while (from < to) {
        u32 until = from + topk_room(b, step) / step * step;
        for (; from < to && from < until; from += step) {
            u64 ranks[4];
            for (u32 i = 0; i < 4; i++) {
                u32 at = from + i * blockDim.x + threadIdx.x;
                ranks[i] = at < to ? rank(at) : 0;
            }
            for (u32 i = 0; i < 4; i++) topk_push(b, ranks[i]);
        }
    }
}

// Leaves the best of a part of a row for a later kernel, `n` places of which those behind the last are ranks of nothing.
DEVICE void topk_leave(const TopK& b, u64* part, u32 n) {
    topk_cut(b);
    u32 count = b.state->count;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) part[i] = i < count ? b.ranks[i] : 0;
}
