// gemm.linear and gemm.batched for up to 16 rows: 16 channels at a time are multiplied by all rows. The warps of a block share k; each has a ring of copies of its own in flight.
#pragma once
#include "gemm_store.cuh"

// Lane l (g = l/4, t = l%4) copies 16 bytes of channels g and g + 8 for each part of a chunk, and is the only one to read them back.
template <int CODE> struct Gemv {
    static constexpr i32 CODES = 128 / Code<CODE>::BITS, PART = 4 * CODES, PARTS = CODE == F4E2M1X2 ? 1 : 2, CHUNK = PARTS * PART;
    static constexpr i32 WARPS = 8, THREADS = WARPS * 32;
    static constexpr bool SCALED = CODE != BF16;
    // Two words for the scales of each channel of a chunk.
    static constexpr i32 SCALES_AT = PARTS * 1024, SLOT_BYTES = SCALES_AT + (SCALED ? 128 : 0), RING_BYTES = WARPS * 4 * SLOT_BYTES;
    static constexpr u32 SLOTS = 4;
    // Rows of the operand begin where lanes do not meet in a bank.
    static constexpr i32 ROW_PAD = CODE == BF16 ? 64 : 16;
};

// Bytes between rows of the operand in shared memory.
template <int CODE> DEVICE i32 staged_row(i32 inner) {
    constexpr i32 CHUNK = Gemv<CODE>::CHUNK;
    return ((inner + CHUNK - 1) / CHUNK * CHUNK * 2 + 127) / 128 * 128 + Gemv<CODE>::ROW_PAD;
}

// Brings the rows to shared memory, zero behind their end, rounded to E4M3 if so asked.
template <int CODE> DEVICE void stage_operand(u8* to, const Product& p, const u8* a) {
    i32 row_bytes = staged_row<CODE>(p.inner), padded = (p.inner + Gemv<CODE>::CHUNK - 1) / Gemv<CODE>::CHUNK * Gemv<CODE>::CHUNK;
    if (p.rounded) {
        i32 groups = padded / 128;
        for (i32 i = WARP; i < p.rows * groups; i += Gemv<CODE>::WARPS) {
            i32 row = i / groups, k = i % groups * 128 + LANE * 4;
            const u32* from = reinterpret_cast<const u32*>(a + (row * p.a_row + k) * 2);
            bool inside = k < p.inner;
            u32 low = inside ? from[0] : 0, high = inside ? from[1] : 0;
            float x[4] = {low_bf16(low), high_bf16(low), low_bf16(high), high_bf16(high)};
            i32 exponent = e4m3_exponent(warp_max(fmaxf(fmaxf(fabsf(x[0]), fabsf(x[1])), fmaxf(fabsf(x[2]), fabsf(x[3])))));
            for (float& v : x) v = e4m3_to_f32(f32_to_e4m3(v * power_of_two(-exponent))) * power_of_two(exponent);
            u32* at = reinterpret_cast<u32*>(to + row * row_bytes + k * 2);
            at[0] = pack_bf16(x[0], x[1]), at[1] = pack_bf16(x[2], x[3]);
        }
        return;
    }
    i32 units = padded / 8;
    for (i32 i = threadIdx.x; i < p.rows * units; i += Gemv<CODE>::THREADS) {
        i32 row = i / units, k = i % units * 8;
        cp_async16(to + row * row_bytes + k * 2, k < p.inner ? a + (row * p.a_row + k) * 2 : a, k < p.inner);
    }
    cp_async_commit();
    cp_async_wait<0>();
}

// A place in the walk of a warp: its chunk `turn` of tile `tile`, and where this lane's channels g and g + 8 begin; null beyond the last one.
template <int CODE> struct Place {
    i32 tile, turn;
    const u8* codes[2];
    // First scales of the two channels.
    const u8* scales[2];
};

