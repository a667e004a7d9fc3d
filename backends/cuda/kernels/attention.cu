// attention.latent and attention.query: norms and rotations of a row's projections. attention.sparse is in the headers.
#include "common.cuh"
#include "params_attention.h"
#include "key_rows.cuh"
#include "attention_list.cuh"
#include "attention_simple.cuh"
#include "attention_tile.cuh"

// One block a row and half: y = 0 is the query latent, y = 1 the key-value row.
KERNEL(attention_latent, AttentionLatent, 256, 4) {
    DYN_SHARED(float, x);
    __shared__ float scratch[32];
    i64 t = blockIdx.x;
    bool key = blockIdx.y == 1;
    Token token;
    if (!token_of(p.toks, t, token)) return;
    i32 n = key ? p.head : p.q_lora;
    load_span(x, p.lat.data, p.lat.dtype, t * p.lat.outer + (key ? p.q_lora : 0), n);
    __syncthreads();
    float factor = rms_factor(x, n, p.eps, scratch);
    const Rows& gain = key ? p.kv_norm : p.q_norm;
    const Rows& to = key ? p.kv : p.qr;
    __syncthreads();
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) x[i] = round_to(to.dtype, x[i] * factor * load_as_f32(gain.data, gain.dtype, i));
    __syncthreads();
    if (key) {
        rotate(x, n, p.rotary, angles(p.rope, p.positions, token.pos), to.dtype);
        __syncthreads();
        if (p.quant) round_to_e4m3(x, n - p.rotary);
        __syncthreads();
    }
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) store_f32(to.data, to.dtype, t * to.outer + i, x[i]);
}

// Eight values, by one lane: with 128-bit loads, or the `n` that there are one by one.
DEVICE void load8(const bf16* from, float* to, bool wide, i32 n) {
    if (!wide) {
        for (i32 j = 0; j < 8; j++) to[j] = j < n ? to_f32(from[j]) : 0.0f;
        return;
    }
    Vec16 v = load16(from);
    for (int j = 0; j < 4; j++) to[2 * j] = low_bf16(v.w[j]), to[2 * j + 1] = high_bf16(v.w[j]);
}

DEVICE void load8(const float* from, float* to, bool wide, i32 n) {
    for (i32 j = 0; j < 8 && !wide; j++) to[j] = j < n ? from[j] : 0.0f;
    for (int half = 0; half < 2 && wide; half++) {
        Vec16 v = load16(from + 4 * half);
        for (int j = 0; j < 4; j++) to[4 * half + j] = __uint_as_float(v.w[j]);
    }
}

DEVICE void store8(bf16* to, const float* from, bool wide, i32 n) {
    if (wide) store16(to, {{pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]), pack_bf16(from[4], from[5]), pack_bf16(from[6], from[7])}});
    for (i32 j = 0; j < 8 && !wide; j++)
        if (j < n) to[j] = to_bf16(from[j]);
}

DEVICE void store8(float* to, const float* from, bool wide, i32 n) {
    for (int half = 0; half < 2 && wide; half++)
        store16(to + 4 * half, {{__float_as_uint(from[4 * half]), __float_as_uint(from[4 * half + 1]), __float_as_uint(from[4 * half + 2]), __float_as_uint(from[4 * half + 3])}});
    for (i32 j = 0; j < 8 && !wide; j++)
        if (j < n) to[j] = from[j];
}

#define QUERY_WARPS 8

// One warp a head. Its values lie in shared memory between the two passes, so that a lane finds the other half of a pair.
template <typename T> DEVICE void normalise_query(const AttentionQuery& p, float* all) {
    i64 vector = static_cast<i64>(blockIdx.x) * QUERY_WARPS + WARP, t = vector / p.heads;
    Token token;
    if (t >= p.rows || !token_of(p.toks, t, token)) return;
    float* x = all + WARP * p.width;
    T* q = static_cast<T*>(p.q.data) + t * p.q.outer + vector % p.heads * p.q.inner;
    bool wide = p.head % 8 == 0 && reinterpret_cast<u64>(q) % 16 == 0;
    float squares = 0.0f;
    for (i32 i = LANE * 8; i < p.head; i += 256) {
        float v[8];
        load8(q + i, v, wide, p.head - i);
        // The part of a warp is padded to eight.
        for (int j = 0; j < 8; j++) x[i + j] = v[j], squares += v[j] * v[j];
    }
    float mean = warp_sum(squares) / p.head + p.eps, factor = mean == 0.0f ? 0.0f : 1.0f / sqrtf(mean);
    __syncwarp();
    const float* cs = angles(p.rope, p.positions, token.pos);
    i32 plain = p.head - p.rotary;
    auto turned = [&](i32 i) {
        float v = x[i] * factor;
        if (i < plain) return v;
        i32 k = (i - plain) / 2 * 2, odd = (i - plain) % 2;
        float other = x[plain + k + 1 - odd] * factor, c = cs[k], s = cs[k + 1];
        return odd ? other * s + v * c : v * c - other * s;
    };
    for (i32 i = LANE * 8; i < p.head; i += 256) {
        float v[8];
        for (int j = 0; j < 8; j++) v[j] = i + j < p.head ? turned(i + j) : 0.0f;
        store8(q + i, v, wide, p.head - i);
    }
}

KERNEL(attention_query_f32, AttentionQuery, 256, 4) {
    DYN_SHARED(float, all);
    normalise_query<float>(p, all);
}

KERNEL(attention_query_bf16, AttentionQuery, 256, 4) {
    DYN_SHARED(float, all);
    normalise_query<bf16>(p, all);
}

KERNEL(attention_sparse_simple, AttentionSparse, 256, 2) {
    DYN_SHARED(float, memory);
    attend_simply(p, memory);
}

KERNEL(attention_sparse_tile, AttentionSparse, 256, 1) {
    DYN_SHARED(u8, memory);
    attend_by_tiles(p, memory);
}

KERNEL(attention_sparse_fold, AttentionSparse, 128, 4) { fold_runs(p); }
