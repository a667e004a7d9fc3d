// elementwise.*: maps, choices, reductions, softmax and running sums, f32 inside.
#include "common.cuh"
#include "params_elementwise.h"
#include "runs.cuh"
#include "strided.cuh"

// The order of `omnihal::op::elementwise::Func`, `Arith`, `Cmp` and `Reduction`.
enum Func { IDENTITY, EXP, RELU, SIGMOID, SILU, SQRT, RSQRT, ABS, FLOOR, CLAMP, SQRT_SOFTPLUS, LOG };
enum Arith { ADD, SUB, MUL, DIV, MIN, MAX };
enum Cmp { LT, GE, GT, EQ };
enum Reduction { SUM, LARGEST, MEAN_SQUARE };

// ---- maps ------------------------------------------------------------------------------------------------------------------------------------

// What `V` elements of a tensor are to one thread: V is 8 where the last axis is cut into runs, which lie together or repeat one element, else 1.
template <int V> DEVICE void load_part(float (&v)[RUN], const Strided& t, i64 at, int n) {
    if (V == 1) v[0] = load_as_f32(t.data, t.dtype, at);
    else load_run(v, t.data, t.dtype, at, t.s5 != 0, n, t.s5 != 0);
}

template <int V> DEVICE void store_part(const float (&v)[RUN], const Strided& t, i64 at, int n) {
    if (V == RUN) return store_run(v, t.data, t.dtype, at, 1, n, true);
    if (t.dtype == I32) static_cast<i32*>(t.data)[at] = f32_to_i32(v[0]);
    else store_f32(t.data, t.dtype, at, v[0]);
}

// Elements of the run at these coordinates.
template <int V> DEVICE int length(i64 inner, const Coords& at) {
    i64 left = inner - at.c[5] * V;
    return V == 1 || left < V ? static_cast<int>(V == 1 ? 1 : left) : V;
}

DEVICE float apply(const UnaryMap& p, float x) {
    switch (p.func) {
        case EXP: return expf(x);
        case RELU: return x < 0.0f ? 0.0f : x;
        case SIGMOID: return 1.0f / (1.0f + expf(-x));
        case SILU: return x / (1.0f + expf(-x));
        case SQRT: return sqrtf(x);
        case RSQRT: return 1.0f / sqrtf(x);
        case ABS: return fabsf(x);
        case FLOOR: return floorf(x);
        case CLAMP: return x < p.low ? p.low : x > p.high ? p.high : x;
        // Above 20, log(1 + e^x) is x (deepseek-v4.md 6).
        case SQRT_SOFTPLUS: return sqrtf(x > 20.0f ? x : log1pf(expf(x)));
        case LOG: return logf(x);
        default: return x;
    }
}

template <int V> DEVICE void unary(const UnaryMap& p) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    Coords at = coords(p.dims, i);
    int n = length<V>(p.inner, at);
    float v[RUN];
    load_part<V>(v, p.x, place(p.x, at), n);
#pragma unroll
    for (int k = 0; k < V; k++) v[k] = p.gamma * apply(p, p.alpha * v[k] + p.beta) + p.delta;
    store_part<V>(v, p.y, place(p.y, at), n);
}
KERNEL(unary_one, UnaryMap, 256, 4) { unary<1>(p); }
KERNEL(unary_runs, UnaryMap, 256, 4) { unary<RUN>(p); }

DEVICE float combine(const BinaryMap& p, float a, float b) {
    switch (p.arith) {
        case ADD: return a + b;
        case SUB: return a - b;
        case MUL: return a * b;
        case DIV: return p.scale * a / (b + p.eps);
        // A NaN of either side stays.
        case MIN: return a < b || a != a ? a : b;
        default: return a > b || a != a ? a : b;
    }
}

template <int V> DEVICE void binary(const BinaryMap& p) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    Coords at = coords(p.dims, i);
    int n = length<V>(p.inner, at);
    float a[RUN], b[RUN];
    load_part<V>(a, p.a, place(p.a, at), n);
    load_part<V>(b, p.b, place(p.b, at), n);
#pragma unroll
    for (int k = 0; k < V; k++) a[k] = combine(p, a[k], b[k]);
    store_part<V>(a, p.y, place(p.y, at), n);
}
KERNEL(binary_one, BinaryMap, 256, 4) { binary<1>(p); }
KERNEL(binary_runs, BinaryMap, 256, 4) { binary<RUN>(p); }

