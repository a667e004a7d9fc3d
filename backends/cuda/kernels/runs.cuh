// Runs of eight neighbouring elements as f32, and rounding to the code grids.
#pragma once
#include "common.cuh"

constexpr int RUN = 8;

DEVICE i32 f32_to_i32(float x) {
    if (x != x) return 0;
    return x >= 0x1p31f ? 0x7fffffff : x <= -0x1p31f ? -0x7fffffff - 1 : static_cast<i32>(x);
}

// The bits of an element as part of a vector, and back.
template <typename T> DEVICE float widen(T x) { return to_f32(x); }
template <> DEVICE float widen<i32>(i32 x) { return static_cast<float>(x); }
template <typename T> DEVICE T narrow(float x) { return from_f32<T>(x); }
template <> DEVICE i32 narrow<i32>(float x) { return f32_to_i32(x); }
DEVICE void put_bits(u32 bits, float& x) { x = __uint_as_float(bits); }
DEVICE void put_bits(u32 bits, i32& x) { x = static_cast<i32>(bits); }
template <typename T> DEVICE void put_bits(u32 bits, T& x) { x.bits = static_cast<u16>(bits); }
DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
DEVICE u32 bits_of(i32 x) { return static_cast<u32>(x); }
template <typename T> DEVICE u32 bits_of(T x) { return x.bits; }

// Elements of 4 or 2 bytes in two vectors or one, aligned to 16 bytes.
template <typename T> DEVICE void load_whole(float (&v)[RUN], const T* from) {
    constexpr int words = RUN * sizeof(T) / 4, packed = RUN / words;
    u32 held[words];
#pragma unroll
    for (int i = 0; i < words; i += 4) {
        Vec16 part = load16(from + i * packed);
#pragma unroll
        for (int k = 0; k < 4; k++) held[i + k] = part.w[k];
    }
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        T x;
        put_bits(held[i / packed] >> (16 * (i % packed)), x);
        v[i] = widen(x);
    }
}

template <typename T> DEVICE void store_whole(T* to, const float (&v)[RUN]) {
    constexpr int words = RUN * sizeof(T) / 4, packed = RUN / words;
    u32 held[words];
#pragma unroll
    for (int i = 0; i < words; i++) held[i] = packed == 1 ? bits_of(narrow<T>(v[i])) : bits_of(narrow<T>(v[i * packed])) | bits_of(narrow<T>(v[i * packed + packed - 1])) << 16;
#pragma unroll
    for (int i = 0; i < words; i += 4) store16(to + i * packed, Vec16{{held[i], held[i + 1], held[i + 2], held[i + 3]}});
}

// The first `n` of eight elements `step` apart; the others are 0. `whole`: their address is aligned to 16 bytes and the step is 1.
template <typename T> DEVICE void load_of(float (&v)[RUN], const void* data, i64 at, i64 step, int n, bool whole) {
    const T* from = static_cast<const T*>(data) + at;
    if (whole && n == RUN) return load_whole<T>(v, from);
#pragma unroll
    for (int i = 0; i < RUN; i++) v[i] = i < n ? widen(from[i * step]) : 0.0f;
}

template <typename T> DEVICE void store_of(const float (&v)[RUN], void* data, i64 at, i64 step, int n, bool whole) {
    T* to = static_cast<T*>(data) + at;
    if (whole && n == RUN) return store_whole<T>(to, v);
#pragma unroll
    for (int i = 0; i < RUN; i++)
        if (i < n) to[i * step] = narrow<T>(v[i]);
}

DEVICE void load_run(float (&v)[RUN], const void* data, i32 dtype, i64 at, i64 step, int n, bool whole) {
    switch (dtype) {
        case F32: return load_of<float>(v, data, at, step, n, whole);
        case BF16: return load_of<bf16>(v, data, at, step, n, whole);
        case F16: return load_of<f16>(v, data, at, step, n, whole);
        default: return load_of<i32>(v, data, at, step, n, whole);
    }
}

