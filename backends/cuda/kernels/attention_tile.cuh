// attention.sparse for BF16 activations on tensor cores: a block takes one row and up to 32 heads, which share every key. Tiles of 64 keys go through shared memory; for each
// the scores of all heads, their weights, and the products with the same keys as values are taken. Two tiles are a run. A run starts from nothing and is folded into the
// total in the order of the list, whether one block takes all runs of a row or each is a block of its own and `fold_runs` comes after: the bits are the same.
#pragma once
#include "attention_stage.cuh"

#define RUN 2

// Four 8x8 tiles as load_matrix, each transposed.
DEVICE void load_turned(u32 (&r)[4], const void* row) {
#ifdef __CUDACC__
    u32 from = static_cast<u32>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from));
#else
    const void* mine = fiber::aligned(row, 16);
    const void* const* rows = static_cast<const void* const*>(fiber::exchange(FULL_WARP, "load_turned", &mine, sizeof mine));
    u32 column = LANE / 4, first = LANE % 4 * 2;
    for (int tile = 0; tile < 4; tile++) {
        const u16 *a = static_cast<const u16*>(rows[tile * 8 + first]), *b = static_cast<const u16*>(rows[tile * 8 + first + 1]);
        r[tile] = a[column] | static_cast<u32>(b[column]) << 16;
    }
#endif
}

// Sums of values of 32 heads and the 64 channels of a warp, as fragments of products: head tile, channel tile, element.
typedef float Sums[2][8][4];

// Maximum and sum of a head.
struct Softmax { float m, l; };

// Scores of 16 keys over half of the channels, by each warp.
DEVICE void score_tile(TileMemory& s, const bf16* tile, i32 head_tiles, i32 padded) {
    u32 keys = WARP % 4 * 16, half = WARP / 4;
    const bf16* b_row = tile + (keys + LANE / 16 * 8 + LANE % 8) * STRIDE + LANE / 8 % 2 * 8;
    const bf16* a_row = s.queries + (LANE / 8 % 2 * 8 + LANE % 8) * STRIDE + LANE / 16 * 8;
    float d[2][2][4] = {};
    for (i32 c = half * padded / 2, end = c + padded / 2; c < end; c += 16) {
        u32 b[4];
        load_matrix(b, b_row + c);
        u32 left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
#pragma unroll
        for (int m = 0; m < 2; m++) {
            if (m >= head_tiles) continue;
            u32 a[4];
            load_matrix(a, a_row + m * 16 * STRIDE + c);
            mma_bf16(d[m][0], a, left);
            mma_bf16(d[m][1], a, right);
        }
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s.scores[(half * HEADS + m * 16 + LANE / 4 + e / 2 * 8) * SCORE_STRIDE + keys + n * 8 + LANE % 4 * 2 + e % 2] = d[m][n][e];
}

// Weights of a tile. Eight threads a head, eight keys each; all of them know the softmax of the run and of the total.
DEVICE void weigh_tile(TileMemory& s, i32 slot, i32 used, float scale, bool first, bool last, Softmax& run, Softmax& total) {
    u32 h = threadIdx.x / 8, from = PART * 8;
    if (first) run = {-INFINITY_F, 0.0f};
    const float* row = s.scores + h * SCORE_STRIDE + from;
    float x[8], most = run.m, sum = 0.0f;
    for (int j = 0; j < 8; j++) {
        bool there = listed(s, slot + from + j, used);
        x[j] = there ? (row[j] + row[HEADS * SCORE_STRIDE + j]) * scale : -INFINITY_F;
        most = fmaxf(most, x[j]);
    }
    for (int step = 1; step < 8; step *= 2) most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, step));
    float keep = decay(run.m, most);
    for (int j = 0; j < 8; j++) x[j] = weight_of(x[j], most), sum += x[j];
    for (int step = 1; step < 8; step *= 2) sum += __shfl_xor_sync(FULL_WARP, sum, step);
    run = {most, fold(run.l, keep, sum, 1.0f)};
    store16(s.weights + h * WEIGHT_STRIDE + from, {{pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])}});
    if (PART == 0) s.keep[h] = keep;
    if (!last) return;
    float keep_total = 1.0f, keep_run = -1.0f;
    // A run without keys leaves the total as it is, bit by bit.
    if (run.m != -INFINITY_F || run.l != 0.0f) fold_sums(total.m, total.l, run.m, run.l, keep_total, keep_run);
    if (PART == 0) s.keep_total[h] = keep_total, s.keep_run[h] = keep_run;
}

// Adds the values of a tile to the sums of the run.
DEVICE void add_tile(const TileMemory& s, const bf16* tile, i32 head_tiles, bool first, Sums& run) {
#pragma unroll
    for (int m = 0; m < 2; m++) {
        float low = s.keep[m * 16 + LANE / 4], high = s.keep[m * 16 + LANE / 4 + 8];
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) run[m][n][e] = first ? 0.0f : run[m][n][e] * (e < 2 ? low : high);
    }
