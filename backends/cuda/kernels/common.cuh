// What all kernels share: types, conversions, reductions, vector access. nvcc, NVRTC and a host C++ compiler read the same kernel files; no header of any
// toolkit is included, so that compiling at run time needs nothing but the compiler. On the host `fiber.h` supplies what CUDA C++ has built in.
#pragma once

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
// A kernel takes one structure by value, declared in Rust beside its launch (see params.h). `threads` is the largest block, `blocks` the least number a multiprocessor holds.
#define KERNEL(name, Params, threads, blocks) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Params p)
#define DYN_SHARED(T, name)                                          \
    extern __shared__ __align__(128) unsigned char dynamic_shared_[]; \
    T* name = reinterpret_cast<T*>(dynamic_shared_)
#else
#include "fiber.h"
#define DEVICE inline
#define KERNEL(name, Params, threads, blocks)                                                                          \
    static void name##_body(const Params& p);                                                                          \
    extern "C" unsigned name##_params() { return sizeof(Params); }                                                     \
    extern "C" const char* name##_host(const fiber::Launch* launch, const void* params) {                              \
        return fiber::run(*launch, threads, [](const void* q) { name##_body(*static_cast<const Params*>(q)); }, params); \
    }                                                                                                                  \
    static void name##_body(const Params& p)
#define DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(fiber::dynamic_shared())
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef int i32;
typedef long long i64;
typedef float f32;
typedef void* Ptr;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };
struct alignas(8) Vec8 { u32 w[2]; };
struct alignas(16) Vec16 { u32 w[4]; };

// The discriminants of `omnihal::DType`.
enum DType { F32, F16, BF16, F8E4M3, F8E5M2, E8M0, F4E2M1X2, I8, U8, I32, U32, I64, BOOL };

#include "params.h"

#define FULL_WARP 0xffffffffu
#define INFINITY_F __uint_as_float(0x7f800000u)
#define NAN_F __uint_as_float(0x7fffffffu)

// ---- numbers ---------------------------------------------------------------------------------------------------------------------------------

DEVICE float to_f32(float x) { return x; }
DEVICE float to_f32(bf16 x) { return __uint_as_float(static_cast<u32>(x.bits) << 16); }
DEVICE float to_f32(f16 x) {
#ifdef __CUDACC__
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#else
    // The exponent field is moved below that of f32 and scaled back up, which makes subnormals right; infinity and NaN keep their top exponent.
    u32 magnitude = (x.bits & 0x7fffu) << 13, sign = (x.bits & 0x8000u) << 16;
    if (magnitude >= 0x0f800000u) return __uint_as_float(sign | 0x7f800000u | (magnitude & 0x007fffffu));
    return __uint_as_float(sign | __float_as_uint(__uint_as_float(magnitude) * 0x1p112f));
#endif
}

// To nearest, ties to even. NaN stays NaN.
DEVICE bf16 to_bf16(float x) {
    bf16 y;
#ifdef __CUDACC__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    u32 bits = __float_as_uint(x);
    y.bits = (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fff : static_cast<u16>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
#endif
    return y;
}

DEVICE f16 to_f16(float x) {
    f16 y;
#ifdef __CUDACC__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    u32 bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    u16 sign = static_cast<u16>((bits >> 16) & 0x8000u);
    if (magnitude > 0x7f800000u) y.bits = 0x7fff;
    else if (magnitude >= 0x477ff000u) y.bits = sign | 0x7c00;  // 65520 and above round to infinity
    else if (magnitude < 0x38800000u) y.bits = sign | static_cast<u16>(__float2int_rn(__uint_as_float(magnitude) * 0x1p24f));
    else y.bits = sign | static_cast<u16>((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1)) >> 13);
#endif
    return y;
}

template <typename T> DEVICE T from_f32(float x);
template <> DEVICE float from_f32<float>(float x) { return x; }
template <> DEVICE bf16 from_f32<bf16>(float x) { return to_bf16(x); }
template <> DEVICE f16 from_f32<f16>(float x) { return to_f16(x); }

