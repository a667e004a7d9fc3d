// quant.*: rounding to a code grid, making codes, expanding codes.
#include "common.cuh"
#include "params_quant.h"
#include "runs.cuh"
#include "strided.cuh"

// ---- rounding and coding: groups along the rows of [rows, heads, width] ----------------------------------------------------------------------

// Eight neighbours a thread; the 1, 2, .. 32 threads of a group are lanes of one warp.
template <bool CODES> DEVICE void round_runs(const RoundGroups& p) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    bool there = i < p.count;
    // All lanes go on, for the exchange.
    u64 vector = there ? i : 0;
    i64 run = static_cast<i64>(split(vector, static_cast<u64>(p.width / RUN))), head = static_cast<i64>(split(vector, static_cast<u64>(p.heads)));
    i64 row = static_cast<i64>(vector);
    float v[RUN];
    load_run(v, p.x.data, p.x.dtype, row * p.x.outer + head * p.x.inner + run * RUN, 1, RUN, p.whole);
    i32 exponent = scale_exponent(group_max(v, p.group / RUN), p.kind);
    if (!there) return;
    float scale = exp2_of(exponent), inverse = exp2_of(-exponent);
#pragma unroll
    for (int k = 0; k < RUN; k++) v[k] *= inverse;
    if (!CODES) {
#pragma unroll
        for (int k = 0; k < RUN; k++) v[k] = round_to_grid(v[k], p.kind) * scale;
        return store_run(v, p.y.data, p.y.dtype, row * p.y.outer + head * p.y.inner + run * RUN, 1, RUN, p.whole);
    }
    u8* to = static_cast<u8*>(p.y.data);
    if (p.kind == KIND_F8E4M3) *reinterpret_cast<Vec8*>(to + row * p.y.outer + run * RUN) = codes_f8(v);
    else *reinterpret_cast<u32*>(to + row * p.y.outer / 2 + run * (RUN / 2)) = codes_f4(v);
    if (run % (p.group / RUN) == 0) static_cast<u8*>(p.scale)[row * p.scale_row + run / (p.group / RUN)] = e8m0_of(exponent);
}
KERNEL(qdq_runs, RoundGroups, 256, 4) { round_runs<false>(p); }
KERNEL(quantize_runs, RoundGroups, 256, 4) { round_runs<true>(p); }

// Groups of any size: a warp each.
template <bool CODES> DEVICE void round_any(const RoundGroups& p) {
    u64 vector = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) >> 5;
    if (vector >= p.count) return;
    i64 group = static_cast<i64>(split(vector, static_cast<u64>(p.width / p.group))), head = static_cast<i64>(split(vector, static_cast<u64>(p.heads)));
    i64 row = static_cast<i64>(vector), at = row * p.x.outer + head * p.x.inner + group * p.group;
    float amax = 0.0f;
    for (i32 k = LANE; k < p.group; k += 32) amax = fmaxf(amax, fabsf(load_as_f32(p.x.data, p.x.dtype, at + k)));
    i32 exponent = scale_exponent(warp_max(amax), p.kind);
    float scale = exp2_of(exponent), inverse = exp2_of(-exponent);
    i64 to = row * p.y.outer + head * p.y.inner + group * p.group;
    u8* codes = static_cast<u8*>(p.y.data);
    // Two neighbours share a byte of packed codes.
    i32 each = CODES && p.kind == KIND_F4E2M1 ? 2 : 1;
    for (i32 k = LANE * each; k < p.group; k += 32 * each) {
        float x = load_as_f32(p.x.data, p.x.dtype, at + k) * inverse;
        if (!CODES) {
            store_f32(p.y.data, p.y.dtype, to + k, round_to_grid(x, p.kind) * scale);
        } else if (each == 1) {
            codes[to + k] = f32_to_e4m3(x);
        } else {
            float next = load_as_f32(p.x.data, p.x.dtype, at + k + 1) * inverse;
            codes[(to + k) / 2] = static_cast<u8>(f32_to_e2m1(x) | f32_to_e2m1(next) << 4);
        }
    }
    if (CODES && LANE == 0) static_cast<u8*>(p.scale)[row * p.scale_row + group] = e8m0_of(exponent);
}
KERNEL(qdq_any, RoundGroups, 256, 4) { round_any<false>(p); }
KERNEL(quantize_any, RoundGroups, 256, 4) { round_any<true>(p); }

// ---- expanding -------------------------------------------------------------------------------------------------------------------------------

DEVICE float scale_at(const Expand& p, i64 row, i64 column) {
    i64 at = row / p.w.block_rows * p.scale_row + column / p.w.block_cols;
    return p.w.scale_dtype == E8M0 ? e8m0_to_f32(static_cast<const u8*>(p.w.scale)[at]) : static_cast<const float*>(p.w.scale)[at];
}

KERNEL(dequant_one, Expand, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    i64 column = static_cast<i64>(split(i, p.width)), row = static_cast<i64>(i);
    store_f32(p.y.data, p.y.dtype, row * p.y.outer + column, load_as_f32(p.w.data, p.w.dtype, row * p.w_row + column) * scale_at(p, row, column));
}

// Eight neighbours a thread, which share a scale.
KERNEL(dequant_runs, Expand, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    i64 column = static_cast<i64>(split(i, p.width / RUN)) * RUN, row = static_cast<i64>(i), at = row * p.w_row + column;
    float scale = scale_at(p, row, column), v[RUN];
    if (p.w.dtype == F8E4M3) {
        Vec8 codes = *reinterpret_cast<const Vec8*>(static_cast<const u8*>(p.w.data) + at);
#pragma unroll
        for (int k = 0; k < RUN; k++) v[k] = e4m3_to_f32(static_cast<u8>(codes.w[k / 4] >> (8 * (k % 4)))) * scale;
    } else {
        u32 codes = *reinterpret_cast<const u32*>(static_cast<const u8*>(p.w.data) + at / 2);
#pragma unroll
        for (int k = 0; k < RUN; k++) v[k] = e2m1_to_f32(codes >> (4 * k)) * scale;
    }
    store_run(v, p.y.data, p.y.dtype, row * p.y.outer + column, 1, RUN, true);
}
