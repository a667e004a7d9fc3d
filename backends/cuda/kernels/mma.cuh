// Tensor-core products behind small functions. The host versions compute from the fragments that PTX documents (PTX ISA, "Matrix Fragments for mma.m16n8k16" and
// "mma.m16n8k32"), so that a wrong fragment layout is a wrong result on the host too. They add up in f32, one product after the other.
#pragma once
#include "common.cuh"

// d[16,8] += a[16,16] b[16,8], bf16 inputs. Lane l has g = l/4 and t = l%4:
// a[0]: (g, 2t..), a[1]: (g+8, 2t..), a[2]: (g, 2t+8..), a[3]: (g+8, 2t+8..); b[0]: (2t.., g), b[1]: (2t+8.., g); d: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1).
DEVICE void mma_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    struct Fragment { u32 a[4], b[2]; } mine;
    for (int i = 0; i < 4; i++) mine.a[i] = a[i];
    for (int i = 0; i < 2; i++) mine.b[i] = b[i];
    const Fragment* all = static_cast<const Fragment*>(fiber::exchange(FULL_WARP, "mma_bf16", &mine, sizeof mine));
    u32 g = LANE / 4, t = LANE % 4;
    for (int e = 0; e < 4; e++) {
        u32 row = g + (e / 2) * 8, column = 2 * t + e % 2;
        for (u32 k = 0; k < 16; k++) {
            u32 wa = all[(row % 8) * 4 + k % 8 / 2].a[row / 8 + (k / 8) * 2], wb = all[column * 4 + k % 8 / 2].b[k / 8];
            d[e] += (k % 2 ? high_bf16(wa) : low_bf16(wa)) * (k % 2 ? high_bf16(wb) : low_bf16(wb));
        }
    }
#endif
}

#if !defined(__CUDACC__) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890)
#define HAS_MMA_E4M3 1
// d[16,8] += a[16,32] b[32,8], E4M3 inputs: as above with four codes a word: a[0]: (g, 4t..), a[1]: (g+8, 4t..), a[2]: (g, 4t+16..), a[3]: (g+8, 4t+16..); b[0]: (4t.., g), b[1]: (4t+16.., g).
DEVICE void mma_e4m3(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    struct Fragment { u32 a[4], b[2]; } mine;
    for (int i = 0; i < 4; i++) mine.a[i] = a[i];
    for (int i = 0; i < 2; i++) mine.b[i] = b[i];
    const Fragment* all = static_cast<const Fragment*>(fiber::exchange(FULL_WARP, "mma_e4m3", &mine, sizeof mine));
    u32 g = LANE / 4, t = LANE % 4;
    for (int e = 0; e < 4; e++) {
        u32 row = g + (e / 2) * 8, column = 2 * t + e % 2;
        for (u32 k = 0; k < 32; k++) {
            u32 wa = all[(row % 8) * 4 + k % 16 / 4].a[row / 8 + (k / 16) * 2], wb = all[column * 4 + k % 16 / 4].b[k / 16];
            d[e] += e4m3_to_f32(static_cast<u8>(wa >> (k % 4 * 8))) * e4m3_to_f32(static_cast<u8>(wb >> (k % 4 * 8)));
        }
    }
#endif
}
#endif

// Four 8x8 tiles of 16-bit elements from shared memory: lane l gives the address of row l%8 of tile l/8, and gets elements 2(l%4).. of row l/4 of each tile.
DEVICE void load_matrix(u32 (&r)[4], const void* row) {
#ifdef __CUDACC__
    u32 from = static_cast<u32>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from));
#else
    const void* mine = fiber::aligned(row, 16);
    const void* const* rows = static_cast<const void* const*>(fiber::exchange(FULL_WARP, "load_matrix", &mine, sizeof mine));
    for (int tile = 0; tile < 4; tile++) r[tile] = static_cast<const u32*>(rows[tile * 8 + LANE / 4])[LANE % 4];
#endif
}
