// attention.sparse in f32, one block a row and head: for F32 activations, and for widths and formats that the tiles do not take.
#pragma once
#include "attention_list.cuh"

// `q` holds the query and the sum of values: twice the width of a head.
DEVICE void attend_simply(const AttentionSparse& p, float* q) {
    __shared__ u64 list[LISTED];
    __shared__ float scores[TILE], weights[TILE];
    __shared__ i32 scratch[32];
    float* sum = q + p.head;
    i64 t = blockIdx.x / p.heads, h = blockIdx.x % p.heads;
    RowKeys k;
    if (!keys_of(p, t, k)) return;
    load_span(q, p.q.data, p.q.dtype, t * p.q.outer + h * p.q.inner, p.head);
    for (i32 c = threadIdx.x; c < p.head; c += blockDim.x) sum[c] = 0.0f;
    float m = -INFINITY_F, l = 0.0f;
    auto value = [&](u64 address, i32 c) {
        const u8* row = reinterpret_cast<const u8*>(address & ~STEP_ROW);
        return key_value(row, address & STEP_ROW ? p.kv.dtype : p.format, p.head, p.rotary, c);
    };
    for (i32 first = 0; first < k.tiles * TILE; first += LISTED) {
        i32 used = list_keys(p, k, t, first, min(LISTED, k.tiles * TILE - first), list, scratch);
        for (i32 tile = 0; tile < used; tile += TILE) {
            for (i32 i = WARP; i < TILE; i += blockDim.x / 32) {
                u64 address = tile + i < used ? list[tile + i] : 0;
                float score = 0.0f;
                if (address)
                    for (i32 c = LANE; c < p.head; c += 32) score += q[c] * value(address, c);
                score = warp_sum(score);
                if (LANE == 0) scores[i] = address ? score * p.scale : -INFINITY_F;
            }
            __syncthreads();
            float a = scores[LANE], b = scores[LANE + 32], most = fmaxf(m, warp_max(fmaxf(a, b))), keep = decay(m, most);
            a = weight_of(a, most), b = weight_of(b, most);
            l = l * keep + warp_sum(a + b);
            m = most;
            if (WARP == 0) weights[LANE] = round_to(p.o.dtype, a), weights[LANE + 32] = round_to(p.o.dtype, b);
            __syncthreads();
            for (i32 c = threadIdx.x; c < p.head; c += blockDim.x) {
                float x = sum[c] * keep;
                for (i32 i = tile; i < min(tile + TILE, used); i++)
                    if (list[i]) x += weights[i - tile] * value(list[i], c);
                sum[c] = x;
            }
        }
        __syncthreads();
    }
    float factor = share(m, l, static_cast<const float*>(p.sink)[h]);
    const float* cs = angles(p.rope, p.positions, k.token.pos);
    i32 plain = p.inverse ? p.head - p.rotary : p.head;
    i64 to = t * p.o.outer + h * p.o.inner;
    for (i32 c = threadIdx.x; c < plain; c += blockDim.x) store_f32(p.o.data, p.o.dtype, to + c, sum[c] * factor);
    for (i32 c = plain + 2 * threadIdx.x; c < p.head; c += 2 * blockDim.x) {
        float a = sum[c] * factor, b = sum[c + 1] * factor;
        turn_back(a, b, cs[c - plain], cs[c - plain + 1]);
        store_f32(p.o.data, p.o.dtype, to + c, a), store_f32(p.o.data, p.o.dtype, to + c + 1, b);
    }
}