// The value that `x` takes when it is stored as `T`: a must-round point.
template <typename T> DEVICE float round_as(float x) { return to_f32(from_f32<T>(x)); }

// OCP E4M3: 1-4-3, bias 7, no infinity, NaN = 0x7f. The code is placed where f32 has its exponent, 120 powers of two too low.
DEVICE float e4m3_to_f32(u8 code) {
    u32 magnitude = code & 0x7fu, sign = (code & 0x80u) << 24;
    if (magnitude == 0x7f) return NAN_F;
    return __uint_as_float(sign | __float_as_uint(__uint_as_float(magnitude << 20) * 0x1p120f));
}

// To nearest, ties to even, saturating at 448; NaN becomes the NaN code.
DEVICE u8 f32_to_e4m3(float x) {
    u32 bits = __float_as_uint(x), sign = (bits >> 24) & 0x80u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<u8>(sign | 0x7fu);
    if (magnitude >= 0x43e00000u) return static_cast<u8>(sign | 0x7eu);  // 448
    if (magnitude < 0x3c800000u)                                         // 2^-6: below it codes are multiples of 2^-9
        return static_cast<u8>(sign | static_cast<u32>(__float2int_rn(__uint_as_float(magnitude) * 0x1p9f)));
    u32 code = (magnitude - 0x3c000000u + 0x7ffffu + ((magnitude >> 20) & 1)) >> 20;
    return static_cast<u8>(sign | (code > 0x7eu ? 0x7eu : code));
}

// OCP E5M2 is the upper byte of f16.
DEVICE float e5m2_to_f32(u8 code) { return to_f32(f16{static_cast<u16>(code << 8)}); }

// OCP E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
DEVICE float e2m1_to_f32(u32 code) {
    u32 magnitude = (code & 7u) << 22, sign = (code & 8u) << 28;
    return __uint_as_float(sign | __float_as_uint(__uint_as_float(magnitude) * 0x1p126f));
}

DEVICE u32 f32_to_e2m1(float x) {
    u32 sign = (__float_as_uint(x) >> 28) & 8u;
    float a = fabsf(x);
    u32 code = a < 2.0f ? __float2int_rn(a * 2.0f) : a < 4.0f ? __float2int_rn(a) + 2 : __float2int_rn(a * 0.5f) + 4;
    return sign | (a > 5.0f || code > 7u ? 7u : code);
}

// E8M0: 2^(byte - 127); 255 is NaN and 0 is 2^-127, a subnormal of f32.
DEVICE float e8m0_to_f32(u8 code) {
    if (code == 255) return NAN_F;
    return __uint_as_float(code ? static_cast<u32>(code) << 23 : 0x00400000u);
}

// ---- elements of a type known at run time ----------------------------------------------------------------------------------------------------

// Element `i` of a tensor as f32. Integers are converted; use `load_i32` where they must be exact.
DEVICE float load_as_f32(const void* data, i32 dtype, i64 i) {
    switch (dtype) {
        case F32: return static_cast<const float*>(data)[i];
        case BF16: return to_f32(static_cast<const bf16*>(data)[i]);
        case F16: return to_f32(static_cast<const f16*>(data)[i]);
        case F8E4M3: return e4m3_to_f32(static_cast<const u8*>(data)[i]);
        case F8E5M2: return e5m2_to_f32(static_cast<const u8*>(data)[i]);
        case E8M0: return e8m0_to_f32(static_cast<const u8*>(data)[i]);
        case F4E2M1X2: return e2m1_to_f32(static_cast<const u8*>(data)[i >> 1] >> ((i & 1) * 4));
        case I32: return static_cast<float>(static_cast<const i32*>(data)[i]);
        case U32: return static_cast<float>(static_cast<const u32*>(data)[i]);
        case I64: return static_cast<float>(static_cast<const i64*>(data)[i]);
        case I8: return static_cast<float>(static_cast<const i8*>(data)[i]);
        default: return static_cast<float>(static_cast<const u8*>(data)[i]);
    }
}