#pragma unroll
    for (int keys = 0; keys < TILE; keys += 16) {
        u32 a[2][4];
#pragma unroll
        for (int m = 0; m < 2; m++)
            if (m < head_tiles) load_matrix(a[m], s.weights + (m * 16 + LANE / 8 % 2 * 8 + LANE % 8) * WEIGHT_STRIDE + keys + LANE / 16 * 8);
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
            u32 b[4];
            load_turned(b, tile + (keys + LANE / 8 % 2 * 8 + LANE % 8) * STRIDE + WARP * 64 + n * 8 + LANE / 16 * 8);
            u32 left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
#pragma unroll
            for (int m = 0; m < 2; m++) {
                if (m >= head_tiles) continue;
                mma_bf16(run[m][n], a[m], left);
                mma_bf16(run[m][n + 1], a[m], right);
            }
        }
    }
}

DEVICE void fold_run(const TileMemory& s, const Sums& run, Sums& total) {
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int high = 0; high < 2; high++) {
            u32 h = m * 16 + high * 8 + LANE / 4;
            float keep_total = s.keep_total[h], keep_run = s.keep_run[h];
            if (keep_run < 0.0f) continue;
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int e = high * 2; e < high * 2 + 2; e++) total[m][n][e] = fold(total[m][n][e], keep_total, run[m][n][e], keep_run);
        }
}

// Where the parts of a row's runs lie: maxima and sums, then sums of values.
DEVICE float* part_of(const AttentionSparse& p, i64 t, i32 head, i32 run) {
    return static_cast<float*>(p.partial) + ((t * p.heads + head) * p.runs + run) * 2;
}

DEVICE float* values_of(const AttentionSparse& p, i64 t, i32 head, i32 run) {
    i64 parts = static_cast<i64>(p.rows) * p.heads * p.runs;
    return static_cast<float*>(p.partial) + parts * 2 + ((t * p.heads + head) * p.runs + run) * p.head;
}

DEVICE void store_part(const AttentionSparse& p, i64 t, i32 first_head, i32 heads, const Sums& run) {
    if (WARP * 64 >= static_cast<u32>(p.head)) return;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int high = 0; high < 2; high++) {
            i32 h = m * 16 + high * 8 + LANE / 4;
            if (h >= heads) continue;
            float* to = values_of(p, t, first_head + h, blockIdx.y);
#pragma unroll
            for (int n = 0; n < 8; n++) {
                i32 c = WARP * 64 + n * 8 + LANE % 4 * 2;
                if (c < p.head) *reinterpret_cast<Vec8*>(to + c) = {{__float_as_uint(run[m][n][high * 2]), __float_as_uint(run[m][n][high * 2 + 1])}};
            }
        }
}

// The results of a block: the totals times each head's share, rotated back, through the memory of the queries into whole rows.
DEVICE void store_totals(const AttentionSparse& p, TileMemory& s, i64 t, i32 pos, i32 first_head, i32 heads, const Sums& total) {
    const float* cs = angles(p.rope, p.positions, pos);
    i32 plain = p.inverse ? p.head - p.rotary : p.head;
    bool wide = p.head % 8 == 0 && (reinterpret_cast<u64>(p.o.data) | p.o.outer * 2 | p.o.inner * 2) % 16 == 0;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int high = 0; high < 2; high++) {
                i32 h = m * 16 + high * 8 + LANE / 4, c = WARP * 64 + n * 8 + LANE % 4 * 2;
                if (h >= heads || c >= p.head) continue;
                float a = total[m][n][high * 2] * s.keep[h], b = total[m][n][high * 2 + 1] * s.keep[h];
                if (c >= plain) turn_back(a, b, cs[c - plain], cs[c - plain + 1]);
                *reinterpret_cast<u32*>(s.queries + h * STRIDE + c) = pack_bf16(a, b);
            }
    __syncthreads();
    i32 h = ROW_OF(0);
    if (h >= heads) return;
    const bf16* from = s.queries + h * STRIDE;
    bf16* to = static_cast<bf16*>(p.o.data) + t * p.o.outer + (first_head + h) * p.o.inner;
    for (i32 c = PART * 8; c < p.head; c += 64) {
        if (wide) store16(to + c, load16(from + c));
        else
            for (i32 e = c; e < min(c + 8, p.head); e++) to[e] = from[e];
    }
}

// Queries of a block's heads; zeros where there are no heads.
DEVICE void stage_queries(const AttentionSparse& p, TileMemory& s, i64 t, i32 first_head, i32 heads, i32 padded) {
    i32 h = ROW_OF(0);
    const bf16* from = static_cast<const bf16*>(p.q.data) + t * p.q.outer + (first_head + h) * p.q.inner;
    stage_row(s.queries + h * STRIDE, h < heads ? from : nullptr, p.head, padded);
    clear_padding(s.queries, HEADS, p.head, padded);
    clear_padding(s.tile(0), TILE * (p.stages == 2 ? 2 : 1), p.head, padded);
}

