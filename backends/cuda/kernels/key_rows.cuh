// Rows of keys: the step table, stored formats (F32, BF16, F8R, F4), and what fused operators do to one vector in shared memory.
#pragma once
#include "common.cuh"

// ---- the step table --------------------------------------------------------------------------------------------------------------------------

struct Token { i32 pos, slot, seq; };
struct Chunk { i32 slot, first, row, rows; };

DEVICE i32 word(const Rows& table, i64 row, i64 column) { return static_cast<const i32*>(table.data)[row * table.outer + column]; }

// False for padding.
DEVICE bool token_of(const Rows& toks, i64 row, Token& t) {
    t = {word(toks, row, 0), word(toks, row, 1), word(toks, row, 2)};
    return t.pos >= 0 && t.slot >= 0 && t.seq >= 0;
}

DEVICE Chunk chunk_of(const Rows& seqs, i64 seq) { return {word(seqs, seq, 0), word(seqs, seq, 1), word(seqs, seq, 2), word(seqs, seq, 3)}; }

// Page of an entry, or -1 if the table has none for it. Pages 0 and 1 are the null and the trash page.
template <typename Params> DEVICE i32 page_of(const Params& p, i64 seq, i32 entry) {
    i32 at = entry / p.page_entries;
    if (at >= p.page_table) return -1;
    i32 page = word(p.pt, seq, at);
    return page >= 2 && page < p.page_count ? page : -1;
}

DEVICE const float* angles(const Rows& rope, i32 positions, i32 position) {
    return static_cast<const float*>(rope.data) + (position < positions ? position : positions - 1) * rope.outer;
}

// ---- rounding to the grids of a state (deepseek-v4.md 2.2) -----------------------------------------------------------------------------------

#define F8_GROUP 64
#define F4_GROUP 32

DEVICE float exp2i(i32 k) { return __uint_as_float(k > -127 ? static_cast<u32>(k + 127) << 23 : 0x00400000u); }

// The least k with 448 * 2^k >= amax, where 448 = 1.75 * 2^8; amax is 1e-4 at least.
DEVICE i32 e4m3_exponent(float amax) {
    u32 bits = __float_as_uint(fmaxf(amax, 1e-4f));
    i32 k = static_cast<i32>(bits >> 23) - 127 - 8 + ((bits & 0x7fffffu) > 0x600000u ? 1 : 0);
    return amax == INFINITY_F ? 127 : k;
}

// The least k with 6 * 2^k >= amax, where 6 = 1.5 * 2^2; amax is 6 * 2^-126 at least.
DEVICE i32 e2m1_exponent(float amax) {
    u32 bits = __float_as_uint(fmaxf(amax, 6.0f * 0x1p-126f));
    i32 k = static_cast<i32>(bits >> 23) - 127 - 2 + ((bits & 0x7fffffu) > 0x400000u ? 1 : 0);
    return amax == INFINITY_F ? 127 : k;
}

// ---- one vector in shared memory, by a whole block; a barrier must lie between writing `x` and each call, and after it ------------------------

// Copies `n` elements of type F32 or BF16, 128 bits at a time where the address allows it.
DEVICE void load_span(float* to, const void* data, i32 dtype, i64 at, i32 n) {
    i32 bytes = dtype == BF16 ? 2 : 4, step = 16 / bytes;
    const u8* from = static_cast<const u8*>(data) + at * bytes;
    i32 whole = (dtype == BF16 || dtype == F32) && reinterpret_cast<u64>(from) % 16 == 0 ? n / step * step : 0;
    for (i32 i = threadIdx.x * step; i < whole; i += blockDim.x * step) {
        Vec16 v = load16(from + i * bytes);
        for (i32 j = 0; j < 4; j++) {
            if (dtype == BF16) to[i + 2 * j] = low_bf16(v.w[j]), to[i + 2 * j + 1] = high_bf16(v.w[j]);
            else to[i + j] = __uint_as_float(v.w[j]);
        }
    }
    for (i32 i = whole + threadIdx.x; i < n; i += blockDim.x) to[i] = load_as_f32(data, dtype, at + i);
}

DEVICE float round_to(i32 dtype, float x) { return dtype == BF16 ? round_as<bf16>(x) : x; }

// x * rsqrt(mean(x^2) + eps). Vectors of zeros stay zero, even without an epsilon.
DEVICE float rms_factor(const float* x, i32 n, float eps, float* scratch) {
    float squares = 0.0f;
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) squares += x[i] * x[i];
    float mean = block_sum(squares, scratch) / n + eps;
    return mean == 0.0f ? 0.0f : 1.0f / sqrtf(mean);
}