DEVICE void store_f32(void* data, i32 dtype, i64 i, float x) {
    switch (dtype) {
        case F32: static_cast<float*>(data)[i] = x; break;
        case BF16: static_cast<bf16*>(data)[i] = to_bf16(x); break;
        case F16: static_cast<f16*>(data)[i] = to_f16(x); break;
        case F8E4M3: static_cast<u8*>(data)[i] = f32_to_e4m3(x); break;
        case I32: static_cast<i32*>(data)[i] = static_cast<i32>(x); break;
        case U32: static_cast<u32*>(data)[i] = static_cast<u32>(x); break;
        case I8: static_cast<i8*>(data)[i] = static_cast<i8>(x); break;
        default: static_cast<u8*>(data)[i] = static_cast<u8>(x); break;
    }
}

// ---- warps and blocks ------------------------------------------------------------------------------------------------------------------------

#define LANE (static_cast<u32>(threadIdx.x) & 31u)
#define WARP (static_cast<u32>(threadIdx.x) >> 5)

// The order of both trees is fixed: the same inputs give the same bits.
DEVICE float warp_sum(float x) {
    for (int step = 16; step; step >>= 1) x += __shfl_xor_sync(FULL_WARP, x, step);
    return x;
}

DEVICE float warp_max(float x) {
    for (int step = 16; step; step >>= 1) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, step));
    return x;
}

// Sum over a block of a whole number of warps, given to every thread. `scratch` holds 32 floats in shared memory; it may be used again after the call.
DEVICE float block_sum(float x, float* scratch) {
    x = warp_sum(x);
    __syncthreads();
    if (LANE == 0) scratch[WARP] = x;
    __syncthreads();
    u32 warps = blockDim.x >> 5;
    x = LANE < warps ? scratch[LANE] : 0.0f;
    return warp_sum(x);
}

DEVICE float block_max(float x, float* scratch) {
    x = warp_max(x);
    __syncthreads();
    if (LANE == 0) scratch[WARP] = x;
    __syncthreads();
    u32 warps = blockDim.x >> 5;
    x = LANE < warps ? scratch[LANE] : -INFINITY_F;
    return warp_max(x);
}

// ---- memory ----------------------------------------------------------------------------------------------------------------------------------

// One 128-bit load that does not fill the first-level cache: for weights, which are read once. `from` must be aligned to 16 bytes.
DEVICE Vec16 load_once(const void* from) {
#ifdef __CUDACC__
    Vec16 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(from));
    return v;
#else
    return *static_cast<const Vec16*>(fiber::aligned(from, 16));
#endif
}

DEVICE Vec16 load16(const void* from) {
#ifdef __CUDACC__
    return *static_cast<const Vec16*>(from);
#else
    return *static_cast<const Vec16*>(fiber::aligned(from, 16));
#endif
}

DEVICE void store16(void* to, Vec16 v) {
#ifdef __CUDACC__
    *static_cast<Vec16*>(to) = v;
#else
    *static_cast<Vec16*>(const_cast<void*>(fiber::aligned(to, 16))) = v;
#endif
}

// The two bf16 of a word.
DEVICE float low_bf16(u32 word) { return __uint_as_float(word << 16); }
DEVICE float high_bf16(u32 word) { return __uint_as_float(word & 0xffff0000u); }
DEVICE u32 pack_bf16(float low, float high) { return static_cast<u32>(to_bf16(low).bits) | static_cast<u32>(to_bf16(high).bits) << 16; }

// Asynchronous copies of 16 bytes into shared memory (sm_80). An invalid source fills with zeros and is not read. Both ends aligned to 16 bytes.
DEVICE void cp_async16(void* shared, const void* global, bool valid) {
#ifdef __CUDACC__
    u32 to = static_cast<u32>(__cvta_generic_to_shared(shared));
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes));
#else
    fiber::copy_later(shared, valid ? fiber::aligned(global, 16) : nullptr, 16);
#endif
}

DEVICE void cp_async_commit() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;");
#else
    fiber::commit_copies();
#endif
}

// Waits until at most `pending` of this thread's groups are under way. A barrier must follow before other threads read.
template <int pending> DEVICE void cp_async_wait() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(pending));
#else
    fiber::wait_copies(pending);
#endif
}