template <int CODE> struct Walk {
    typedef Gemv<CODE> G;
    Matrix m;
    i32 tiles, turns;

    DEVICE Walk(const Product& p, i32 matrix)
        : m(matrix_of<CODE>(p.w, matrix, p.outer, p.inner, p.w_row, p.w_batch)), tiles((p.outer + 15) / 16),
          turns(((p.inner + G::CHUNK - 1) / G::CHUNK + G::WARPS - 1) / G::WARPS) {}

    DEVICE void enter(Place<CODE>& at, i32 tile) const {
        at.tile = tile, at.turn = 0;
        for (i32 half = 0; half < 2; half++) {
            i32 channel = tile * 16 + static_cast<i32>(LANE / 4) + half * 8;
            at.codes[half] = channel < m.rows ? m.data + channel * m.row_bytes : nullptr;
            at.scales[half] = channel < m.rows && G::SCALED ? m.scale + scale_place(m, channel, 0) : nullptr;
        }
    }

    DEVICE void advance(Place<CODE>& at) const {
        if (++at.turn == turns) enter(at, at.tile + gridDim.x);
    }

    // First k of the warp's chunk. Neighbouring warps take neighbouring chunks.
    DEVICE i32 first(const Place<CODE>& at) const { return (at.turn * G::WARPS + static_cast<i32>(WARP)) * G::CHUNK; }

    DEVICE void copy(const Place<CODE>& at, u8* slot) const {
        i32 k0 = first(at);
#pragma unroll
        for (i32 part = 0; part < G::PARTS; part++) {
            i32 k = k0 + part * G::PART + static_cast<i32>(LANE % 4) * G::CODES;
#pragma unroll
            for (i32 half = 0; half < 2; half++) {
                bool valid = at.codes[half] && k < m.cols;
                cp_async16(slot + part * 1024 + half * 512 + LANE * 16, valid ? at.codes[half] + code_bytes<CODE>(k) : m.data, valid);
            }
        }
        if constexpr (G::SCALED) {
            // Lanes t = 0, 1 bring two words for channel g, t = 2, 3 for g + 8; one word is enough where a chunk has one scale.
            const u8* scales = LANE % 4 / 2 ? at.scales[1] : at.scales[0];
            if (scales && k0 < m.cols && (CODE == F4E2M1X2 || LANE % 2 == 0)) {
                const u8* end = m.scale + i64((m.rows - 1 >> m.row_shift) + 1) * m.scale_cols;
                const u8* word = reinterpret_cast<const u8*>(reinterpret_cast<u64>(scales + (k0 >> m.col_shift)) & ~u64(3)) + (LANE % 2) * 4;
                copy_scale_word(reinterpret_cast<u32*>(slot + G::SCALES_AT + LANE * 4), word, m.scale, end);
            }
        }
        cp_async_commit();
    }

    // The factor of this lane's codes of channel g + 8 * half. Where there is no such channel the codes are 0, and any factor will do.
    DEVICE Factor factor(const Place<CODE>& at, const u8* slot, i32 half) const {
        if (!G::SCALED) return Factor{0, 0};
        i32 k0 = first(at), k = k0 + static_cast<i32>(LANE % 4) * G::CODES, before = k0 >> m.col_shift;
        u32 from = static_cast<u32>(reinterpret_cast<u64>(at.scales[half])) + before & 3;
        return factor_of<CODE>(slot[G::SCALES_AT + LANE / 4 * 16 + half * 8 + from + ((k >> m.col_shift) - before)]);
    }
};

