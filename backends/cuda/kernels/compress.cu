// compress.update in one launch. Blocks 0..seqs-1 belong to the sequences of the step, the others to its closings. Whatever reads the state of a sequence is done by that
// sequence's block, before the same block writes its rows: so no row is overwritten that another block still reads. The block of a closing takes those whose positions all
// lie in this step.
#include "common.cuh"
#include "params_compress.h"
#include "key_rows.cuh"

// Slots that a thread has under way.
#define SLOTS 8

// Position of the first slot of entry `j`, and number of its slots.
DEVICE i32 first_position(const CompressUpdate& p, i32 j) { return p.halves == 2 && j > 0 ? (j - 1) * p.ratio : j * p.ratio; }

// Entries whose slots may lie in the state as it was: at most two, from this one on.
DEVICE i32 first_open(const CompressUpdate& p, const Chunk& chunk) { return chunk.first / p.ratio; }

// Weighted sum over the slots of entry `j` of channel `c`, softmax of the gate over the slots; each slot is read once.
DEVICE float pooled(const CompressUpdate& p, const Chunk& chunk, i32 j, i32 c) {
    const float *proj = static_cast<const float*>(p.proj.data), *ape = static_cast<const float*>(p.ape.data);
    const float* state = static_cast<const float*>(p.state.data) + chunk.slot * p.state.outer;
    i32 first = first_position(p, j), own = j * p.ratio, slots = own + p.ratio - first;
    float m = -INFINITY_F, l = 0.0f, sum = 0.0f;
    for (i32 base = 0; base < slots; base += SLOTS) {
        float gate[SLOTS], kv[SLOTS], most = m;
#pragma unroll
        for (i32 i = 0; i < SLOTS; i++) {
            gate[i] = -INFINITY_F, kv[i] = 0.0f;
            if (base + i >= slots) continue;
            i32 pos = first + base + i;
            i64 column = (pos < own || p.halves == 1 ? 0 : 2 * p.width) + c;
            if (pos < chunk.first) {
                const float* row = state + pos % p.ring_rows * p.state.inner + column;
                kv[i] = row[0], gate[i] = row[p.width];
            } else {
                const float* row = proj + (chunk.row + pos - chunk.first) * p.proj.outer + column;
                const float* bias = ape + pos % p.ratio * p.ape.outer + column;
                kv[i] = row[0] + bias[0], gate[i] = row[p.width] + bias[p.width];
            }
        }
#pragma unroll
        for (i32 i = 0; i < SLOTS; i++) most = fmaxf(most, gate[i]);
        float keep = m == -INFINITY_F ? 0.0f : expf(m - most);
        l *= keep, sum *= keep, m = most;
#pragma unroll
        for (i32 i = 0; i < SLOTS; i++) {
            if (base + i >= slots) continue;
            float weight = expf(gate[i] - most);
            l += weight, sum += weight * kv[i];
        }
    }
    return sum / l;
}

// Pools entry `j` of a sequence and stores it. Every thread of the block comes here; when it leaves, no thread reads the state any more.
DEVICE void close_window(const CompressUpdate& p, float* x, float* scratch, i32 seq, const Chunk& chunk, i32 j) {
    i32 page = page_of(p, seq, j);
    if (page < 0 || (j + 1) * p.ratio > chunk.first + chunk.rows) return;
    for (i32 c = threadIdx.x; c < p.width; c += blockDim.x) x[c] = round_to(p.act, pooled(p, chunk, j, c));
    __syncthreads();
    float factor = rms_factor(x, p.width, p.eps, scratch);
    __syncthreads();
    for (i32 c = threadIdx.x; c < p.width; c += blockDim.x) x[c] = round_to(p.act, x[c] * factor * load_as_f32(p.norm.data, p.norm.dtype, c));
    __syncthreads();
    rotate(x, p.width, p.rotary, angles(p.rope, p.positions, j * p.ratio), p.act);
    __syncthreads();
    if (p.hadamard) hadamard(x, p.width, p.act);
    __syncthreads();
    if (p.quant == 1) round_to_e4m3(x, p.width - p.rotary);
    if (p.quant == 2) round_to_e2m1(x, p.width);
    __syncthreads();
    i64 at = page * p.pool.outer + j % p.page_entries * p.pool.inner;
    u8* row = static_cast<u8*>(p.pool.data) + at;
    if (p.format == ROW_F8R) store_f8r(row, x, p.width, p.rotary);
    else if (p.format == ROW_F4) store_f4(row, x, p.width);
    else
        for (i32 c = threadIdx.x; c < p.width; c += blockDim.x) store_f32(p.pool.data, p.format, at + c, x[c]);
}

