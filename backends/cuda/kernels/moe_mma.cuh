// Experts on tensor cores for bf16 activations: channels of the weight are the rows of a product, pairs its columns. Codes go from memory to registers, where they are widened;
// the activations of a block's pairs lie in shared memory, so that a weight is read once for up to 8 NT pairs.
//
// A lane loads 16 bytes of four rows at a time. The order of products is free, so each lane's codes stay where they are: within a unit of four lanes' codes, the columns of
// an activation are stored in the order in which the lanes want them.
#pragma once
#include "moe_pairs.cuh"

constexpr i32 FFN_THREADS = 256, FFN_WARPS = 8;

// Columns of a step: a whole block of scales.
constexpr i32 STEP = 128;

// Geometry of 16 bytes of codes: words that eight of them take, groups of eight, columns of four lanes, units in a step.
template <int CODE> struct Lanes {
    static constexpr int WORDS = Code<CODE>::BITS / 4, EIGHTS = 4 / WORDS, UNIT = 32 * EIGHTS, UNITS = STEP / UNIT;
};

// Bytes between two rows of activations in shared memory: rows g and g+1 fall on the two halves of the banks.
DEVICE i32 row_pitch(i32 cols) { return cols * 2 + 64; }

// Place of eight columns among the eights of a row.
template <int CODE> DEVICE i32 place_of(i32 eight) {
    constexpr i32 E = Lanes<CODE>::EIGHTS;
    i32 in = eight % (4 * E);
    return eight - in + in % E * 4 + in / E;
}

// Two f32 rounded to E4M3 and back.
DEVICE void round_e4m3(float& a, float& b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    u16 codes;
    u32 halves;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(b), "f"(a));
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
    a = to_f32(f16{static_cast<u16>(halves)}), b = to_f32(f16{static_cast<u16>(halves >> 16)});
#else
    a = e4m3_to_f32(f32_to_e4m3(a)), b = e4m3_to_f32(f32_to_e4m3(b));
#endif
}

// Rounds 128 values that 16 neighbouring lanes hold, eight each.
DEVICE Vec16 round_group(Vec16 v) {
    float largest = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++) largest = fmaxf(largest, fmaxf(fabsf(low_bf16(v.w[i])), fabsf(high_bf16(v.w[i]))));
    for (int step = 8; step; step >>= 1) largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, step));
    i32 k = e4m3_exponent(largest);
    float down = power_of_two(-k), up = power_of_two(k);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float a = low_bf16(v.w[i]) * down, b = high_bf16(v.w[i]) * down;
        round_e4m3(a, b);
        v.w[i] = pack_bf16(a * up, b * up);
    }
    return v;
}

// Columns `k0..k0+cols` of the activations of `count` pairs into shared memory; pair q has row q / divisor.
template <int CODE> DEVICE void stage(u8* to, const u8* from, i64 row_bytes, i32 divisor, const i32* list, i32 count, i32 k0, i32 cols, i32 a_quant) {
    i32 eights = cols / 8, total = count * eights, pitch = row_pitch(cols);
    // Whole warps: the rounding needs all of its lanes.
    for (i32 i = threadIdx.x; i < (total + 31) / 32 * 32; i += blockDim.x) {
        i32 r = i / eights, eight = i % eights;
        Vec16 v{0, 0, 0, 0};
        if (i < total) v = load16(from + list[r] / divisor * row_bytes + (k0 + eight * 8) * 2);
        if (a_quant) v = round_group(v);
        if (i < total) store16(to + r * pitch + place_of<CODE>(eight) * 16, v);
    }
}

// A lane's codes of a step: of rows g and g + 8 of two tiles of 16 channels.
template <int CODE> struct Codes {
    Vec16 codes[2][2][Lanes<CODE>::UNITS];
    u32 scales[2][2];  // E8M0 for FP4, bits of an f32 for FP8
};

// The two tiles of channels of a warp begin at these rows.
struct Tiles { i32 rows[2]; };

