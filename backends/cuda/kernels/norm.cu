// norm.rms: one block a vector.
#include "common.cuh"
#include "params_norm.h"

KERNEL(rms_norm, RmsNorm, 256, 4) {
    __shared__ float scratch[32];
    i64 vector = blockIdx.x, at = vector / p.heads * p.x.outer + vector % p.heads * p.x.inner, to = vector / p.heads * p.y.outer + vector % p.heads * p.y.inner;
    float squares = 0.0f;
    for (i32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        float x = load_as_f32(p.x.data, p.x.dtype, at + i);
        squares += x * x;
    }
    float mean = block_sum(squares, scratch) / p.width + p.eps;
    // A vector of zeros stays one, even without an epsilon.
    float factor = mean == 0.0f ? 0.0f : 1.0f / sqrtf(mean);
    for (i32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        float x = load_as_f32(p.x.data, p.x.dtype, at + i) * factor;
        if (p.weight.data) x *= load_as_f32(p.weight.data, p.weight.dtype, i);
        store_f32(p.y.data, p.y.dtype, to + i, x);
    }
}
