// Products of many rows on Hopper's warp-group unit: 128 channels x 256 rows a block. The weight is the operand in registers, widened there; the rows lie in shared memory. So the result is
// made transposed, and turned on its way out.
#pragma once
#include "gemm_store.cuh"
#include "wgmma.cuh"

#ifdef HAS_WGMMA
template <int CODE> struct Wide {
    static constexpr i32 ROWS = 256, CHANNELS = 128, THREADS = 256, INNER = 64, STAGES = 4;
    // Rows of codes are padded so that the reads of a warp meet no bank twice; bf16 is swizzled instead.
    static constexpr i32 CODE_ROW = CODE == BF16 ? 128 : CODE == F8E4M3 ? 80 : 48;
    static constexpr i32 ROW_BYTES = ROWS * 128, STAGE_BYTES = (ROW_BYTES + CHANNELS * CODE_ROW + 1023) / 1024 * 1024;
    // Where the result is turned: floats of a row of channels, padded against bank conflicts.
    static constexpr i32 TURNED = CHANNELS + 4;
};

// Two neighbouring codes of each of four places: rows g and g + 8, eights of k 2 * step and 2 * step + 1, in the order of a fragment of mma_bf16.
template <int CODE> struct WideFragment;

template <> struct WideFragment<BF16> {
    DEVICE static void load(u32 (&a)[4], const u8* codes, i32 row, i32 step, Factor, Factor) {
        // Tiles of 8 x 8: rows 0.. and 8.. of the first eight of k, then of the second.
        load_matrix(a, codes + swizzled(row + static_cast<i32>(LANE % 16), 2 * step + static_cast<i32>(LANE / 16)));
    }
};

template <> struct WideFragment<F8E4M3> {
    DEVICE static void load(u32 (&a)[4], const u8* codes, i32 row, i32 step, Factor low, Factor high) {
        const u8* at = codes + (row + static_cast<i32>(LANE / 4)) * Wide<F8E4M3>::CODE_ROW + step * 16 + LANE % 4 * 2;
        for (int half = 0; half < 2; half++) {
            const u16* from = reinterpret_cast<const u16*>(at + half * 8 * Wide<F8E4M3>::CODE_ROW);
            u32 word = from[0] | static_cast<u32>(from[4]) << 16;
            a[half] = Widen<F8E4M3>::two(word, 0, half ? high : low);
            a[half + 2] = Widen<F8E4M3>::two(word, 1, half ? high : low);
        }
    }
};

template <> struct WideFragment<F4E2M1X2> {
    DEVICE static void load(u32 (&a)[4], const u8* codes, i32 row, i32 step, Factor low, Factor high) {
        const u8* at = codes + (row + static_cast<i32>(LANE / 4)) * Wide<F4E2M1X2>::CODE_ROW + step * 8 + LANE % 4;
        for (int half = 0; half < 2; half++) {
            const u8* from = at + half * 8 * Wide<F4E2M1X2>::CODE_ROW;
            u32 word = from[0] | static_cast<u32>(from[4]) << 8;
            a[half] = Widen<F4E2M1X2>::two(word, 0, half ? high : low);
            a[half + 2] = Widen<F4E2M1X2>::two(word, 1, half ? high : low);
        }
    }
};

template <int CODE> struct WideTile {
    typedef Wide<CODE> W;
    const Matrix& m;
    const u8* a;
    const u8* w;
    u8* shared;
    u32 a_row_bytes;
    // The block sums over k in `from..to`, filled up with zeros to a whole number of steps.
    i32 rows, channel, from, to, steps;

    DEVICE void copy(i32 step) const {
        i32 k0 = from + step * W::INNER;
        if (step < steps) {
            u8* stage = shared + step % W::STAGES * W::STAGE_BYTES;
            for (i32 i = threadIdx.x; i < W::ROWS * 8; i += W::THREADS) {
                i32 row = i / 8, k = k0 + i % 8 * 8;
                bool valid = row < rows && k < to;
                cp_async16(stage + swizzled(row, i % 8), a + (valid ? row * a_row_bytes + k * 2 : 0), valid);
            }
            constexpr i32 UNITS = W::INNER * Code<CODE>::BITS / 128, CODES = 128 / Code<CODE>::BITS;
            for (i32 i = threadIdx.x; i < W::CHANNELS * UNITS; i += W::THREADS) {
                i32 row = i / UNITS, unit = i % UNITS, k = k0 + unit * CODES;
                bool valid = channel + row < m.rows && k < to;
                u8* to = stage + W::ROW_BYTES + (CODE == BF16 ? swizzled(row, unit) : row * W::CODE_ROW + unit * 16);
                cp_async16(to, w + (valid ? row * static_cast<u32>(m.row_bytes) + static_cast<u32>(k) * Code<CODE>::BITS / 8 : 0), valid);
            }
        }
        cp_async_commit();
    }

    // The scale code of a row of this lane.
    DEVICE u32 scale(i32 row, i32 k) const {
        return channel + row < m.rows && k < to ? m.scale[scale_place(m, channel + row, k)] : 127;
    }

    DEVICE void fragments(u32 (&into)[4][4], i32 step, const u32 (&scales)[2][2]) const {
        const u8* codes = shared + step % W::STAGES * W::STAGE_BYTES + W::ROW_BYTES;
        for (int i = 0; i < 4; i++) {
            Factor low{0, 0}, high{0, 0};
            if constexpr (CODE != BF16) low = factor_of<CODE>(scales[0][i / 2]), high = factor_of<CODE>(scales[1][i / 2]);
            WideFragment<CODE>::load(into[i], codes, WARP * 16, i, low, high);
        }
    }

    DEVICE void scales_of(u32 (&into)[2][2], i32 step) const {
        if constexpr (CODE != BF16)
            for (int half = 0; half < 2; half++)
                for (int i = 0; i < 2; i++) into[half][i] = scale(WARP * 16 + LANE / 4 + half * 8, from + step * W::INNER + i * 32);
    }
};