template <typename T> DEVICE bool compare(i32 cmp, T a, T b) {
    switch (cmp) {
        case LT: return a < b;
        case GE: return a >= b;
        case GT: return a > b;
        default: return a == b;
    }
}

DEVICE bool holds(const WhereMap& p, i64 a, i64 b) {
    if (p.a.dtype != I32) return compare(p.cmp, load_as_f32(p.a.data, p.a.dtype, a), p.b.data ? load_as_f32(p.b.data, p.b.dtype, b) : p.bound);
    // f64 holds every integer, so that a constant with a fraction keeps its meaning.
    double left = static_cast<const i32*>(p.a.data)[a], right = p.b.data ? static_cast<const i32*>(p.b.data)[b] : static_cast<double>(p.bound);
    return compare(p.cmp, left, right);
}

// The chosen elements move as bits.
template <typename U> DEVICE void where(const WhereMap& p) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    Coords at = coords(p.dims, i);
    bool first = holds(p, place(p.a, at), place(p.b, at));
    const Strided& from = first ? p.p : p.q;
    U chosen = from.data ? static_cast<const U*>(from.data)[place(from, at)] : static_cast<U>(word_of(p.y.dtype, first ? p.first : p.second));
    static_cast<U*>(p.y.data)[place(p.y, at)] = chosen;
}
KERNEL(where_16, WhereMap, 256, 4) { where<u16>(p); }
KERNEL(where_32, WhereMap, 256, 4) { where<u32>(p); }

// ---- lines: the middle axis of [pre, len, post] ----------------------------------------------------------------------------------------------

// Who takes a line: one thread, a warp or a block. Which one depends on the shape of a line only.
enum Team { THREAD, TEAM_WARP, TEAM_BLOCK };

DEVICE float pick_larger(float a, float b) { return a > b || a != a ? a : b; }

DEVICE float warp_largest(float x) {
    for (int step = 16; step; step >>= 1) x = pick_larger(x, __shfl_xor_sync(FULL_WARP, x, step));
    return x;
}

template <int team> DEVICE float team_max(float x, float* scratch) {
    if constexpr (team == THREAD) return x;
    x = warp_largest(x);
    if constexpr (team == TEAM_BLOCK) {
        __syncthreads();
        if (LANE == 0) scratch[WARP] = x;
        __syncthreads();
        x = warp_largest(LANE < blockDim.x >> 5 ? scratch[LANE] : -INFINITY_F);
    }
    return x;
}

template <int team> DEVICE float team_sum(float x, float* scratch) {
    if constexpr (team == THREAD) return x;
    if constexpr (team == TEAM_WARP) return warp_sum(x);
    if constexpr (team == TEAM_BLOCK) return block_sum(x, scratch);
}

// The line of this thread, its first element in it and the distance to the next one.
struct Line { i64 pre, post; i32 first, step; bool there; };

template <int team> DEVICE Line my_line(i64 lines, i64 post) {
    i64 index = team == TEAM_BLOCK ? blockIdx.x : (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) / (team == THREAD ? 1 : 32);
    bool there = index < lines;
    u64 pre = there ? static_cast<u64>(index) : 0;
    i64 at = static_cast<i64>(split(pre, static_cast<u64>(post)));
    i32 first = team == THREAD ? 0 : team == TEAM_WARP ? static_cast<i32>(LANE) : static_cast<i32>(threadIdx.x);
    i32 step = team == THREAD ? 1 : team == TEAM_WARP ? 32 : static_cast<i32>(blockDim.x);
    return {static_cast<i64>(pre), at, first, step, there};
}

template <int team> DEVICE void reduce(const ReduceLines& p) {
    __shared__ float scratch[32];
    Line line = my_line<team>(p.lines, p.post);
    i64 start = line.pre * p.x.s3 + line.post * p.x.s5;
    float sum = p.op == LARGEST ? -INFINITY_F : 0.0f;
    for (i32 k = line.first; k < p.len; k += line.step) {
        float x = load_as_f32(p.x.data, p.x.dtype, start + k * p.x.s4);
        sum = p.op == LARGEST ? pick_larger(sum, x) : p.op == SUM ? sum + x : sum + x * x;
    }
    sum = p.op == LARGEST ? team_max<team>(sum, scratch) : team_sum<team>(sum, scratch);
    if (p.op == MEAN_SQUARE) sum /= static_cast<float>(p.len);
    if (line.there && line.first == 0) store_f32(p.y.data, p.y.dtype, line.pre * p.y.s4 + line.post * p.y.s5, sum * p.alpha);
}
KERNEL(reduce_thread, ReduceLines, 256, 4) { reduce<THREAD>(p); }
KERNEL(reduce_warp, ReduceLines, 256, 4) { reduce<TEAM_WARP>(p); }
KERNEL(reduce_block, ReduceLines, 256, 4) { reduce<TEAM_BLOCK>(p); }

