// Weights in any format, widened in registers. A weight is `[matrices, rows, cols]`; codes have one scale for `block_rows x block_cols` of them.
#pragma once
#include "common.cuh"

// One matrix of a weight, as the lanes of a kernel walk it.
struct Matrix {
    const u8* data;       // its first element
    const u8* scale;      // its first scale, null for plain numbers
    i64 row_bytes;        // between rows
    i32 rows, cols;
    i32 row_shift, col_shift, scale_cols;  // block sizes are powers of two
    i32 scale_dtype;
};

template <int CODE> struct Code;
template <> struct Code<F32> { static constexpr int BITS = 32; };
template <> struct Code<BF16> { static constexpr int BITS = 16; };
template <> struct Code<F8E4M3> { static constexpr int BITS = 8; };
template <> struct Code<F4E2M1X2> { static constexpr int BITS = 4; };

// Bytes of `count` elements, a whole number of bytes.
template <int CODE> DEVICE i64 code_bytes(i64 count) { return count * Code<CODE>::BITS / 8; }

DEVICE i32 log2_of(i32 power) { return 31 - __clz(power); }

// Matrix `index` of a weight; `row_stride` and `matrix_stride` in elements.
template <int CODE> DEVICE Matrix matrix_of(const Weight& w, i64 index, i32 rows, i32 cols, i64 row_stride, i64 matrix_stride) {
    Matrix m;
    m.rows = rows, m.cols = cols;
    m.row_bytes = code_bytes<CODE>(row_stride);
    m.data = static_cast<const u8*>(w.data) + index * code_bytes<CODE>(matrix_stride);
    m.row_shift = log2_of(w.block_rows), m.col_shift = log2_of(w.block_cols);
    m.scale_cols = (cols + w.block_cols - 1) >> m.col_shift;
    m.scale_dtype = w.scale_dtype;
    i64 scales = i64((rows + w.block_rows - 1) >> m.row_shift) * m.scale_cols;
    m.scale = w.scale ? static_cast<const u8*>(w.scale) + index * scales * (w.scale_dtype == E8M0 ? 1 : 4) : nullptr;
    return m;
}

// Place of the scale of an element among the scales of its matrix.
DEVICE i64 scale_place(const Matrix& m, i32 row, i32 col) { return i64(row >> m.row_shift) * m.scale_cols + (col >> m.col_shift); }

// The scale of an element; 1 for plain numbers.
DEVICE float scale_of(const Matrix& m, i32 row, i32 col) {
    if (!m.scale) return 1.0f;
    i64 at = scale_place(m, row, col);
    return m.scale_dtype == E8M0 ? e8m0_to_f32(m.scale[at]) : reinterpret_cast<const float*>(m.scale)[at];
}

// One element with its scale.
template <int CODE> DEVICE float weight_at(const Matrix& m, i32 row, i32 col) {
    const u8* at = m.data + i64(row) * m.row_bytes;
    float code;
    if (CODE == F32) code = reinterpret_cast<const float*>(at)[col];
    else if (CODE == BF16) code = to_f32(reinterpret_cast<const bf16*>(at)[col]);
    else if (CODE == F8E4M3) code = e4m3_to_f32(at[col]);
    else code = e2m1_to_f32(at[col >> 1] >> ((col & 1) * 4));
    return m.scale ? code * scale_of(m, row, col) : code;
}

// ---- bits ------------------------------------------------------------------------------------------------------------------------------------

// Bytes picked out of eight: nibble i of the selector is the place of byte i of the result, 0..3 in `low`, 4..7 in `high`.
DEVICE u32 pick_bytes(u32 low, u32 high, u32 selector) {
#ifdef __CUDACC__
    u32 r;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(low), "r"(high), "r"(selector));
    return r;
#else
    u64 both = static_cast<u64>(high) << 32 | low;
    u32 r = 0;
    for (int i = 0; i < 4; i++) r |= static_cast<u32>(both >> (selector >> (4 * i) & 7) * 8 & 255) << (8 * i);
    return r;
#endif
}

// Products of two bf16 each, rounded to nearest.
DEVICE u32 mul_bf16x2(u32 a, u32 b) {
#ifdef __CUDACC__
    u32 r;
    // Minus zero added leaves every product as it is.
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(0x80008000u));
    return r;
