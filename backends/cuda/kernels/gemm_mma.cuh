// Tiles of gemm.* on tensor cores: bf16 operands, weights widened to bf16.
#pragma once
#include "gemm_store.cuh"

template <class T> DEVICE void mma_product(const Product& p) {
    DYN_SHARED(u8, shared);
    Span span = span_of(static_cast<const i32*>(p.counts), p.matrices, p.rows, blockIdx.x % p.row_tiles, T::ROWS);
    if (span.first >= span.end) return;
    i32 channel = blockIdx.x / p.row_tiles * T::CHANNELS;
    i32 from = blockIdx.z * p.split_inner, to = min(from + p.split_inner, p.inner);
    Matrix m = matrix_of<T::CODE>(p.w, span.matrix, p.outer, p.inner, p.w_row, p.w_batch);
    i32 pair = p.counts ? 0 : span.matrix;
    const u8* a = static_cast<const u8*>(p.a) + (pair * p.a_batch + span.first * p.a_row) * 2;
    float sum[T::M][T::N][4] = {};
    tile_sums<T>(sum, shared, a, p.a_row * 2, span.end - span.first, m, channel, from, to);
    i32 down = WARP / T::WARPS_ACROSS, across = WARP % T::WARPS_ACROSS, g = LANE / 4, t = LANE % 4;
#pragma unroll
    for (int i = 0; i < T::M; i++)
#pragma unroll
        for (int j = 0; j < T::N; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                i32 row = span.first + (down * T::M + i) * 16 + g + half * 8, c = channel + (across * T::N + j) * 8 + 2 * t;
                if (row >= span.end || c >= p.outer) continue;
                store_sums(p, pair, row, c, sum[i][j][half * 2], sum[i][j][half * 2 + 1]);
            }
}

template <int CODE> using SmallTile = Tile<CODE, 1, 8, 4, 2, 2, 4>;
template <int CODE> using LargeTile = Tile<CODE, 2, 4, 4, 4, 2, 3>;

// Adds the parts of k in their order.
DEVICE void add_parts(const Product& p) {
    i64 each = i64(p.matrices) * p.rows * p.outer;
    for (i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x; i < each; i += i64(gridDim.x) * blockDim.x) {
        float sum = 0.0f;
        for (i32 s = 0; s < p.splits; s++) sum += static_cast<const float*>(p.parts)[s * each + i];
        i64 row = i / p.outer;
        store_result(p, result_place(p, row / p.rows, row % p.rows, i % p.outer), sum);
    }
}