struct Sum4 { float v[4]; };

// Writes the rows of a sequence that no later row of the step overwrites: sums of four columns, several under way.
DEVICE void keep_rows(const CompressUpdate& p, const Chunk& chunk) {
    i32 columns = 2 * p.halves * p.width, skip = max(0, chunk.rows - p.ring_rows), rows = chunk.rows - skip;
    const float *proj = static_cast<const float*>(p.proj.data), *ape = static_cast<const float*>(p.ape.data);
    float* state = static_cast<float*>(p.state.data) + chunk.slot * p.state.outer;
    bool wide = columns % 4 == 0 && p.proj.outer % 4 == 0 && p.ape.outer % 4 == 0 && p.state.outer % 4 == 0 && p.state.inner % 4 == 0 &&
                (reinterpret_cast<u64>(proj) | reinterpret_cast<u64>(ape) | reinterpret_cast<u64>(p.state.data)) % 16 == 0;
    i32 step = wide ? 4 : 1, parts = columns / step, all = rows * parts;
    for (i32 base = threadIdx.x; base < all; base += 4 * blockDim.x) {
        Sum4 sums[4];
#pragma unroll
        for (i32 i = 0; i < 4; i++) {
            i32 part = base + i * static_cast<i32>(blockDim.x), at = skip + part / parts, column = part % parts * step, pos = chunk.first + at;
            if (part >= all) continue;
            const float *row = proj + (chunk.row + at) * p.proj.outer + column, *bias = ape + pos % p.ratio * p.ape.outer + column;
            if (wide) {
                Vec16 a = load16(row), b = load16(bias);
                for (i32 e = 0; e < 4; e++) sums[i].v[e] = __uint_as_float(a.w[e]) + __uint_as_float(b.w[e]);
            } else {
                sums[i].v[0] = row[0] + bias[0];
            }
        }
#pragma unroll
        for (i32 i = 0; i < 4; i++) {
            i32 part = base + i * static_cast<i32>(blockDim.x), at = skip + part / parts, column = part % parts * step, pos = chunk.first + at;
            if (part >= all) continue;
            float* to = state + pos % p.ring_rows * p.state.inner + column;
            if (wide) store16(to, {{__float_as_uint(sums[i].v[0]), __float_as_uint(sums[i].v[1]), __float_as_uint(sums[i].v[2]), __float_as_uint(sums[i].v[3])}});
            else to[0] = sums[i].v[0];
        }
    }
}

// Whether the step closes entry `j` of a sequence. Begins and ends with a barrier.
DEVICE bool closes(const CompressUpdate& p, i32 seq, i32 j, i32* found) {
    __syncthreads();
    if (threadIdx.x == 0) *found = 0;
    __syncthreads();
    for (i32 c = threadIdx.x; c < p.closings; c += blockDim.x)
        if (word(p.close, c, 0) == seq && word(p.close, c, 1) == j) *found = 1;
    __syncthreads();
    return *found;
}

KERNEL(compress_update, CompressUpdate, 512, 2) {
    DYN_SHARED(float, x);
    __shared__ float scratch[32];
    __shared__ i32 found;
    if (blockIdx.x < static_cast<u32>(p.seq_count)) {
        i32 seq = blockIdx.x;
        Chunk chunk = chunk_of(p.seqs, seq);
        if (chunk.slot < 0 || chunk.rows <= 0) return;
        i32 open = first_open(p, chunk);
        for (i32 j = open; j < open + 2; j++)
            if (first_position(p, j) < chunk.first && closes(p, seq, j, &found)) close_window(p, x, scratch, seq, chunk, j);
        keep_rows(p, chunk);
        return;
    }
    i64 c = blockIdx.x - p.seq_count;
    i32 seq = word(p.close, c, 0), j = word(p.close, c, 1);
    if (seq < 0 || seq >= p.seq_count || j < 0) return;
    Chunk chunk = chunk_of(p.seqs, seq);
    if (chunk.slot >= 0 && first_position(p, j) >= chunk.first) close_window(p, x, scratch, seq, chunk, j);
}
