// gemm.*
#include "gemm_codes.cuh"
#include "gemm_gemv.cuh"
#include "gemm_mma.cuh"
#include "gemm_wide.cuh"

KERNEL(simt_f32, Product, 256, 2) { simt_product<F32>(p); }
KERNEL(simt_bf16, Product, 256, 2) { simt_product<BF16>(p); }
KERNEL(simt_f8, Product, 256, 2) { simt_product<F8E4M3>(p); }
KERNEL(simt_f4, Product, 256, 2) { simt_product<F4E2M1X2>(p); }

// Up to 8 and up to 16 rows.
KERNEL(gemv8_bf16, Product, 256, 2) { gemv_product<BF16, 1>(p); }
KERNEL(gemv16_bf16, Product, 256, 1) { gemv_product<BF16, 2>(p); }
KERNEL(gemv8_f8, Product, 256, 2) { gemv_product<F8E4M3, 1>(p); }
KERNEL(gemv16_f8, Product, 256, 1) { gemv_product<F8E4M3, 2>(p); }
KERNEL(gemv8_f4, Product, 256, 2) { gemv_product<F4E2M1X2, 1>(p); }
KERNEL(gemv16_f4, Product, 256, 1) { gemv_product<F4E2M1X2, 2>(p); }

// Tiles of 64 and of 128 rows, 128 channels.
KERNEL(small_bf16, Product, 256, 2) { mma_product<SmallTile<BF16>>(p); }
KERNEL(large_bf16, Product, 256, 1) { mma_product<LargeTile<BF16>>(p); }
KERNEL(small_f8, Product, 256, 2) { mma_product<SmallTile<F8E4M3>>(p); }
KERNEL(large_f8, Product, 256, 1) { mma_product<LargeTile<F8E4M3>>(p); }
KERNEL(small_f4, Product, 256, 2) { mma_product<SmallTile<F4E2M1X2>>(p); }
KERNEL(large_f4, Product, 256, 1) { mma_product<LargeTile<F4E2M1X2>>(p); }

// Tiles of 256 rows, 128 channels, for compute capability 9.0.
KERNEL(wide_bf16, Product, 256, 1) { wide_product<BF16>(p); }
KERNEL(wide_f8, Product, 256, 1) { wide_product<F8E4M3>(p); }
KERNEL(wide_f4, Product, 256, 1) { wide_product<F4E2M1X2>(p); }
KERNEL(wide_codes, Product, 256, 1) { codes_product(p); }

KERNEL(add_parts_of_k, Product, 256, 4) { add_parts(p); }

// Activations rounded to the E4M3 grid in groups of 128 (deepseek-v4.md 2.2), one warp a group. The result is contiguous, of the type of the operand, in which it is exact.
KERNEL(round_operand, Rounding, 256, 4) {
    i32 groups = p.inner / 128;
    i64 group = i64(blockIdx.x) * 8 + WARP;
    if (group >= i64(p.rows) * groups) return;
    i64 row = group / groups, k = group % groups * 128, from = row * p.a_row + k, to = row * p.inner + k;
    float x[4], largest = 0.0f;
    for (i32 i = 0; i < 4; i++) {
        x[i] = load_as_f32(p.a, p.dtype, from + 32 * i + LANE);
        largest = fmaxf(largest, fabsf(x[i]));
    }
    i32 exponent = e4m3_exponent(warp_max(largest));
    for (i32 i = 0; i < 4; i++) {
        float code = e4m3_to_f32(f32_to_e4m3(x[i] * power_of_two(-exponent)));
        store_f32(p.to, p.dtype, to + 32 * i + LANE, code * power_of_two(exponent));
    }
}

// The same as codes, four neighbours a lane, and their scales as `[inner / 128, rows]`. Rows of the operand are bf16 and begin at multiples of 8 bytes.
KERNEL(round_codes, Rounding, 256, 4) {
    i32 groups = p.inner / 128;
    i64 group = i64(blockIdx.x) * 8 + WARP;
    if (group >= i64(p.rows) * groups) return;
    i64 row = group / groups, k = group % groups * 128 + LANE * 4;
    Vec8 v = *reinterpret_cast<const Vec8*>(static_cast<const bf16*>(p.a) + row * p.a_row + k);
    float x[4] = {low_bf16(v.w[0]), high_bf16(v.w[0]), low_bf16(v.w[1]), high_bf16(v.w[1])};
    i32 exponent = e4m3_exponent(warp_max(fmaxf(fmaxf(fabsf(x[0]), fabsf(x[1])), fmaxf(fabsf(x[2]), fabsf(x[3])))));
    u32 codes = 0;
    for (i32 i = 0; i < 4; i++) codes |= static_cast<u32>(f32_to_e4m3(x[i] * power_of_two(-exponent))) << (8 * i);
    *reinterpret_cast<u32*>(static_cast<u8*>(p.to) + row * p.inner + k) = codes;
    if (LANE == 0) static_cast<float*>(p.scales)[group % groups * p.rows + row] = power_of_two(exponent);
}