DEVICE void attend_by_tiles(const AttentionSparse& p, u8* memory) {
    TileMemory& s = *reinterpret_cast<TileMemory*>(memory);
    i64 t = blockIdx.x / p.groups;
    i32 first_head = blockIdx.x % p.groups * p.group, heads = min(p.group, p.heads - first_head), head_tiles = heads > 16 ? 2 : 1;
    i32 padded = (p.head + 63) / 64 * 64, bytes = p.pack_bytes;
    RowKeys k;
    if (!keys_of(p, t, k)) return;
    i32 begin = p.runs ? blockIdx.y * RUN * TILE : 0, end = p.runs ? min(begin + RUN * TILE, k.tiles * TILE) : k.tiles * TILE;
    if (begin >= end) return;
    bool packed = p.format == ROW_F8R, ahead = packed || p.stages == 2, active = WARP * 64 < static_cast<u32>(padded);
    stage_queries(p, s, t, first_head, heads, padded);
    Sums run = {}, total = {};
    Softmax part = {-INFINITY_F, 0.0f}, whole = part;
    auto stage = [&](i32 slot, i32 used) {
        if (packed) stage_packed(s, slot, used, bytes);
        else stage_plain(s, s.tile(p.stages == 2 ? slot / TILE % 2 : 0), slot, used, p.head, padded);
        cp_async_commit();
    };
    for (i32 chunk = begin; chunk < end; chunk += LISTED) {
        i32 used = list_keys(p, k, t, chunk, min(LISTED, end - chunk), s.list, s.scratch);
        if (used) stage(0, used);
        for (i32 slot = 0; slot < used; slot += TILE) {
            const bf16* tile = s.tile(p.stages == 2 ? slot / TILE % 2 : 0);
            bool first = slot / TILE % RUN == 0, last = slot / TILE % RUN == RUN - 1 || slot + TILE >= used;
            cp_async_wait<0>();
            __syncthreads();
            if (packed) {
                unpack_tile(s, slot, used, p.head, padded, p.rotary);
                __syncthreads();
            }
            if (ahead && slot + TILE < used) stage(slot + TILE, used);
            score_tile(s, tile, head_tiles, padded);
            __syncthreads();
            weigh_tile(s, slot, used, p.scale, first, last, part, whole);
            __syncthreads();
            if (active) {
                add_tile(s, tile, head_tiles, first, run);
                if (last && !p.runs) fold_run(s, run, total);
            }
            if (!ahead) {
                __syncthreads();
                if (slot + TILE < used) stage(slot + TILE, used);
            }
        }
        if (used && p.runs) store_part(p, t, first_head, heads, run);
    }
    i32 h = threadIdx.x / 8;
    bool mine = PART == 0 && h < heads;
    if (p.runs) {
        float* to = part_of(p, t, first_head + h, blockIdx.y);
        if (mine) to[0] = part.m, to[1] = part.l;
        return;
    }
    __syncthreads();
    if (mine) s.keep[h] = share(whole.m, whole.l, static_cast<const float*>(p.sink)[first_head + h]);
    __syncthreads();
    store_totals(p, s, t, k.token.pos, first_head, heads, total);
}

// The runs of one row and head, in their order.
DEVICE void fold_runs(const AttentionSparse& p) {
    __shared__ float x[CHANNELS];
    i64 t = blockIdx.x / p.heads;
    i32 h = blockIdx.x % p.heads;
    RowKeys k;
    if (!keys_of(p, t, k)) return;
    float total[CHANNELS / 128] = {}, m = -INFINITY_F, l = 0.0f;
    for (i32 run = 0; run < (k.tiles + RUN - 1) / RUN; run++) {
        const float *part = part_of(p, t, h, run), *values = values_of(p, t, h, run);
        float keep_total, keep_run;
        if (part[0] == -INFINITY_F && part[1] == 0.0f) continue;
        fold_sums(m, l, part[0], part[1], keep_total, keep_run);
#pragma unroll
        for (int i = 0; i < CHANNELS / 128; i++) {
            i32 c = threadIdx.x + i * 128;
            if (c < p.head) total[i] = fold(total[i], keep_total, values[c], keep_run);
        }
    }
    float factor = share(m, l, static_cast<const float*>(p.sink)[h]);
#pragma unroll
    for (int i = 0; i < CHANNELS / 128; i++) x[threadIdx.x + i * 128] = total[i] * factor;
    __syncthreads();
    const float* cs = angles(p.rope, p.positions, k.token.pos);
    i32 plain = p.inverse ? p.head - p.rotary : p.head;
    bf16* to = static_cast<bf16*>(p.o.data) + t * p.o.outer + h * p.o.inner;
    for (i32 c = 2 * threadIdx.x; c < p.head; c += 256) {
        float a = x[c], b = x[c + 1];
        if (c >= plain) turn_back(a, b, cs[c - plain], cs[c - plain + 1]);
        to[c] = to_bf16(a), to[c + 1] = to_bf16(b);
    }
}