// Adds one chunk of this lane's codes. `x` is the lane's row g of the operand at its first k, null for rows that are not there.
template <int CODE, int ROWS8> DEVICE void chunk_products(float (&sum)[ROWS8][4], const Walk<CODE>& walk, const Place<CODE>& at, const u8* slot, const u8* const (&x)[ROWS8]) {
    Factor low = walk.factor(at, slot, 0), high = walk.factor(at, slot, 1);
    constexpr int WORDS = Widen<CODE>::WORDS;
#pragma unroll
    for (int part = 0; part < Gemv<CODE>::PARTS; part++) {
        Vec16 a = load16(slot + part * 1024 + LANE * 16), b = load16(slot + part * 1024 + 512 + LANE * 16);
#pragma unroll
        for (int eight = 0; eight < 4 / WORDS; eight++) {
            u32 low_pairs[4], high_pairs[4];
            Widen<CODE>::eight(low_pairs, a.w + eight * WORDS, low);
            Widen<CODE>::eight(high_pairs, b.w + eight * WORDS, high);
            u32 first[4] = {low_pairs[0], high_pairs[0], low_pairs[1], high_pairs[1]}, second[4] = {low_pairs[2], high_pairs[2], low_pairs[3], high_pairs[3]};
#pragma unroll
            for (int r = 0; r < ROWS8; r++) {
                Vec16 v = {};
                if (x[r]) v = load16(x[r] + part * Gemv<CODE>::PART * 2 + eight * 16);
                u32 front[2] = {v.w[0], v.w[1]}, back[2] = {v.w[2], v.w[3]};
                mma_bf16(sum[r], first, front);
                mma_bf16(sum[r], second, back);
            }
        }
    }
}

// ROWS8: eights of rows. Blocks take tiles of 16 channels in turn; blockIdx.y is the matrix.
template <int CODE, int ROWS8> DEVICE void gemv_product(const Product& p) {
    typedef Gemv<CODE> G;
    DYN_SHARED(u8, shared);
    __shared__ float parts[2][G::WARPS][ROWS8][128];
    u8* ring = shared + WARP * (G::SLOTS * G::SLOT_BYTES);
    u8* operand = shared + G::RING_BYTES;
    i32 row_bytes = staged_row<CODE>(p.inner);
    Walk<CODE> walk(p, blockIdx.y);
    Place<CODE> ahead, at;
    walk.enter(ahead, blockIdx.x);
    at = ahead;
    stage_operand<CODE>(operand, p, static_cast<const u8*>(p.a) + blockIdx.y * p.a_batch * 2);
    for (u32 i = 0; i < G::SLOTS - 1; i++) walk.copy(ahead, ring + i * G::SLOT_BYTES), walk.advance(ahead);
    __syncthreads();
    float sum[ROWS8][4] = {};
    u32 buffer = 0;
    for (u32 turn = 0; at.tile < walk.tiles; turn++) {
        cp_async_wait<G::SLOTS - 2>();
        // Scales were copied by other lanes; and all lanes are done with the slot that is filled next.
        __syncwarp();
        walk.copy(ahead, ring + (turn + G::SLOTS - 1) % G::SLOTS * G::SLOT_BYTES);
        walk.advance(ahead);
        i32 k0 = walk.first(at);
        if (k0 < p.inner) {
            const u8* x[ROWS8];
            for (int r = 0; r < ROWS8; r++) {
                i32 row = static_cast<i32>(LANE / 4) + r * 8;
                x[r] = row < p.rows ? operand + row * row_bytes + (k0 + static_cast<i32>(LANE % 4) * G::CODES) * 2 : nullptr;
            }
            chunk_products<CODE, ROWS8>(sum, walk, at, ring + turn % G::SLOTS * G::SLOT_BYTES, x);
        }
        i32 tile = at.tile;
        walk.advance(at);
        if (at.tile == tile) continue;
        // sum[r][e]: channel g + e/2*8, row r*8 + 2t + e%2.
        for (int r = 0; r < ROWS8; r++)
            for (int e = 0; e < 4; e++) parts[buffer][WARP][r][(LANE / 4 + e / 2 * 8) + 16 * (2 * (LANE % 4) + e % 2)] = sum[r][e], sum[r][e] = 0.0f;
        // The other buffer is free again: its readers have passed this barrier.
        __syncthreads();
        for (i32 i = threadIdx.x; i < ROWS8 * 128; i += G::THREADS) {
            i32 row = i / 16, channel = tile * 16 + i % 16;
            float total = 0.0f;
            for (i32 w = 0; w < G::WARPS; w++) total += parts[buffer][w][i / 128][i % 128];
            if (row < p.rows && channel < p.outer) store_result(p, result_place(p, blockIdx.y, row, channel), total);
        }
        buffer ^= 1;
    }
}
