// The list of operators, and what kernels share.

#include "ops.h"

#include <stdio.h>

static const op_kernel *const kernels[OHAL_OP_COUNT] = {
    [OHAL_OP_EMBED_LOOKUP] = &embed_lookup,
    [OHAL_OP_NORM_RMS] = &norm_rms,
    [OHAL_OP_GEMM_LINEAR] = &gemm_linear,
    [OHAL_OP_GEMM_BATCHED] = &gemm_batched,
    [OHAL_OP_GEMM_GROUPED] = &gemm_grouped,
    [OHAL_OP_QUANT_QDQ] = &quant_qdq,
    [OHAL_OP_QUANT_DEQUANT] = &quant_dequant,
    [OHAL_OP_ROPE_APPLY] = &rope_apply,
    [OHAL_OP_MOE_GROUP] = &moe_group,
    [OHAL_OP_CACHE_ROWS] = &cache_rows,
    [OHAL_OP_SAMPLE_TOPK] = &sample_topk,
    [OHAL_OP_ELEMENTWISE_UNARY] = &elementwise_unary,
    [OHAL_OP_ELEMENTWISE_BINARY] = &elementwise_binary,
    [OHAL_OP_ELEMENTWISE_WHERE] = &elementwise_where,
    [OHAL_OP_ELEMENTWISE_REDUCE] = &elementwise_reduce,
    [OHAL_OP_ELEMENTWISE_SOFTMAX] = &elementwise_softmax,
    [OHAL_OP_ELEMENTWISE_CUMSUM] = &elementwise_cumsum,
    [OHAL_OP_COPY_COPY] = &copy_copy,
    [OHAL_OP_COPY_FILL] = &copy_fill,
    [OHAL_OP_COPY_GATHER] = &copy_gather,
    [OHAL_OP_COPY_SCATTER] = &copy_scatter,
    [OHAL_OP_COPY_TAKE] = &copy_take,
    [OHAL_OP_COPY_CONCAT] = &copy_concat,
};

const op_kernel *kernel_of(ohal_op_kind kind) {
    return kind < OHAL_OP_COUNT ? kernels[kind] : NULL;
}

void fail_run(call *c, const char *why) {
    c->failed = true;
    snprintf(c->why, sizeof c->why, "%s", why);
}

float *workspace_of(const call *c) {
    return (float *)(uintptr_t)c->workspace.addr;
}
