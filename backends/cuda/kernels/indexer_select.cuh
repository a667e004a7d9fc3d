// What all forms of indexer.select share: which entries a row sees, how they are cut into parts, and the form that takes every format and computes in f32.
#pragma once
#include "common.cuh"
#include "params_indexer.h"
#include "topk.cuh"

// Entries that are scored between two looks at the room for ranks, by one block.
#define SELECT_STEP 128u

struct Visible {
    i32 sequence;  // -1: the row is padding
    u32 count;
    bool scored;  // otherwise all are kept
};

DEVICE Visible visible_to(const IndexerSelect& p, i64 row) {
    const i32* token = static_cast<const i32*>(p.toks.data) + row * p.toks.outer;
    if (token[0] < 0 || token[1] < 0 || token[2] < 0) return {-1, 0, false};
    u32 count = (static_cast<u32>(token[0]) + 1) / static_cast<u32>(p.ratio);
    if (count > static_cast<u32>(p.capacity)) count = p.capacity;
    return {token[2], count, count > static_cast<u32>(p.keep) || p.scores.data != nullptr};
}

struct Part { u32 begin, end, active; };

// The entries of part `segment`, and how many parts have any.
DEVICE Part part_of(const IndexerSelect& p, u32 count, u32 segment) {
    u32 length = (count + p.segments - 1) / p.segments;
    length = length ? (length + SELECT_STEP - 1) / SELECT_STEP * SELECT_STEP : SELECT_STEP;
    u32 begin = segment * length, end = begin + length;
    return {begin, end < count ? end : count, (count + length - 1) / length};
}

// Where the key of an entry starts in the pool, in elements; -1 if there is no page for it.
DEVICE i64 key_of(const IndexerSelect& p, i32 sequence, u32 entry) {
    u32 entries = static_cast<u32>(p.entries), at = p.shift >= 0 ? entry >> p.shift : entry / entries;
    if (at >= static_cast<u32>(p.table)) return -1;
    i32 page = static_cast<const i32*>(p.pt.data)[sequence * p.pt.outer + at];
    return page > 0 && page < p.pages ? page * p.pool.outer + (entry - at * entries) * p.pool.inner : -1;
}

// Offers every entry that has a page, all with the same number. No more than `keep`.
DEVICE void offer_all(const IndexerSelect& p, const TopK& best, Visible seen) {
    for (u32 at = 0; at < seen.count; at += blockDim.x) {
        u32 entry = at + threadIdx.x;
        topk_push(best, entry < seen.count && key_of(p, seen.sequence, entry) >= 0 ? rank_of(0.0f, entry) : 0);
    }
}

DEVICE void write_entries(const IndexerSelect& p, const TopK& best, i64 row) {
    u32 n = topk_by_place(best);
    for (u32 i = threadIdx.x; i < best.keep; i += blockDim.x) {
        static_cast<i32*>(p.idx.data)[row * p.idx.outer + i] = i < n ? static_cast<i32>(best.ranks[i] >> 32) : -1;
        if (p.scores.data && i < n) static_cast<float*>(p.scores.data)[row * p.scores.outer + i] = number_of(static_cast<u32>(best.ranks[i]));
    }
}

// After the last entry: the row's result, or what the merge needs.
DEVICE void end_part(const IndexerSelect& p, const TopK& best, i64 row) {
    if (p.segments == 1) return write_entries(p, best, row);
    topk_leave(best, static_cast<u64*>(p.parts) + (row * p.segments + blockIdx.y) * p.left, p.left);
}

// What a block does before it scores: its entries, or false if nothing is left to do.
DEVICE bool begin_part(const IndexerSelect& p, const TopK& best, i64 row, Visible& seen, Part& part) {
    seen = visible_to(p, row);
    if (seen.sequence < 0) return false;
    if (!seen.scored) {
        if (p.segments > 1) return false;
        topk_clear(best);
        offer_all(p, best, seen);
        write_entries(p, best, row);
        return false;
    }
    part = part_of(p, seen.count, blockIdx.y);
    if (blockIdx.y >= part.active && p.segments > 1) return false;
    topk_clear(best);
    return true;
}