template <int CODE> DEVICE void wide_product(const Product& p) {
    typedef Wide<CODE> W;
    DYN_SHARED(u8, unaligned);
    u8* shared = unaligned + (-shared_address(unaligned) & 1023u);
    Span span = span_of(static_cast<const i32*>(p.counts), p.matrices, p.rows, blockIdx.x % p.row_tiles, W::ROWS);
    if (span.first >= span.end) return;
    i32 channel = blockIdx.x / p.row_tiles * W::CHANNELS, pair = p.counts ? 0 : span.matrix;
    Matrix m = matrix_of<CODE>(p.w, span.matrix, p.outer, p.inner, p.w_row, p.w_batch);
    const u8* a = static_cast<const u8*>(p.a) + (pair * p.a_batch + span.first * p.a_row) * 2;
    i32 from = blockIdx.z * p.split_inner, to = min(from + p.split_inner, p.inner);
    // After the first, two steps a turn, so that each has registers of its own; the last may be zeros.
    i32 steps = (to - from + W::INNER - 1) / W::INNER / 2 * 2 + 1;
    WideTile<CODE> tile = {m, a, m.data + channel * m.row_bytes, shared, static_cast<u32>(p.a_row * 2), span.end - span.first, channel, from, to, steps};
    float sum[128] = {};
    u32 fragments[2][4][4], scales[2][2];
    tile.scales_of(scales, 0);
    for (i32 i = 0; i < W::STAGES - 2; i++) tile.copy(i);
    // The stage has come; and all products of the step before the last one are done, whose stage is filled next.
    auto arrive = [&](i32 step, u32 (&mine)[4][4]) {
        cp_async_wait<W::STAGES - 3>();
        fence_async_proxy();
        __syncthreads();
        tile.fragments(mine, step, scales);
        tile.scales_of(scales, step + 1);
    };
    auto multiply = [&](i32 step, u32 (&mine)[4][4]) {
        wgmma_fence(sum, mine);
        u64 rows = swizzled_rows(shared_address(shared + step % W::STAGES * W::STAGE_BYTES));
#pragma unroll
        for (int i = 0; i < 4; i++) wgmma_bf16(sum, mine[i], rows + i * 2);
        wgmma_commit();
        tile.copy(step + W::STAGES - 2);
    };
    arrive(0, fragments[0]);
    multiply(0, fragments[0]);
    for (i32 step = 1; step < steps; step += 2) {
        arrive(step, fragments[1]);
        wgmma_wait(sum);
        multiply(step, fragments[1]);
        arrive(step + 1, fragments[0]);
        wgmma_wait(sum);
        multiply(step + 1, fragments[0]);
    }
    wgmma_wait(sum);
    cp_async_wait<0>();
    __syncthreads();
    float* turned = reinterpret_cast<float*>(shared);
    i32 g = LANE / 4, t = LANE % 4;
#pragma unroll
    for (int e = 0; e < 128; e++) turned[(e / 4 * 8 + 2 * t + e % 2) * W::TURNED + WARP * 16 + g + e % 4 / 2 * 8] = sum[e];
    __syncthreads();
    for (i32 i = threadIdx.x; i < W::ROWS * W::CHANNELS / 2; i += W::THREADS) {
        i32 row = i / (W::CHANNELS / 2), c = i % (W::CHANNELS / 2) * 2;
        if (span.first + row >= span.end || channel + c >= p.outer) continue;
        const float* at = turned + row * W::TURNED + c;
        store_sums(p, pair, span.first + row, channel + c, at[0], at[1]);
    }
}
#else
// Built for other devices, where nobody launches it.
template <int CODE> DEVICE void wide_product(const Product&) {}
#endif