#else
    return pack_bf16(low_bf16(a) * low_bf16(b), high_bf16(a) * high_bf16(b));
#endif
}

// ---- eight neighbouring elements as four words of bf16 ---------------------------------------------------------------------------------------

// A power-of-two scale as factors of codes whose bits were moved into bf16 unchanged: such a code is too small by 2^120 (E4M3) or 2^126 (E2M1).
// One bf16 factor reaches 2^127; the second is 0 where the first is enough.
struct Factor { u32 first, second; };

template <int CODE> DEVICE Factor factor_of(u32 e8m0) {
    constexpr u32 LIFT = CODE == F8E4M3 ? 120 : 126;
    u32 exponent = e8m0 + LIFT, rest = exponent > 254 ? exponent - 254 : 0;
    return Factor{(exponent - rest) * 0x00800080u, rest ? (rest + 127) * 0x00800080u : 0};
}

DEVICE u32 lifted(u32 word, Factor f) {
    word = mul_bf16x2(word, f.first);
    return f.second ? mul_bf16x2(word, f.second) : word;
}

// Elements 0..7 at `codes` (as many words as eight of them take), times their common power-of-two scale: exact.
template <int CODE> struct Widen;

template <> struct Widen<BF16> {
    static constexpr int WORDS = 4;
    DEVICE static void eight(u32 (&pairs)[4], const u32* codes, Factor) {
        for (int i = 0; i < 4; i++) pairs[i] = codes[i];
    }
};

template <> struct Widen<F8E4M3> {
    static constexpr int WORDS = 2;
    // Codes 2i and 2i + 1 of a word.
    DEVICE static u32 two(u32 word, int i, Factor f) {
        // In the upper bytes of the two halves.
        u32 v = pick_bytes(word, 0, i ? 0x3424u : 0x1404u);
        return lifted((v >> 4 & 0x07f007f0u) | (v & 0x80008000u), f);
    }
    DEVICE static void eight(u32 (&pairs)[4], const u32* codes, Factor f) {
        for (int i = 0; i < 4; i++) pairs[i] = two(codes[i / 2], i % 2, f);
    }
};

template <> struct Widen<F4E2M1X2> {
    static constexpr int WORDS = 1;
    // The codes of byte i of a word.
    DEVICE static u32 two(u32 word, int i, Factor f) {
        // The even code tops the lower half, the odd one the upper half.
        u32 v = pick_bytes(word << 4, word, 0x4000u + i * 0x1010u);
        return lifted((v >> 6 & 0x01c001c0u) | (v & 0x80008000u), f);
    }
    DEVICE static void eight(u32 (&pairs)[4], const u32* codes, Factor f) {
        for (int i = 0; i < 4; i++) pairs[i] = two(codes[0], i, f);
    }
};

// ---- copying into shared memory --------------------------------------------------------------------------------------------------------------

// 4 bytes, both ends aligned.
DEVICE void cp_async4(void* shared, const void* global) {
#ifdef __CUDACC__
    u32 to = static_cast<u32>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global));
#else
    fiber::copy_later(shared, fiber::aligned(global, 4), 4);
#endif
}

// Brings the aligned word at `at` to shared memory, but only its bytes inside `first..end`: bytes of one-byte scales at any address.
DEVICE void copy_scale_word(u32* shared, const u8* at, const u8* first, const u8* end) {
    if (at >= first && at + 4 <= end) {
        cp_async4(shared, at);
        return;
    }
    u32 word = 0;
    for (int i = 0; i < 4; i++)
        if (at + i >= first && at + i < end) word |= static_cast<u32>(at[i]) << (8 * i);
    *shared = word;
}

// ---- rounding of activations -----------------------------------------------------------------------------------------------------------------

// Exponent of the scale of a group of E4M3 codes: the least k with 448 * 2^k >= max(largest, 1e-4) (deepseek-v4.md 2.2).
DEVICE i32 e4m3_exponent(float largest) {
    u32 bits = __float_as_uint(largest > 1e-4f ? largest : 1e-4f);
    // 448 = 1.75 * 2^8.
    return static_cast<i32>(bits >> 23) - 127 - 8 + ((bits & 0x007fffffu) > 0x00600000u ? 1 : 0);
}

DEVICE float power_of_two(i32 k) { return __uint_as_float(static_cast<u32>(k + 127) << 23); }