template <int CODE> DEVICE void load_codes(Codes<CODE>& c, const Matrix& m, Tiles tiles, i32 k) {
    i32 g = LANE / 4, t = LANE % 4;
#pragma unroll
    for (int tile = 0; tile < 2; tile++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            i32 row = tiles.rows[tile] + g + half * 8;
            const u8* at = m.data + row * m.row_bytes + code_bytes<CODE>(k) + t * 16;
#pragma unroll
            for (int u = 0; u < Lanes<CODE>::UNITS; u++) c.codes[tile][half][u] = load_once(at + u * 64);
            if (CODE == F4E2M1X2) c.scales[tile][half] = m.scale[scale_place(m, row, k + t * 32)];
            if (CODE == F8E4M3) c.scales[tile][half] = __float_as_uint(scale_of(m, row, k));
        }
}

// Adds the products of a step to the sums.
template <int CODE, int NT>
DEVICE void multiply(float (&sums)[2][NT][4], const Codes<CODE>& c, const u8* x, i32 pitch, i32 count, i32 k) {
    using L = Lanes<CODE>;
    i32 g = LANE / 4, t = LANE % 4;
    Factor factors[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++) factors[i / 2][i % 2] = factor_of<CODE>(CODE == F4E2M1X2 ? c.scales[i / 2][i % 2] : 127);
#pragma unroll
    for (int u = 0; u < L::UNITS; u++)
#pragma unroll
        for (int e = 0; e < L::EIGHTS; e++) {
            u32 a[2][2][4];
#pragma unroll
            for (int tile = 0; tile < 2; tile++) {
                u32 low[4], high[4];
                Widen<CODE>::eight(low, c.codes[tile][0][u].w + e * L::WORDS, factors[tile][0]);
                Widen<CODE>::eight(high, c.codes[tile][1][u].w + e * L::WORDS, factors[tile][1]);
#pragma unroll
                for (int i = 0; i < 2; i++)
                    a[tile][i][0] = low[2 * i], a[tile][i][1] = high[2 * i], a[tile][i][2] = low[2 * i + 1], a[tile][i][3] = high[2 * i + 1];
            }
            i32 place = (k + u * L::UNIT) / 8 + e * 4 + t;
#pragma unroll
            for (int n = 0; n < NT; n++) {
                if (n * 8 >= count) continue;
                Vec16 b{0, 0, 0, 0};
                if (n * 8 + g < count) b = load16(x + (n * 8 + g) * pitch + place * 16);
#pragma unroll
                for (int tile = 0; tile < 2; tile++)
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        u32 pair[2] = {b.w[2 * i], b.w[2 * i + 1]};
                        mma_bf16(sums[tile][n], a[tile][i], pair);
                    }
            }
        }
}

// The same with the scale of the step's block, which FP8 codes share with their neighbours.
template <int CODE, int NT>
DEVICE void add_step(float (&sums)[2][NT][4], const Codes<CODE>& c, const u8* x, i32 pitch, i32 count, i32 k) {
    if constexpr (CODE != F8E4M3) {
        multiply<CODE, NT>(sums, c, x, pitch, count, k);
    } else {
        float step[2][NT][4];
#pragma unroll
        for (int i = 0; i < 8 * NT; i++) step[i / (4 * NT)][i / 4 % NT][i % 4] = 0.0f;
        multiply<CODE, NT>(step, c, x, pitch, count, k);
#pragma unroll
        for (int i = 0; i < 8 * NT; i++)
            sums[i / (4 * NT)][i / 4 % NT][i % 4] += step[i / (4 * NT)][i / 4 % NT][i % 4] * __uint_as_float(c.scales[i / (4 * NT)][i / 2 % 2]);
    }
}

// Sums over the block's warps, each of which had some of the steps, in their order. Afterwards thread `i % 256` has the sums number i / 256 of both tiles in `mine`.
template <int NT> DEVICE void sum_warps(float (&mine)[2][(NT + 1) / 2], const float (&sums)[2][NT][4], float* scratch) {
    __syncthreads();
#pragma unroll
    for (int tile = 0; tile < 2; tile++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) scratch[((WARP * 2 + tile) * NT + n) * 128 + i * 32 + LANE] = sums[tile][n][i];
    __syncthreads();
#pragma unroll
    for (int at = 0; at < (NT + 1) / 2; at++) {
        i32 i = at * FFN_THREADS + threadIdx.x;
#pragma unroll
        for (int tile = 0; tile < 2; tile++) {
            mine[tile][at] = 0.0f;
            for (i32 w = 0; i < NT * 128 && w < FFN_WARPS; w++) mine[tile][at] += scratch[(w * 2 + tile) * NT * 128 + i];
        }
    }
}

