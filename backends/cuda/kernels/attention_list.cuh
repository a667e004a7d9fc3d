// The keys of one row of attention.sparse as a list of addresses, and the steps of a softmax that is taken in parts.
//
// A list is cut into tiles of 64 slots: first those of the window, then those of the entries, the last tile of each with slots that stay empty. Tiles depend on the row's
// own position and list alone. Slots of entries that are absent, not visible or repeated are empty: nothing of such a row is read.
#pragma once
#include "key_rows.cuh"

#define TILE 64
// Slots that are listed at a time.
#define LISTED 512
// Marks the address of a row of this step, whose type is that of the activations and not of the store.
#define STEP_ROW (1ull << 63)

enum Entries { NO_ENTRIES, LISTED_ENTRIES, ALL_ENTRIES };

struct RowKeys {
    Token token;
    Chunk chunk;
    i32 start, window, window_tiles, visible, tiles;
};

// False for padding.
DEVICE bool keys_of(const AttentionSparse& p, i64 t, RowKeys& k) {
    if (!token_of(p.toks, t, k.token)) return false;
    k.chunk = chunk_of(p.seqs, k.token.seq);
    k.start = k.token.pos + 1 > p.window ? k.token.pos + 1 - p.window : 0;
    k.window = k.token.pos + 1 - k.start;
    k.window_tiles = (k.window + TILE - 1) / TILE;
    k.visible = p.entries == NO_ENTRIES ? 0 : min((k.token.pos + 1) / p.ratio, p.page_table * p.page_entries);
    i32 slots = p.entries == LISTED_ENTRIES ? p.listed : k.visible;
    k.tiles = k.window_tiles + (slots + TILE - 1) / TILE;
    return true;
}

DEVICE u64 row_address(const Rows& rows, i64 outer, i64 inner) {
    i32 bytes = rows.dtype == F32 ? 4 : rows.dtype == BF16 ? 2 : 1;
    return reinterpret_cast<u64>(rows.data) + (outer * rows.outer + inner * rows.inner) * bytes;
}

DEVICE u64 window_address(const AttentionSparse& p, const RowKeys& k, i32 slot) {
    if (slot >= k.window) return 0;
    i32 pos = k.start + slot;
    if (pos >= k.chunk.first) return row_address(p.kv, k.chunk.row + pos - k.chunk.first, 0) | STEP_ROW;
    return row_address(p.ring, k.token.slot, pos % p.ring_rows);
}

DEVICE u64 entry_address(const AttentionSparse& p, const RowKeys& k, i32 entry) {
    i32 page = page_of(p, k.token.seq, entry);
    return page < 0 ? 0 : row_address(p.pool, page, entry % p.page_entries);
}

// Entry number `i` of the row's list if it is visible, else -1.
DEVICE i32 listed_entry(const AttentionSparse& p, const RowKeys& k, i64 t, i32 i) {
    if (i < 0 || i >= p.listed) return -1;
    i32 entry = word(p.idx, t, i);
    return entry >= 0 && entry < k.visible ? entry : -1;
}

// The largest of the block's numbers before this thread's, and of all. `scratch` holds 32 numbers; it may be used again after a barrier.
DEVICE i32 largest_before(i32 x, i32* scratch, i32& all) {
    i32 most = x;
    for (i32 step = 1; step < 32; step *= 2) {
        i32 other = __shfl_up_sync(FULL_WARP, most, step);
        if (LANE >= static_cast<u32>(step)) most = max(most, other);
    }
    if (LANE == 31) scratch[WARP] = most;
    __syncthreads();
    i32 before = __shfl_up_sync(FULL_WARP, most, 1);
    if (LANE == 0) before = -1;
    all = -1;
    for (u32 w = 0; w < blockDim.x / 32; w++) {
        if (w < WARP) before = max(before, scratch[w]);
        all = max(all, scratch[w]);
    }
    return before;
}

// Lists `slots` slots from `first` on, which is the first of a tile. Returns how many of them there are up to the last that is not empty. Begins and ends with a barrier.
DEVICE i32 list_keys(const AttentionSparse& p, const RowKeys& k, i64 t, i32 first, i32 slots, u64* list, i32* scratch) {
    i32 from = k.window_tiles * TILE, used = 0, seen = -1, all;
    // What was listed in slots before `first` counts as repeated here.
    for (i32 i = threadIdx.x; i < first - from && p.entries == LISTED_ENTRIES; i += blockDim.x) seen = max(seen, listed_entry(p, k, t, i));
    __syncthreads();
    largest_before(seen, scratch, seen);
    for (i32 base = 0; base < slots; base += blockDim.x) {
        i32 i = base + static_cast<i32>(threadIdx.x), slot = first + i;
        bool mine = i < slots;
        u64 address = 0;
        i32 entry = -1;
        if (mine && slot < from) address = window_address(p, k, slot);
        else if (mine && p.entries == LISTED_ENTRIES) entry = listed_entry(p, k, t, slot - from);
        else if (mine && slot - from < k.visible) entry = slot - from;
        __syncthreads();
        i32 before = max(seen, largest_before(entry, scratch, all));
        seen = max(seen, all);
        if (entry > before) address = entry_address(p, k, entry);
        if (mine) list[i] = address;
        if (address) used = i + 1;
    }
    __syncthreads();
    largest_before(used, scratch, used);
    __syncthreads();
    return used;
}

// ---- a softmax in parts ----------------------------------------------------------------------------------------------------------------------
// A part is a maximum m, the sum l of exp(score - m) and the sum of values with these weights. Parts are folded one after the other, in the order of the list. Weights are
// rounded to BF16 before the values are added up and before they are divided by the sum of the unrounded ones: the rounding is relative, so that dividing first rounds
// no less, and the exact maximum is not needed beforehand.

// What a sum loses when the maximum rises from `before` to `now`.
DEVICE float decay(float before, float now) { return before == -INFINITY_F ? 0.0f : expf(before - now); }

DEVICE float weight_of(float score, float most) { return score == -INFINITY_F ? 0.0f : expf(score - most); }

// The part `(m, l)` into the total; a sum of values goes `part * keep_part + total * keep_total`, as `fold` does.
DEVICE float fold(float total, float keep_total, float part, float keep_part) { return __fmaf_rn(part, keep_part, total * keep_total); }

DEVICE void fold_sums(float& total_m, float& total_l, float m, float l, float& keep_total, float& keep_part) {
    float most = fmaxf(total_m, m);
    keep_total = decay(total_m, most), keep_part = decay(m, most);
    total_l = fold(total_l, keep_total, l, keep_part);
    total_m = most;
}

// What the sum of values is multiplied by in the end: the sink counts in the maximum and in the sum.
DEVICE float share(float m, float l, float sink) {
    float most = fmaxf(m, sink), keep = decay(m, most);
    return keep / fold(l, keep, expf(sink - most), 1.0f);
}

// A pair of channels rotated back. Written out, so that every kernel rounds the same way.
DEVICE void turn_back(float& a, float& b, float c, float s) {
    float x = __fmaf_rn(b, s, a * c), y = __fmaf_rn(b, c, -(a * s));
    a = x, b = y;
}
