// embed.*
#include "common.cuh"
#include "params_embed.h"
#include "runs.cuh"
#include "strided.cuh"

// The row of the table that row `i` of the step wants, or -1.
DEVICE i64 wanted(const EmbedLookup& p, i64 i) {
    i32 id = static_cast<const i32*>(p.ids)[i];
    return id >= 0 && id < p.vocab ? id : -1;
}

// Equal types: bits move. A unit is read once and written for each stream.
template <typename U> DEVICE void lookup(const EmbedLookup& p) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    i64 column = static_cast<i64>(split(i, p.units)), row = static_cast<i64>(i), from = wanted(p, row);
    U unit = from < 0 ? U{} : static_cast<const U*>(p.table.data)[from * p.table.outer + column];
    U* to = static_cast<U*>(p.x.data) + row * p.x.outer + column;
    for (i32 copy = 0; copy < p.copies; copy++) to[copy * p.x.inner] = unit;
}
KERNEL(embed_16, EmbedLookup, 256, 4) { lookup<Vec16>(p); }
KERNEL(embed_4, EmbedLookup, 256, 4) { lookup<u32>(p); }
KERNEL(embed_2, EmbedLookup, 256, 4) { lookup<u16>(p); }

// Other types are rounded; `units` are runs of eight.
KERNEL(embed_cast, EmbedLookup, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    i64 column = static_cast<i64>(split(i, p.units)) * RUN, row = static_cast<i64>(i), from = wanted(p, row), left = p.width - column;
    int n = left < RUN ? static_cast<int>(left) : RUN;
    float v[RUN] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (from >= 0) load_run(v, p.table.data, p.table.dtype, from * p.table.outer + column, 1, n, p.whole);
    for (i32 copy = 0; copy < p.copies; copy++) store_run(v, p.x.data, p.x.dtype, row * p.x.outer + copy * p.x.inner + column, 1, n, p.whole);
}

// A literal id, or -1-i for the i-th token sampled last for the row's slot; 0 for padding.
KERNEL(embed_ids, EmbedIds, 256, 1) {
    i32 row = static_cast<i32>(blockIdx.x * blockDim.x + threadIdx.x);
    if (row >= p.rows) return;
    const i32* token = static_cast<const i32*>(p.toks) + row * p.toks_row;
    i32 slot = token[1], id = token[3], back = -1 - id;
    i32 out = 0;
    if (slot >= 0 && slot < p.slots) {
        if (id >= 0) out = id;
        else if (back <= p.drafts) out = static_cast<const i32*>(p.last)[slot * p.last_row + back];
    }
    static_cast<i32*>(p.ids)[row] = out;
}