// One pair's sums of channel `channel` of both tiles.
template <bool UP> DEVICE void finish(const MoeFfn& p, i32 pair, i32 channel, float first, float second) {
    if (UP) {
        static_cast<bf16*>(p.hidden)[static_cast<i64>(pair) * p.inter + channel] = to_bf16(swiglu(first, second, p.limit, weight_of(p, pair)));
    } else {
        store_result(p, pair, channel, first);
        store_result(p, pair, channel + 16, second);
    }
}

// A block makes 16 (up) or 32 (down) channels if its warps SPLIT the columns among them, else each warp makes as many.
template <int CODE, int NT, bool SPLIT, bool UP> DEVICE void ffn(const MoeFfn& p) {
    DYN_SHARED(u8, x);
    __shared__ i32 list[FEW_PAIRS], found[2];
    constexpr i32 CHANNELS = UP ? 16 : 32, WIDE = SPLIT ? CHANNELS : CHANNELS * FFN_WARPS;
    i32 rows = UP ? 2 * p.inter : p.width, cols = UP ? p.width : p.inter, tiles = (UP ? p.inter : p.width) / WIDE;
    i32 channel = static_cast<i32>(blockIdx.x % tiles) * WIDE + (SPLIT ? 0 : WARP * CHANNELS);
    Pairs pairs = find_pairs(p, blockIdx.x / tiles, 8 * NT, list, found);
    if (pairs.count == 0) return;
    Matrix m = UP ? matrix_of<CODE>(p.w13, pairs.matrix, rows, cols, p.w13_row, p.w13_matrix)
                  : matrix_of<CODE>(p.w2, pairs.matrix, rows, cols, p.w2_row, p.w2_matrix);
    Tiles at{{channel, channel + (UP ? p.inter : 16)}};
    const u8* from = static_cast<const u8*>(UP ? p.x.data : p.hidden);
    i64 row_bytes = 2 * (UP ? p.x.outer : p.hidden_row);
    for (i32 first = 0; first < pairs.count; first += p.height) {
        i32 count = min(pairs.count - first, p.height);
        float sums[2][NT][4];
#pragma unroll
        for (int i = 0; i < 8 * NT; i++) sums[i / (4 * NT)][i / 4 % NT][i % 4] = 0.0f;
        for (i32 k0 = 0; k0 < cols; k0 += p.stage) {
            i32 stage_cols = min(p.stage, cols - k0), step = SPLIT ? FFN_WARPS * STEP : STEP, k = SPLIT ? WARP * STEP : 0;
            // FP4 codes of the next step come while those of this one are multiplied; those of other formats would not fit in the registers twice.
            constexpr bool AHEAD = CODE == F4E2M1X2;
            Codes<CODE> codes, next;
            if (k < stage_cols) load_codes<CODE>(codes, m, at, k0 + k);
            __syncthreads();
            stage<CODE>(x, from, row_bytes, UP ? p.choices : 1, list + first, count, k0, stage_cols, p.a_quant);
            __syncthreads();
            for (; k < stage_cols; k += step) {
                if (AHEAD && k + step < stage_cols) load_codes<CODE>(next, m, at, k0 + k + step);
                add_step<CODE, NT>(sums, codes, x, row_pitch(stage_cols), count, k);
                if (AHEAD) codes = next;
                else if (k + step < stage_cols) load_codes<CODE>(codes, m, at, k0 + k + step);
            }
        }
        if (SPLIT) {
            float mine[2][(NT + 1) / 2];
            sum_warps<NT>(mine, sums, reinterpret_cast<float*>(x));
#pragma unroll
            for (int n = 0; n < (NT + 1) / 2; n++) {
                i32 i = n * FFN_THREADS + threadIdx.x, lane = i % 32, q = i / 128 * 8 + lane % 4 * 2 + i / 32 % 2;
                if (i < NT * 128 && q < count) finish<UP>(p, list[first + q], channel + lane / 4 + i / 64 % 2 * 8, mine[0][n], mine[1][n]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < 4 * NT; i++) {
                i32 q = i / 4 * 8 + LANE % 4 * 2 + i % 2;
                if (q < count) finish<UP>(p, list[first + q], channel + LANE / 4 + i / 2 % 2 * 8, sums[0][i / 4][i % 4], sums[1][i / 4][i % 4]);
            }
        }
    }
}