// Rotates the pairs of the last `rotary` channels and rounds them.
DEVICE void rotate(float* x, i32 n, i32 rotary, const float* cs, i32 dtype) {
    for (i32 k = threadIdx.x; k < rotary / 2; k += blockDim.x) {
        float* pair = x + n - rotary + 2 * k;
        float a = pair[0], b = pair[1], c = cs[2 * k], s = cs[2 * k + 1];
        pair[0] = round_to(dtype, a * c - b * s), pair[1] = round_to(dtype, a * s + b * c);
    }
}

// Multiplies by Sylvester's matrix of order n, a power of two, times n^-1/2.
DEVICE void hadamard(float* x, i32 n, i32 dtype) {
    for (i32 half = 1; half < n; half *= 2) {
        for (i32 i = threadIdx.x; i < n / 2; i += blockDim.x) {
            i32 at = i / half * 2 * half + i % half;
            float a = x[at], b = x[at + half];
            x[at] = a + b, x[at + half] = a - b;
        }
        __syncthreads();
    }
    float factor = 1.0f / sqrtf(static_cast<float>(n));
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) x[i] = round_to(dtype, x[i] * factor);
}

// Largest magnitude of a group of 32 or 64, for the warp that owns it. NaN does not count.
DEVICE float group_amax(const float* x, i32 group) {
    float most = fabsf(x[LANE]);
    if (group == F8_GROUP) most = fmaxf(most, fabsf(x[LANE + 32]));
    return warp_max(most);
}

DEVICE void round_to_e4m3(float* x, i32 n) {
    for (i32 at = WARP * F8_GROUP; at < n; at += blockDim.x / 32 * F8_GROUP) {
        i32 k = e4m3_exponent(group_amax(x + at, F8_GROUP));
        for (i32 i = at + LANE; i < at + F8_GROUP; i += 32) x[i] = e4m3_to_f32(f32_to_e4m3(x[i] * exp2i(-k))) * exp2i(k);
    }
}

DEVICE void round_to_e2m1(float* x, i32 n) {
    for (i32 at = WARP * F4_GROUP; at < n; at += blockDim.x / 32 * F4_GROUP) {
        i32 k = e2m1_exponent(group_amax(x + at, F4_GROUP)), i = at + LANE;
        x[i] = e2m1_to_f32(f32_to_e2m1(x[i] * exp2i(-k))) * exp2i(k);
    }
}

// ---- stored rows -----------------------------------------------------------------------------------------------------------------------------

// Row formats as kernels are told them: a type of plain numbers, or one of these.
#define ROW_F8R 100
#define ROW_F4 101

// Packs a row whose values are on the grid of F8R: codes, rotated channels in BF16, scales.
DEVICE void store_f8r(u8* row, const float* x, i32 n, i32 rotary) {
    i32 plain = n - rotary;
    for (i32 at = WARP * F8_GROUP; at < plain; at += blockDim.x / 32 * F8_GROUP) {
        i32 k = e4m3_exponent(group_amax(x + at, F8_GROUP));
        for (i32 i = at + LANE; i < at + F8_GROUP; i += 32) row[i] = f32_to_e4m3(x[i] * exp2i(-k));
        if (LANE == 0) row[plain + 2 * rotary + at / F8_GROUP] = static_cast<u8>(k + 127);
    }
    for (i32 i = threadIdx.x; i < rotary; i += blockDim.x) {
        u16 bits = to_bf16(x[plain + i]).bits;
        row[plain + 2 * i] = static_cast<u8>(bits), row[plain + 2 * i + 1] = static_cast<u8>(bits >> 8);
    }
}

DEVICE void store_f4(u8* row, const float* x, i32 n) {
    for (i32 at = WARP * F4_GROUP; at < n; at += blockDim.x / 32 * F4_GROUP) {
        i32 k = e2m1_exponent(group_amax(x + at, F4_GROUP));
        u32 code = f32_to_e2m1(x[at + LANE] * exp2i(-k)), high = __shfl_down_sync(FULL_WARP, code, 1);
        if (LANE % 2 == 0) row[(at + LANE) / 2] = static_cast<u8>(code | high << 4);
        if (LANE == 0) row[n / 2 + at / F4_GROUP] = static_cast<u8>(k + 127);
    }
}

// Channel `i` of a row of F32, BF16 or F8R at any address.
DEVICE float key_value(const u8* row, i32 format, i32 n, i32 rotary, i32 i) {
    if (format == F32) return reinterpret_cast<const float*>(row)[i];
    if (format == BF16) return to_f32(reinterpret_cast<const bf16*>(row)[i]);
    i32 plain = n - rotary;
    if (i < plain) return e4m3_to_f32(row[i]) * e8m0_to_f32(row[plain + 2 * rotary + i / F8_GROUP]);
    const u8* at = row + plain + 2 * (i - plain);
    return __uint_as_float(static_cast<u32>(at[0]) << 16 | static_cast<u32>(at[1]) << 24);
}
