// cache.*: addresses of state rows, storing, copying.
#include "common.cuh"
#include "params_cache.h"
#include "runs.cuh"
#include "strided.cuh"

KERNEL(cache_rows, CacheRows, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    i64 q = static_cast<i64>(split(i, p.columns)), row = static_cast<i64>(i);
    i32 table = static_cast<const i32*>(p.which)[row], entry = static_cast<const i32*>(p.j.data)[row * p.j.outer + q], out = 0;
    if (entry >= 0 && table >= 0 && table < p.tables && entry / p.entries < p.table) {
        i32 page = static_cast<const i32*>(p.pt)[table * p.pt_row + entry / p.entries];
        if (page >= 0) out = page * p.entries + entry % p.entries;
    }
    static_cast<i32*>(p.phys.data)[row * p.phys.outer + q] = out;
}

// ---- storing ---------------------------------------------------------------------------------------------------------------------------------

// The stored row of row `t` of the step, or null: padding, and rows that a later row of the step would overwrite.
DEVICE u8* stored_row(const CacheStore& p, i64 t) {
    const i32* token = static_cast<const i32*>(p.toks) + t * p.toks_row;
    i32 pos = token[0], slot = token[1], seq = token[2];
    if (pos < 0 || slot < 0 || slot >= p.slots || seq < 0 || seq >= p.seqs) return nullptr;
    const i32* chunk = static_cast<const i32*>(p.seq_rows) + seq * p.seqs_row;
    if (static_cast<i64>(pos) + p.ring < static_cast<i64>(chunk[1]) + chunk[3]) return nullptr;
    return static_cast<u8*>(p.to) + slot * p.slot_bytes + pos % p.ring * p.row_bytes;
}

// Rows of plain numbers: one block a row.
KERNEL(store_plain, CacheStore, 128, 8) {
    u8* row = stored_row(p, blockIdx.x);
    if (!row) return;
    for (i32 i = static_cast<i32>(threadIdx.x) * RUN; i < p.width; i += static_cast<i32>(blockDim.x) * RUN) {
        int n = p.width - i < RUN ? p.width - i : RUN;
        float v[RUN];
        load_run(v, p.kv.data, p.kv.dtype, blockIdx.x * p.kv.outer + i, 1, n, p.whole);
        store_run(v, row, p.stored, i, 1, n, p.row_whole);
    }
}

// Packed rows may start anywhere: then bytes are stored one by one.
DEVICE void put_codes(u8* to, u32 codes, bool whole) {
    if (whole) *reinterpret_cast<u32*>(to) = codes;
    else for (int k = 0; k < 4; k++) to[k] = static_cast<u8>(codes >> (8 * k));
}

DEVICE void put_codes(u8* to, Vec8 codes, bool whole) {
    if (whole) *reinterpret_cast<Vec8*>(to) = codes;
    else put_codes(to, codes.w[0], false), put_codes(to + 4, codes.w[1], false);
}

// Codes with a power-of-two scale a group of `group` channels; F8R keeps its last channels as BF16 between codes and scales (op-catalogue.md 5.1).
KERNEL(store_packed, CacheStore, 128, 8) {
    u8* row = stored_row(p, blockIdx.x);
    // The whole block leaves, so that the exchanges below have all lanes.
    if (!row) return;
    i32 plain = p.width - p.turned, bits = p.kind == KIND_F8E4M3 ? 8 : 4;
    u8 *turned = row + plain * bits / 8, *scales = turned + 2 * p.turned;
    for (i32 i = static_cast<i32>(threadIdx.x) * RUN, most = (plain + 255) / 256 * 256; i < most; i += static_cast<i32>(blockDim.x) * RUN) {
        float v[RUN];
        bool there = i < plain;
        load_run(v, p.kv.data, p.kv.dtype, blockIdx.x * p.kv.outer + (there ? i : 0), 1, RUN, p.whole);
        i32 exponent = scale_exponent(group_max(v, p.group / RUN), p.kind);
        if (!there) continue;
        float inverse = exp2_of(-exponent);
#pragma unroll
        for (int k = 0; k < RUN; k++) v[k] *= inverse;
        if (p.kind == KIND_F8E4M3) put_codes(row + i, codes_f8(v), p.row_whole);
        else put_codes(row + i / 2, codes_f4(v), p.row_whole);
        if (i % p.group == 0) scales[i / p.group] = e8m0_of(exponent);
    }
    for (i32 i = static_cast<i32>(threadIdx.x); i < p.turned; i += static_cast<i32>(blockDim.x)) {
        bf16 x = to_bf16(load_as_f32(p.kv.data, p.kv.dtype, blockIdx.x * p.kv.outer + plain + i));
        turned[2 * i] = static_cast<u8>(x.bits), turned[2 * i + 1] = static_cast<u8>(x.bits >> 8);
    }
}

// ---- copying ---------------------------------------------------------------------------------------------------------------------------------

constexpr int MOVES = 4;

// A block copies 4 * 256 units of one row.
template <typename U> DEVICE void copy_part(const CacheCopy& p, const u8* from, u8* to, i64 first) {
    U held[MOVES];
#pragma unroll
    for (int k = 0; k < MOVES; k++)
        if (first + k * 256 < p.units) held[k] = reinterpret_cast<const U*>(from)[first + k * 256];
#pragma unroll
    for (int k = 0; k < MOVES; k++)
        if (first + k * 256 < p.units) reinterpret_cast<U*>(to)[first + k * 256] = held[k];
}

KERNEL(copy_rows, CacheCopy, 256, 4) {
    i64 copy = blockIdx.x / p.parts, first = static_cast<i64>(blockIdx.x % p.parts) * (256 * MOVES) + threadIdx.x;
    i32 from = static_cast<const i32*>(p.from)[copy], to = static_cast<const i32*>(p.to)[copy];
    if (from < 0 || from >= p.rows || to < 0 || to >= p.rows) return;
    u8* data = static_cast<u8*>(p.data);
    const u8* source = data + from * p.row_bytes;
    switch (p.unit) {
        case 16: return copy_part<Vec16>(p, source, data + to * p.row_bytes, first);
        case 8: return copy_part<Vec8>(p, source, data + to * p.row_bytes, first);
        case 4: return copy_part<u32>(p, source, data + to * p.row_bytes, first);
        case 2: return copy_part<u16>(p, source, data + to * p.row_bytes, first);
        default: return copy_part<u8>(p, source, data + to * p.row_bytes, first);
    }
}
