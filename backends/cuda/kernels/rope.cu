// rope.apply: four pairs a thread.
#include "common.cuh"
#include "params_rope.h"
#include "runs.cuh"
#include "strided.cuh"

KERNEL(rope_apply, RopeApply, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    i64 column = static_cast<i64>(split(i, p.runs)) * RUN, head = static_cast<i64>(split(i, p.heads)), row = static_cast<i64>(i);
    i64 at = row * p.x.outer + head * p.x.inner + p.start + column, left = p.rotary - column;
    int n = left < RUN ? static_cast<int>(left) : RUN;
    float v[RUN], cs[RUN];
    load_run(v, p.x.data, p.x.dtype, at, 1, n, p.whole);
    load_run(cs, p.cs.data, F32, row * p.cs.outer + column, 1, n, p.cs_whole);
#pragma unroll
    for (int k = 0; k < RUN; k += 2) {
        float cosine = cs[k], sine = p.sign * cs[k + 1], a = v[k], b = v[k + 1];
        v[k] = a * cosine - b * sine;
        v[k + 1] = a * sine + b * cosine;
    }
    store_run(v, p.x.data, p.x.dtype, at, 1, n, p.whole);
}
