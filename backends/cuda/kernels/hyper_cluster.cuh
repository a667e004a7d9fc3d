// hyper.pre and hyper.head for four streams and aligned rows: a cluster of eight blocks makes ROWS rows. Block `rank` owns every eighth group of columns of all streams, so that
// the streams come from memory once, the projection once for ROWS rows, and only sums travel between the blocks.
#pragma once
#include "hyper_mix.cuh"

#ifdef HAS_CLUSTERS

constexpr i32 MIX_THREADS = 128, MIX_WARPS = MIX_THREADS / 32, MIX_STREAMS = 4;

template <int ROWS> struct MixShared {
    float parts[ROWS][MIX_WARPS][32];  // sums of a warp
    float sums[ROWS][32];              // sums of the block; the others read them
    float mix[ROWS][32];               // coefficients
    float squares[ROWS][MIX_WARPS];
    float square[ROWS];                // the others read it
    float matrix[ROWS][MIX_STREAMS * MIX_STREAMS];
};

// Four elements from an address aligned to four of them.
DEVICE void load_four(const float* from, float (&x)[4]) { load_floats(from, x); }
DEVICE void load_four(const bf16* from, float (&x)[4]) {
#ifdef __CUDACC__
    Vec8 v = *reinterpret_cast<const Vec8*>(from);
#else
    Vec8 v = *static_cast<const Vec8*>(fiber::aligned(from, 8));
#endif
    x[0] = low_bf16(v.w[0]), x[1] = high_bf16(v.w[0]), x[2] = low_bf16(v.w[1]), x[3] = high_bf16(v.w[1]);
}
DEVICE void store_four(float* to, const float (&x)[4]) { store_floats(to, x); }
DEVICE void store_four(bf16* to, const float (&x)[4]) {
    Vec8 v{pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3])};
#ifdef __CUDACC__
    *reinterpret_cast<Vec8*>(to) = v;
#else
    *static_cast<Vec8*>(const_cast<void*>(fiber::aligned(to, 8))) = v;
#endif
}

// Sums each of 2 STEP values over the lanes whose numbers differ in the bits up to STEP; lane l gets the sum of value l % (2 STEP). Each step halves what a lane still has to add.
template <int STEP> DEVICE float transposed_sum(const float (&v)[2 * STEP]) {
    bool upper = LANE & STEP;
    float half[STEP];
#pragma unroll
    for (int i = 0; i < STEP; i++) {
        float keep = upper ? v[i + STEP] : v[i], give = upper ? v[i] : v[i + STEP];
        half[i] = keep + __shfl_xor_sync(FULL_WARP, give, STEP);
    }
    if constexpr (STEP > 1) return transposed_sum<STEP / 2>(half);
    else return half[0];
}

