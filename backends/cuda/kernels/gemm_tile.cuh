// What the tiles of a matrix product share: which rows and which matrix a block takes, and how results are stored.
#pragma once
#include "mma.cuh"
#include "weights.cuh"

// Rows `first..end` of the operand, and the matrix that they are multiplied by. A block without work has first == end.
struct Span { i32 first, end, matrix; };

// Tile `tile` of `height` rows when the rows are sorted by group: every group begins a new tile.
DEVICE Span span_of_group(const i32* counts, i32 groups, i32 rows, i32 tile, i32 height) {
    i32 row = 0;
    for (i32 first = 0; first < groups; first += 32) {
        i32 group = first + static_cast<i32>(LANE);
        i32 count = group < groups ? max(counts[group], 0) : 0, tiles = (count + height - 1) / height;
        i32 rows_to = count, tiles_to = tiles;
        for (u32 step = 1; step < 32; step <<= 1) {
            i32 r = __shfl_up_sync(FULL_WARP, rows_to, step), t = __shfl_up_sync(FULL_WARP, tiles_to, step);
            if (LANE >= step) rows_to += r, tiles_to += t;
        }
        u32 found = __ballot_sync(FULL_WARP, tile < tiles_to);
        if (found) {
            u32 lane = __ffs(found) - 1;
            i32 from = row + __shfl_sync(FULL_WARP, rows_to - count, lane) + (tile - __shfl_sync(FULL_WARP, tiles_to - tiles, lane)) * height;
            i32 to = row + __shfl_sync(FULL_WARP, rows_to, lane);
            return Span{min(from, rows), min(min(to, from + height), rows), first + static_cast<i32>(lane)};
        }
        row += __shfl_sync(FULL_WARP, rows_to, 31);
        tile -= __shfl_sync(FULL_WARP, tiles_to, 31);
    }
    return Span{0, 0, 0};
}

DEVICE Span span_of(const i32* counts, i32 groups, i32 rows, i32 tile, i32 height) {
    if (counts) return span_of_group(counts, groups, rows, tile, height);
    return Span{min(tile * height, rows), min((tile + 1) * height, rows), static_cast<i32>(blockIdx.y)};
}

// ---- tensor-core tiles -----------------------------------------------------------------------------------------------------------------------
//
// Shared memory holds panels of 32 neighbouring k: 64 bytes a row of bf16, 32 of E4M3, 16 of E2M1. Lane l of a warp (g = l/4, t = l%4) reads elements 8t..8t+7 of row g of a panel
// and gives them to two products of 16 k: the k that a fragment holds are permuted, alike on both sides, and every read is one vector without bank conflicts.

constexpr i32 PANEL = 32;

// The operand's fragments of two steps: `low` and `high` are eight elements of rows g and g + 8.
DEVICE void operand_fragments(u32 (&first)[4], u32 (&second)[4], const Vec16& low, const Vec16& high) {
    first[0] = low.w[0], first[1] = high.w[0], first[2] = low.w[1], first[3] = high.w[1];
    second[0] = low.w[2], second[1] = high.w[2], second[2] = low.w[3], second[3] = high.w[3];
}

template <int CODE> struct PanelRow { static constexpr i32 BYTES = PANEL * Code<CODE>::BITS / 8, UNITS = BYTES / 16; };

// Eight codes of a panel row, `at` the lane's place.
template <int CODE> DEVICE void load_eight(u32 (&codes)[4], const u8* at);
template <> DEVICE void load_eight<BF16>(u32 (&codes)[4], const u8* at) {
    Vec16 v = load16(at);
    for (int i = 0; i < 4; i++) codes[i] = v.w[i];
}
template <> DEVICE void load_eight<F8E4M3>(u32 (&codes)[4], const u8* at) {
    Vec8 v = *reinterpret_cast<const Vec8*>(at);
    codes[0] = v.w[0], codes[1] = v.w[1];
}
template <> DEVICE void load_eight<F4E2M1X2>(u32 (&codes)[4], const u8* at) { codes[0] = *reinterpret_cast<const u32*>(at); }

// Copies `panels` panels of `height` rows from k = `k0` on into shared memory. Rows from `rows` on and columns from `cols` on become zero; `cols` is a whole number of vectors. A tile
// spans less than 4 GiB, so that offsets in it take one register.
template <int CODE> DEVICE void copy_panels(u8* shared, const u8* from, u32 row_bytes, i32 height, i32 panels, i32 rows, i32 cols, i32 k0, i32 threads) {
    constexpr i32 UNITS = PanelRow<CODE>::UNITS, CODES = 128 / Code<CODE>::BITS;
    for (i32 i = threadIdx.x; i < panels * height * UNITS; i += threads) {
        i32 unit = i % UNITS, row = i / UNITS % height, k = k0 + i / (UNITS * height) * PANEL + unit * CODES;
        bool valid = row < rows && k < cols;
        cp_async16(shared + i * 16, from + (valid ? row * row_bytes + static_cast<u32>(k) * Code<CODE>::BITS / 8 : 0), valid);
    }
}