template <int team> DEVICE void softmax(const SoftmaxLines& p) {
    __shared__ float scratch[32];
    Line line = my_line<team>(p.lines, p.post);
    const float* x = static_cast<const float*>(p.x.data) + line.pre * p.x.s3 + line.post * p.x.s5;
    float* y = static_cast<float*>(p.y.data) + line.pre * p.y.s3 + line.post * p.y.s5;
    float most = -INFINITY_F, sum = 0.0f;
    for (i32 k = line.first; k < p.len; k += line.step) most = pick_larger(most, x[k * p.x.s4]);
    most = team_max<team>(most, scratch);
    for (i32 k = line.first; k < p.len; k += line.step) sum += expf(x[k * p.x.s4] - most);
    sum = team_sum<team>(sum, scratch);
    if (!line.there) return;
    for (i32 k = line.first; k < p.len; k += line.step) y[k * p.y.s4] = expf(x[k * p.x.s4] - most) / sum;
}
KERNEL(softmax_thread, SoftmaxLines, 256, 4) { softmax<THREAD>(p); }
KERNEL(softmax_warp, SoftmaxLines, 256, 4) { softmax<TEAM_WARP>(p); }
KERNEL(softmax_block, SoftmaxLines, 256, 4) { softmax<TEAM_BLOCK>(p); }

// Sum of the lanes up to and with this one.
DEVICE float warp_scan(float x) {
    for (u32 step = 1; step < 32; step <<= 1) {
        float before = __shfl_up_sync(FULL_WARP, x, step);
        if (LANE >= step) x += before;
    }
    return x;
}

// Neighbours a thread of `cumsum` sums: one vector.
constexpr int SUMMED = 4;

// Running sums of a row, one block a row: neighbours of a thread, then threads of a warp, then warps, then tiles.
KERNEL(cumsum, CumsumRows, 1024, 1) {
    __shared__ float totals[32];
    const float* x = static_cast<const float*>(p.x.data) + blockIdx.x * p.x.s4;
    float* y = static_cast<float*>(p.y.data) + blockIdx.x * p.y.s4;
    float carry = 0.0f;
    for (i64 tile = 0; tile < p.len; tile += static_cast<i64>(blockDim.x) * SUMMED) {
        i64 at = tile + static_cast<i64>(threadIdx.x) * SUMMED;
        bool whole = p.whole && at + SUMMED <= p.len;
        Vec16 part = whole ? load16(x + at) : Vec16{{0, 0, 0, 0}};
        float sums[SUMMED], own = 0.0f;
#pragma unroll
        for (int k = 0; k < SUMMED; k++) {
            float v = whole ? __uint_as_float(part.w[k]) : at + k < p.len ? x[(at + k) * p.x.s5] : 0.0f, before = own;
            own += v;
            sums[k] = p.exclusive ? before : own;
        }
        float upto = warp_scan(own);
        if (LANE == 31) totals[WARP] = upto;
        __syncthreads();
        float warps = warp_scan(LANE < blockDim.x >> 5 ? totals[LANE] : 0.0f);
        // The sums before this thread: of tiles, of warps, of the threads of its warp.
        float earlier = __shfl_up_sync(FULL_WARP, upto, 1), base = __shfl_sync(FULL_WARP, warps, (WARP + 31) & 31);
        base = carry + (WARP ? base : 0.0f) + (LANE ? earlier : 0.0f);
        carry += __shfl_sync(FULL_WARP, warps, 31);
#pragma unroll
        for (int k = 0; k < SUMMED; k++) {
            part.w[k] = __float_as_uint(sums[k] + base);
            if (!whole && at + k < p.len) y[(at + k) * p.y.s5] = sums[k] + base;
        }
        if (whole) store16(y + at, part);
        // The totals are read by all before the next tile's are written.
        __syncthreads();
    }
}