// This block's part of the projections of each row, and of the sum of its squares, into `sums`: value OUTS is the squares.
template <typename T, int ROWS, int OUTS> DEVICE void project(const HyperMix& p, const i64 (&rows)[ROWS], MixShared<ROWS>& s) {
    u32 thread = cluster_thread();
    float dot[ROWS][OUTS], squares[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        squares[r] = 0.0f;
#pragma unroll
        for (int o = 0; o < OUTS; o++) dot[r][o] = 0.0f;
    }
    for (i32 c = (cluster_rank() * MIX_THREADS + thread) * 4; c < p.width; c += CLUSTER * MIX_THREADS * 4) {
#pragma unroll 1
        for (i32 j = 0; j < MIX_STREAMS; j++) {
            const float* line = static_cast<const float*>(p.projection.data) + static_cast<i64>(j) * p.width + c;
            float x[ROWS][4];
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                x[r][0] = x[r][1] = x[r][2] = x[r][3] = 0.0f;
                if (rows[r] >= 0) load_four(static_cast<const T*>(p.x.data) + rows[r] * p.x.outer + j * p.x.inner + c, x[r]);
#pragma unroll
                for (int i = 0; i < 4; i++) squares[r] += x[r][i] * x[r][i];
            }
#pragma unroll
            for (int o = 0; o < OUTS; o++) {
                Vec16 f = load_once(line + o * p.projection.outer);
#pragma unroll
                for (int r = 0; r < ROWS; r++)
#pragma unroll
                    for (int i = 0; i < 4; i++) dot[r][o] += x[r][i] * __uint_as_float(f.w[i]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float v[32];
#pragma unroll
        for (int i = 0; i < 32; i++) v[i] = i < OUTS ? dot[r][i < OUTS ? i : 0] : i == OUTS ? squares[r] : 0.0f;
        s.parts[r][thread / 32][LANE] = transposed_sum<16>(v);
    }
    block_barrier();
    if (thread < ROWS * 32) {
        float sum = 0.0f;
        for (i32 w = 0; w < MIX_WARPS; w++) sum += s.parts[thread / 32][w][LANE];
        s.sums[thread / 32][LANE] = sum;
    }
}

// The weighted sum of the streams, rounded and kept in `a`; its squares are summed over the block into `square`.
template <typename T, int ROWS> DEVICE void collapse(const HyperMix& p, const i64 (&rows)[ROWS], i64 first, MixShared<ROWS>& s) {
    u32 thread = cluster_thread();
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float squares = 0.0f;
        for (i32 c = (cluster_rank() * MIX_THREADS + thread) * 4; rows[r] >= 0 && c < p.width; c += CLUSTER * MIX_THREADS * 4) {
            float a[4] = {0.0f, 0.0f, 0.0f, 0.0f}, x[4];
#pragma unroll
            for (i32 j = 0; j < MIX_STREAMS; j++) {
                load_four(static_cast<const T*>(p.x.data) + rows[r] * p.x.outer + j * p.x.inner + c, x);
#pragma unroll
                for (int i = 0; i < 4; i++) a[i] += s.mix[r][j] * x[i];
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                a[i] = round_as<T>(a[i]);
                squares += a[i] * a[i];
            }
            store_four(static_cast<T*>(p.a.data) + (first + r) * p.a.outer + c, a);
        }
        squares = warp_sum(squares);
        if (LANE == 0) s.squares[r][thread / 32] = squares;
    }
    block_barrier();
    if (thread < ROWS) {
        float sum = 0.0f;
        for (i32 w = 0; w < MIX_WARPS; w++) sum += s.squares[thread][w];
        s.square[thread] = sum;
    }
}

// Normalises what `collapse` kept; each thread reads what it wrote itself.
template <typename T, int ROWS> DEVICE void normalise(const HyperMix& p, const i64 (&rows)[ROWS], i64 first, MixShared<ROWS>& s) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float squares = 0.0f;
        for (u32 rank = 0; rank < CLUSTER; rank++) squares += cluster_load<MixShared<ROWS>>(&s.square[r], rank);
        float factor = root_factor(squares, p.width, p.eps);
        for (i32 c = (cluster_rank() * MIX_THREADS + cluster_thread()) * 4; rows[r] >= 0 && c < p.width; c += CLUSTER * MIX_THREADS * 4) {
            T* at = static_cast<T*>(p.a.data) + (first + r) * p.a.outer + c;
            float a[4];
            load_four(at, a);
#pragma unroll
            for (int i = 0; i < 4; i++) a[i] *= factor * load_as_f32(p.norm.data, p.norm.dtype, c + i);
            store_four(at, a);
        }
    }
}

// ROWS is 1 or the number of warps, so that a warp finishes a row.
template <typename T, int ROWS, int OUTS> DEVICE void mix_cluster(const HyperMix& p) {
    CLUSTER_SHARED(MixShared<ROWS>, s);
    i64 first = static_cast<i64>(cluster_index()) * ROWS, rows[ROWS];
    u32 rank = cluster_rank(), thread = cluster_thread(), own = thread / 32;
#pragma unroll
    for (int r = 0; r < ROWS; r++) rows[r] = source_row(p, first + r);
    project<T, ROWS, OUTS>(p, rows, s);
    cluster_barrier();
    if (own < ROWS) {
        float sum = 0.0f;
        for (u32 other = 0; other < CLUSTER; other++) sum += cluster_load<MixShared<ROWS>>(&s.sums[own][LANE], other);
        float factor = root_factor(__shfl_sync(FULL_WARP, sum, OUTS), static_cast<i64>(MIX_STREAMS) * p.width, p.eps);
        if (LANE < OUTS) s.mix[own][LANE] = coefficient(p, sum * factor, LANE);
    }
    block_barrier();
    collapse<T, ROWS>(p, rows, first, s);
    cluster_arrive();
    // The balancing of a row takes longer than anything else after the projection: one block does it while the sums travel.
    if (OUTS > MIX_STREAMS && own < ROWS && rank == own % CLUSTER && first + own < p.count) {
        if (LANE < MIX_STREAMS) static_cast<float*>(p.post.data)[(first + own) * p.post.outer + LANE] = s.mix[own][MIX_STREAMS + LANE];
        float value = balance4(s.mix[own][2 * MIX_STREAMS + (LANE & 15)], p.iters, p.hc_eps);
        if (LANE < 16) s.matrix[own][LANE] = value;
        __syncwarp();
        store_matrix(s.matrix[own], MIX_STREAMS, p.comb, first + own);
    }
    cluster_wait();
    if (p.norm.data) normalise<T, ROWS>(p, rows, first, s);
    // A block must not end while others read its sums.
    cluster_barrier();
}

#endif
