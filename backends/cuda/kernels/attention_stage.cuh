// Shared memory of attention.sparse by tiles, and how tiles of keys get there. See attention_tile.cuh.
#pragma once
#include "attention_list.cuh"
#include "mma.cuh"

// Heads of a block at most, and channels of a head at most.
#define HEADS 32
#define CHANNELS 512
// Elements of a row in shared memory: 16 bytes more than the channels, so that the eight rows of a matrix lie in different banks. The same for scores and weights.
#define STRIDE 520
#define SCORE_STRIDE 68
#define WEIGHT_STRIDE 72
// Bytes of a packed row in shared memory, a multiple of 16.
#define PACKED_STRIDE 592

struct alignas(16) TileMemory {
    bf16 queries[HEADS * STRIDE];
    // Two halves of the channels.
    float scores[2 * HEADS * SCORE_STRIDE];
    bf16 weights[HEADS * WEIGHT_STRIDE];
    u64 list[LISTED];
    // For each head: what the run's sums keep at a tile; what total and run keep when the run ends.
    float keep[HEADS], keep_total[HEADS], keep_run[HEADS];
    i32 scratch[32];
    // The tiles follow, then the packed rows.
    DEVICE bf16* tile(i32 stage) { return reinterpret_cast<bf16*>(this + 1) + stage * TILE * STRIDE; }
    DEVICE u8* packed() { return reinterpret_cast<u8*>(tile(1)); }
};
static_assert(sizeof(TileMemory) == 59904, "differs from the host's");

// As cp_async16 for rows that begin at a multiple of 8 bytes.
DEVICE void cp_async8(void* shared, const void* global) {
#ifdef __CUDACC__
    u32 to = static_cast<u32>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to), "l"(global));
#else
    fiber::copy_later(shared, fiber::aligned(global, 8), 8);
#endif
}

// Products of two pairs of bf16.
DEVICE u32 multiply_pairs(u32 a, u32 b) {
#ifdef __CUDACC__
    u32 y;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(0x80008000u));
    return y;
#else
    return pack_bf16(low_bf16(a) * low_bf16(b), high_bf16(a) * high_bf16(b));
#endif
}

// Four E4M3 codes times a power of two, exact in bf16. A code's exponent and mantissa are placed where bf16 has them, 120 powers of two too low.
DEVICE void widen4(u32 codes, u8 scale, u32& low, u32& high) {
    u32 nan = ((codes & 0x7f7f7f7fu) + 0x01010101u) & 0x80808080u;
    if (nan || scale > 134) {
        float x[4];
        for (int i = 0; i < 4; i++) x[i] = e4m3_to_f32(static_cast<u8>(codes >> (8 * i))) * e8m0_to_f32(scale);
        low = pack_bf16(x[0], x[1]), high = pack_bf16(x[2], x[3]);
        return;
    }
    u32 factor = static_cast<u32>(scale + 120) << 7, odd_codes = codes >> 8;
    factor |= factor << 16;
    u32 even = multiply_pairs((codes & 0x007f007fu) << 4 | (codes & 0x00800080u) << 8, factor);
    u32 odd = multiply_pairs((odd_codes & 0x007f007fu) << 4 | (odd_codes & 0x00800080u) << 8, factor);
    low = (even & 0xffffu) | odd << 16, high = even >> 16 | (odd & 0xffff0000u);
}

// Eight threads a row: this thread's part of it, and its row in the half `half` of a tile.
#define PART (threadIdx.x % 8)
#define ROW_OF(half) (static_cast<i32>(threadIdx.x / 8) + 32 * (half))

// A row of bf16 into shared memory; it may still be under way afterwards. `from` null: zeros, over the padding too.
DEVICE void stage_row(bf16* to, const bf16* from, i32 head, i32 padded) {
    if (!from) {
        for (i32 c = PART * 8; c < padded; c += 64) store16(to + c, {{0, 0, 0, 0}});
    } else if (head % 8 == 0 && reinterpret_cast<u64>(from) % 16 == 0) {
        for (i32 c = PART * 8; c < head; c += 64) cp_async16(to + c, from + c, true);
    } else {
        for (i32 c = PART; c < head; c += 8) to[c] = from[c];
    }
}

DEVICE u64 listed(const TileMemory& s, i32 slot, i32 used) { return slot < used ? s.list[slot] : 0; }

// Rows `slot..` of the list, stored as bf16.
DEVICE void stage_plain(TileMemory& s, bf16* tile, i32 slot, i32 used, i32 head, i32 padded) {
    for (int half = 0; half < 2; half++) {
        u64 address = listed(s, slot + ROW_OF(half), used) & ~STEP_ROW;
        stage_row(tile + ROW_OF(half) * STRIDE, reinterpret_cast<const bf16*>(address), head, padded);
    }
}

// The packed rows among them, as they are.
DEVICE void stage_packed(TileMemory& s, i32 slot, i32 used, i32 bytes) {
    for (int half = 0; half < 2; half++) {
        u64 address = listed(s, slot + ROW_OF(half), used);
        if (!address || address & STEP_ROW) continue;
        u8* to = s.packed() + ROW_OF(half) * PACKED_STRIDE;
        const u8* from = reinterpret_cast<const u8*>(address);
        if (address % 8 == 0)
            for (i32 i = PART * 8; i < bytes; i += 64) cp_async8(to + i, from + i);
        else
            for (i32 i = PART; i < bytes; i += 8) to[i] = from[i];
    }
}

// The tile from its packed rows, and from rows of this step.
DEVICE void unpack_tile(TileMemory& s, i32 slot, i32 used, i32 head, i32 padded, i32 rotary) {
    i32 plain = head - rotary;
    for (int half = 0; half < 2; half++) {
        u64 address = listed(s, slot + ROW_OF(half), used);
        bf16* to = s.tile(0) + ROW_OF(half) * STRIDE;
        if (!address || address & STEP_ROW) {
            stage_row(to, reinterpret_cast<const bf16*>(address & ~STEP_ROW), head, padded);
            continue;
        }
        const u8* row = s.packed() + ROW_OF(half) * PACKED_STRIDE;
        for (i32 c = PART * 8; c < plain; c += 64) {
            Vec8 codes = *reinterpret_cast<const Vec8*>(row + c);
            u8 scale = row[plain + 2 * rotary + c / F8_GROUP];
            Vec16 wide;
            widen4(codes.w[0], scale, wide.w[0], wide.w[1]);
            widen4(codes.w[1], scale, wide.w[2], wide.w[3]);
            store16(to + c, wide);
        }
        const bf16* rotated = reinterpret_cast<const bf16*>(row + plain);
        for (i32 c = PART; c < rotary; c += 8) to[plain + c] = rotated[c];
    }
    // Rows of this step may be under way.
    cp_async_commit();
    cp_async_wait<0>();
}

// Zeros in the padding of all rows: nothing else writes there.
DEVICE void clear_padding(bf16* rows, i32 count, i32 head, i32 padded) {
    i32 width = padded - head;
    for (i32 i = threadIdx.x; i < count * width; i += blockDim.x) rows[i / width * STRIDE + head + i % width].bits = 0;
}