// A block's tile: WARPS_DOWN x WARPS_ACROSS warps, each with M x N products of 16 rows x 8 channels; DEPTH panels a stage.
template <int CODE_, int WARPS_DOWN_, int WARPS_ACROSS_, int M_, int N_, int DEPTH_, int STAGES_> struct Tile {
    static constexpr int CODE = CODE_, WARPS_DOWN = WARPS_DOWN_, WARPS_ACROSS = WARPS_ACROSS_, M = M_, N = N_, DEPTH = DEPTH_, STAGES = STAGES_;
    static constexpr i32 ROWS = WARPS_DOWN * M * 16, CHANNELS = WARPS_ACROSS * N * 8, THREADS = WARPS_DOWN * WARPS_ACROSS * 32, INNER = DEPTH * PANEL;
    static constexpr i32 LEFT_BYTES = ROWS * PanelRow<BF16>::BYTES, RIGHT_BYTES = CHANNELS * PanelRow<CODE>::BYTES;
    static constexpr i32 STAGE_BYTES = DEPTH * (LEFT_BYTES + RIGHT_BYTES), SHARED_BYTES = STAGES * STAGE_BYTES;
    // Codes with a scale for 32 need one for every panel, others one for a stage.
    static constexpr int SCALES = CODE == BF16 ? 0 : CODE == F4E2M1X2 ? DEPTH : 1;
};

// The scale codes of a stage that this lane's channels need.
template <class T> struct StageScales {
    u8 code[T::N][T::SCALES ? T::SCALES : 1];
    DEVICE void load(const Matrix& m, i32 channel, i32 k0) {
        if constexpr (T::SCALES > 0) {
#pragma unroll
            for (int n = 0; n < T::N; n++)
#pragma unroll
                for (int s = 0; s < T::SCALES; s++) {
                    i32 row = channel + n * 8, k = k0 + s * PANEL;
                    code[n][s] = row < m.rows && k < m.cols ? m.scale[scale_place(m, row, k)] : 127;
                }
        }
    }
};

// One stage's products. `left` and `right` are the warp's first rows in the first panels.
template <class T> DEVICE void stage_products(float (&sum)[T::M][T::N][4], const u8* left, const u8* right, const StageScales<T>& scales) {
    u32 g = LANE / 4, t = LANE % 4;
#pragma unroll
    for (int panel = 0; panel < T::DEPTH; panel++) {
        const u8* a = left + panel * T::LEFT_BYTES + g * PanelRow<BF16>::BYTES + t * 16;
        const u8* b = right + panel * T::RIGHT_BYTES + g * PanelRow<T::CODE>::BYTES + t * Code<T::CODE>::BITS;
        u32 pairs[T::N][4];
#pragma unroll
        for (int n = 0; n < T::N; n++) {
            u32 codes[4];
            load_eight<T::CODE>(codes, b + n * 8 * PanelRow<T::CODE>::BYTES);
            Factor factor{0, 0};
            if (T::SCALES) factor = factor_of<T::CODE>(scales.code[n][T::SCALES > 1 ? panel : 0]);
            Widen<T::CODE>::eight(pairs[n], codes, factor);
        }
#pragma unroll
        for (int m = 0; m < T::M; m++) {
            u32 first[4], second[4];
            operand_fragments(first, second, load16(a + m * 16 * PanelRow<BF16>::BYTES), load16(a + (m * 16 + 8) * PanelRow<BF16>::BYTES));
#pragma unroll
            for (int n = 0; n < T::N; n++) {
                u32 low[2] = {pairs[n][0], pairs[n][1]}, high[2] = {pairs[n][2], pairs[n][3]};
                mma_bf16(sum[m][n], first, low);
                mma_bf16(sum[m][n], second, high);
            }
        }
    }
}

// Sums of products of the block's rows `a` (`rows` of them) with channels `channel..` of a matrix over k in `from..to`. `from` is a multiple of T::INNER.
// d[m][n][e] belongs to row (warp_down * M + m) * 16 + g + e/2*8 and channel (warp_across * N + n) * 8 + 2t + e%2 of the tile.
template <class T> DEVICE void tile_sums(float (&sum)[T::M][T::N][4], u8* shared, const u8* a, i64 a_row_bytes, i32 rows, const Matrix& m, i32 channel, i32 from, i32 to) {
    i32 down = WARP / T::WARPS_ACROSS, across = WARP % T::WARPS_ACROSS, steps = (to - from + T::INNER - 1) / T::INNER;
    const u8* w = m.data + channel * m.row_bytes;
    auto copy = [&](i32 step) {
        if (step < steps) {
            u8* stage = shared + step % T::STAGES * T::STAGE_BYTES;
            copy_panels<BF16>(stage, a, a_row_bytes, T::ROWS, T::DEPTH, rows, to, from + step * T::INNER, T::THREADS);
            copy_panels<T::CODE>(stage + T::DEPTH * T::LEFT_BYTES, w, m.row_bytes, T::CHANNELS, T::DEPTH, m.rows - channel, to, from + step * T::INNER, T::THREADS);
        }
        cp_async_commit();
    };
    StageScales<T> scales, next;
    i32 mine = channel + across * T::N * 8 + LANE / 4;
    scales.load(m, mine, from);
    for (i32 step = 0; step < T::STAGES - 1; step++) copy(step);
    for (i32 step = 0; step < steps; step++) {
        cp_async_wait<T::STAGES - 2>();
        // Everybody's copies of this stage have come, and everybody is done with the stage that is filled next.
        __syncthreads();
        copy(step + T::STAGES - 1);
        if (step + 1 < steps) next.load(m, mine, from + (step + 1) * T::INNER);
        const u8* stage = shared + step % T::STAGES * T::STAGE_BYTES;
        stage_products<T>(sum, stage + down * T::M * 16 * PanelRow<BF16>::BYTES,
                          stage + T::DEPTH * T::LEFT_BYTES + across * T::N * 8 * PanelRow<T::CODE>::BYTES, scales);
        scales = next;
    }
}
