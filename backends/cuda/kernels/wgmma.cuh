// Matrix products of a warp group (sm_90a): one operand in registers or behind a descriptor of shared memory, the other behind a descriptor. The host versions decode the descriptors, and do
// the products only when they are waited for, so that memory that is filled too early gives a wrong result.
#pragma once
#include "mma.cuh"

#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HAS_WGMMA 1

// Address in the shared window; on the host, from the beginning of the dynamic part.
DEVICE u32 shared_address(const void* at) {
#ifdef __CUDACC__
    return static_cast<u32>(__cvta_generic_to_shared(at));
#else
    return static_cast<u32>(static_cast<const u8*>(at) - static_cast<const u8*>(fiber::dynamic_shared()));
#endif
}

// Rows of 128 bytes whose 16-byte units are permuted: unit u of row r lies at u ^ r % 8. The tile begins at a multiple of 1024 bytes.
DEVICE i32 swizzled(i32 row, i32 unit) { return row * 128 + (unit ^ (row & 7)) * 16; }

// Descriptor of such rows (PTX ISA, "Matrix Descriptor Format"): address and strides in units of 16 bytes, 1024 bytes between eights of rows, swizzling of 128 bytes.
DEVICE u64 swizzled_rows(u32 address) { return static_cast<u64>((address & 0x3ffffu) >> 4) | u64(1) << 16 | u64(1024 >> 4) << 32 | u64(1) << 62; }

#ifndef __CUDACC__
// Of bf16 with `a` in registers, or of E4M3 with it behind the descriptor `left`; the sum begins at zero unless it is kept.
struct LateProduct { float* d; u32 a[4]; u64 left, rows; bool codes, keep; };
inline std::vector<LateProduct>& late_products() {
    static thread_local std::vector<LateProduct> all[fiber::MAX_THREADS];
    return all[fiber::self().current];
}

// The 16-byte unit that the hardware reads: strides between eights of rows, then the swizzle on the address.
inline const u8* described(u64 rows, u32 row, u32 unit) {
    if (rows >> 62 != 1) fiber::fail("only the 128-byte swizzle is simulated");
    u32 at = static_cast<u32>(rows & 0x3fff) * 16 + row / 8 * (static_cast<u32>(rows >> 32 & 0x3fff) * 16) + row % 8 * 128 + unit * 16;
    return static_cast<const u8*>(fiber::dynamic_shared()) + (at ^ (at >> 3 & 0x70));
}

inline void late_codes(const LateProduct& late) {
    for (u32 e = 0; e < 64; e++) {
        u32 row = WARP % 4 * 16 + LANE / 4 + e % 4 / 2 * 8, column = e / 4 * 8 + 2 * (LANE % 4) + e % 2;
        float sum = late.keep ? late.d[e] : 0.0f;
        for (u32 k = 0; k < 32; k++) sum += e4m3_to_f32(described(late.left, row, k / 16)[k % 16]) * e4m3_to_f32(described(late.rows, column, k / 16)[k % 16]);
        late.d[e] = sum;
    }
}

inline void late_product(const LateProduct& late) {
    if (late.codes) {
        late_codes(late);
        return;
    }
    struct Fragment { u32 a[4]; } mine;
    memcpy(mine.a, late.a, sizeof mine.a);
    const Fragment* all = static_cast<const Fragment*>(fiber::exchange(FULL_WARP, "wgmma", &mine, sizeof mine));
    float left[2][16];
    for (u32 half = 0; half < 2; half++)
        for (u32 k = 0; k < 16; k++) {
            u32 word = all[LANE / 4 * 4 + k % 8 / 2].a[half + k / 8 * 2];
            left[half][k] = k % 2 ? high_bf16(word) : low_bf16(word);
        }
    for (u32 e = 0; e < 128; e++) {
        u32 column = e / 4 * 8 + 2 * (LANE % 4) + e % 2;
        for (u32 k = 0; k < 16; k++) late.d[e] += left[e % 4 / 2][k] * to_f32(reinterpret_cast<const bf16*>(described(late.rows, column, k / 8))[k % 8]);
    }
}
#endif

// Keeps the compiler from moving work on these registers past this place: the products read and write them behind its back.
template <int N> DEVICE void pin(float (&d)[N]) {
#ifdef __CUDACC__
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i])::"memory");
#endif
}
template <int N> DEVICE void pin(u32 (&a)[N][4]) {
#ifdef __CUDACC__
#pragma unroll
    for (int i = 0; i < N * 4; i++) asm volatile("" : "+r"(a[i / 4][i % 4])::"memory");
#endif
}

// Registers that were written are ready for the products to come.
template <int N> DEVICE void wgmma_fence(float (&d)[128], u32 (&a)[N][4]) {
    pin(d), pin(a);
#ifdef __CUDACC__
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

template <int N> DEVICE void wgmma_fence(float (&d)[N]) {
    pin(d);
#ifdef __CUDACC__
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

DEVICE void wgmma_commit() {
#ifdef __CUDACC__
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// Waits for all products of the warp group.
template <int N> DEVICE void wgmma_wait(float (&d)[N]) {
#ifdef __CUDACC__
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    pin(d);
#else
    for (const LateProduct& late : late_products()) late_product(late);
    late_products().clear();
#endif
}

// Copies of this thread are visible to the products of all, once a barrier has been passed.
DEVICE void fence_async_proxy() {
#ifdef __CUDACC__
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// d[64,256] += a[64,16] b[256,16]^T. Warp w of the group holds rows 16w.. of a and d, as the fragments of mma_bf16: d[4j + e] are (g + e/2*8, 8j + 2t + e%2).
DEVICE void wgmma_bf16(float (&d)[128], const u32 (&a)[4], u64 rows) {
#ifdef __CUDACC__
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        " %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
        " %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "{%128, %129, %130, %131}, %132, 1, 1, 1, 0;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
          "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
          "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
          "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
          "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]),
          "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]),
          "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111]),
          "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]),
          "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(rows));
#else
    late_products().push_back({d, {a[0], a[1], a[2], a[3]}, 0, rows, false, true});
#endif
}

// d[64,128] = (keep ? d : 0) + a[64,32] b[128,32]^T, E4M3 codes behind descriptors on both sides. Warp w of the group holds rows 16w.. of d: d[4j + e] are (g + e/2*8, 8j + 2t + e%2).
DEVICE void wgmma_e4m3(float (&d)[64], u64 left, u64 rows, bool keep) {
#ifdef __CUDACC__
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %66, 0; "
        "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, p, 1, 1; }"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(left), "l"(rows), "r"(static_cast<u32>(keep)));
#else
    late_products().push_back({d, {}, left, rows, true, keep});
#endif
}
#endif