DEVICE void store_run(const float (&v)[RUN], void* data, i32 dtype, i64 at, i64 step, int n, bool whole) {
    switch (dtype) {
        case F32: return store_of<float>(v, data, at, step, n, whole);
        case BF16: return store_of<bf16>(v, data, at, step, n, whole);
        case F16: return store_of<f16>(v, data, at, step, n, whole);
        default: return store_of<i32>(v, data, at, step, n, whole);
    }
}

// A number as one 32-bit word, or as the same 16 bits twice.
DEVICE u32 word_of(i32 dtype, float value) {
    switch (dtype) {
        case I32: return static_cast<u32>(f32_to_i32(value));
        case BF16: return to_bf16(value).bits * 0x10001u;
        case F16: return to_f16(value).bits * 0x10001u;
        default: return __float_as_uint(value);
    }
}

// ---- code grids ------------------------------------------------------------------------------------------------------------------------------

// The discriminants of `omnihal::op::QuantKind`.
enum QuantKind { KIND_F8E4M3, KIND_F4E2M1 };

// 2^e for the exponents of normal numbers.
DEVICE float exp2_of(i32 e) { return __uint_as_float(static_cast<u32>(e + 127) << 23); }

// Exponent of the scale of a group (deepseek-v4.md 2.2): the least that keeps its largest magnitude in the range of the codes.
DEVICE i32 scale_exponent(float amax, i32 kind) {
    float v = kind == KIND_F8E4M3 ? fmaxf(amax, 1e-4f) * (1.0f / 448.0f) : fmaxf(amax, 0x1.8p-124f) * (1.0f / 6.0f);
    u32 bits = __float_as_uint(v);
    return static_cast<i32>(bits >> 23 & 0xff) - 127 + ((bits & 0x7fffffu) != 0);
}

DEVICE u8 e8m0_of(i32 exponent) { return static_cast<u8>(exponent < -127 ? 0 : exponent > 127 ? 254 : exponent + 127); }

// To the nearest code, ties to even, saturating: adding and taking away 1.5 * 2^23 steps rounds to a multiple of the step, which follows from the exponent.
DEVICE float round_to_grid(float x, i32 kind) {
    bool wide = kind == KIND_F8E4M3;
    float most = wide ? 448.0f : 6.0f;
    i32 low = wide ? -6 : 0, high = wide ? 8 : 2, bits = wide ? 3 : 1, e = static_cast<i32>(__float_as_uint(x) >> 23 & 0xff) - 127;
    e = e < low ? low : e > high ? high : e;
    float magic = exp2_of(e - bits) * 12582912.0f, a = fminf(fabsf(x), most);
    return copysignf((a + magic) - magic, x);
}

// Codes of eight numbers, each rounded to nearest even, saturating.
DEVICE Vec8 codes_f8(const float (&v)[RUN]) {
    Vec8 out = {{0, 0}};
#pragma unroll
    for (int k = 0; k < RUN; k++) out.w[k / 4] |= static_cast<u32>(f32_to_e4m3(v[k])) << (8 * (k % 4));
    return out;
}

DEVICE u32 codes_f4(const float (&v)[RUN]) {
    u32 out = 0;
#pragma unroll
    for (int k = 0; k < RUN; k++) out |= f32_to_e2m1(v[k]) << (4 * k);
    return out;
}

// Largest magnitude of a group whose runs neighbouring lanes hold: 1, 2, .. 32 of them. All lanes of the warp must call.
DEVICE float group_max(const float (&v)[RUN], i32 runs) {
    float amax = 0.0f;
#pragma unroll
    for (int k = 0; k < RUN; k++) amax = fmaxf(amax, fabsf(v[k]));
    for (i32 step = 1; step < runs; step <<= 1) amax = fmaxf(amax, __shfl_xor_sync(FULL_WARP, amax, step));
    return amax;
}