// Offers each lane's score.
DEVICE void offer(const TopK& best, bool valid, float score, u32 entry) { topk_push(best, valid ? rank_of(score, entry) : 0); }

// NaN stays NaN.
DEVICE float relu(float x) { return x < 0.0f ? 0.0f : x; }

// Channel `c` of the key that starts at element `at` of the pool.
DEVICE float key_channel(const IndexerSelect& p, i64 at, i32 c) {
    if (p.pool.dtype != U8) return load_as_f32(p.pool.data, p.pool.dtype, at + c);
    const u8* key = static_cast<const u8*>(p.pool.data) + at;
    return e2m1_to_f32(key[c / 2] >> (c % 2 * 4)) * e8m0_to_f32(key[p.width / 2 + c / 32]);
}

// Any formats, in f32: a lane has a key, four warps have 32 keys each. Queries and keys lie in shared memory as f32, padded with zeros.
KERNEL(select_f32, IndexerSelect, 128, 1) {
    DYN_SHARED(u64, ranks);
    __shared__ TopKState state;
    TopK best = {ranks, &state, static_cast<u32>(p.keep), static_cast<u32>(p.room)};
    // Four floats more than a row has keep the lanes on different banks.
    u32 width = (p.width + 3) / 4 * 4, stride = width + 4, heads = (p.heads + 7) / 8 * 8;
    float *queries = reinterpret_cast<float*>(ranks + p.room), *weights = queries + heads * stride, *keys = weights + heads + WARP * 32 * stride;
    i64 row = blockIdx.x;
    Visible seen;
    Part part;
    if (!begin_part(p, best, row, seen, part)) return;
    for (u32 i = threadIdx.x; i < heads * width; i += blockDim.x) {
        u32 h = i / width, c = i % width;
        bool real = h < static_cast<u32>(p.heads) && c < static_cast<u32>(p.width);
        queries[h * stride + c] = real ? load_as_f32(p.q.data, p.q.dtype, row * p.q.outer + h * p.q.inner + c) : 0.0f;
    }
    for (u32 h = threadIdx.x; h < heads; h += blockDim.x) weights[h] = h < static_cast<u32>(p.heads) ? static_cast<const float*>(p.w.data)[row * p.w.outer + h] : 0.0f;
    for (u32 first = part.begin; first < part.end; first += SELECT_STEP) {
        // Its barriers also stand between the queries and their first use, and between the last use of the keys and the next ones.
        topk_room(best, SELECT_STEP);
        u32 entry = first + threadIdx.x;
        i64 at = entry < part.end ? key_of(p, seen.sequence, entry) : -1;
        for (u32 key = 0; key < 32; key++) {
            i64 from = __shfl_sync(FULL_WARP, at, static_cast<int>(key));
            for (u32 c = LANE; c < width; c += 32) keys[key * stride + c] = from >= 0 && c < static_cast<u32>(p.width) ? key_channel(p, from, c) : 0.0f;
        }
        __syncwarp();
        float sum = 0.0f;
        for (u32 h = 0; h < heads; h += 8) {
            float dots[8] = {};
            for (u32 c = 0; c < width; c += 4) {
                Vec16 k = load16(keys + LANE * stride + c);
                for (u32 i = 0; i < 8; i++) {
                    Vec16 q = load16(queries + (h + i) * stride + c);
                    for (u32 e = 0; e < 4; e++) dots[i] += __uint_as_float(q.w[e]) * __uint_as_float(k.w[e]);
                }
            }
            for (u32 i = 0; i < 8; i++) sum += weights[h + i] * relu(dots[i]);
        }
        offer(best, at >= 0, sum * p.factor, entry);
    }
    end_part(p, best, row);
}
