// Operators: what each needs to know and to do. The functions are in ops/<family>.c.

#ifndef OPS_H
#define OPS_H

#include "check.h"
#include "sample.h"

// Most arguments that a core operator has.
enum { MAX_ARGS = 5 };

// Any core operator's descriptor.
typedef union any_desc {
    ohal_embed_lookup_desc embed_lookup;
    ohal_norm_rms_desc norm_rms;
    ohal_gemm_linear_desc gemm_linear;
    ohal_gemm_batched_desc gemm_batched;
    ohal_gemm_grouped_desc gemm_grouped;
    ohal_quant_qdq_desc quant_qdq;
    ohal_quant_dequant_desc quant_dequant;
    ohal_rope_apply_desc rope_apply;
    ohal_moe_group_desc moe_group;
    ohal_cache_rows_desc cache_rows;
    ohal_sample_topk_desc sample_topk;
    ohal_elementwise_unary_desc elementwise_unary;
    ohal_elementwise_binary_desc elementwise_binary;
    ohal_elementwise_where_desc elementwise_where;
    ohal_elementwise_reduce_desc elementwise_reduce;
    ohal_elementwise_softmax_desc elementwise_softmax;
    ohal_elementwise_cumsum_desc elementwise_cumsum;
    ohal_copy_copy_desc copy_copy;
    ohal_copy_fill_desc copy_fill;
    ohal_copy_gather_desc copy_gather;
    ohal_copy_scatter_desc copy_scatter;
    ohal_copy_take_desc copy_take;
    ohal_copy_concat_desc copy_concat;
} any_desc;

// One run. `views` are the arguments by their place, NULL where the descriptor leaves one out.
typedef struct call {
    const ohal_view *views[MAX_ARGS];
    ohal_mem workspace;
    // Set by `fail_run`.
    bool failed;
    char why[TEXT_SIZE];
} call;

// Reports that the run failed. The processor's kernels cannot fail; those of a device report its error codes here.
void fail_run(call *c, const char *why);

// The workspace as floats.
float *workspace_of(const call *c);

// An operator of this plug-in.
typedef struct op_kernel {
    ohal_op_kind kind;
    uint32_t args;
    uint64_t desc_size;
    // Refuses descriptors that it cannot run. Nothing is checked after that.
    void (*check)(const any_desc *desc, refusal *no);
    // Floats of scratch memory that a run needs. NULL: none.
    uint64_t (*workspace)(const any_desc *desc);
    // Computes.
    void (*run)(const any_desc *desc, call *c);
    ohal_determinism determinism;
    ohal_accumulation accumulation;
} op_kernel;

extern const op_kernel embed_lookup;
extern const op_kernel norm_rms;
extern const op_kernel gemm_linear;
extern const op_kernel gemm_batched;
extern const op_kernel gemm_grouped;
extern const op_kernel quant_qdq;
extern const op_kernel quant_dequant;
extern const op_kernel rope_apply;
extern const op_kernel moe_group;
extern const op_kernel cache_rows;
extern const op_kernel sample_topk;
extern const op_kernel elementwise_unary;
extern const op_kernel elementwise_binary;
extern const op_kernel elementwise_where;
extern const op_kernel elementwise_reduce;
extern const op_kernel elementwise_softmax;
extern const op_kernel elementwise_cumsum;
extern const op_kernel copy_copy;
extern const op_kernel copy_fill;
extern const op_kernel copy_gather;
extern const op_kernel copy_scatter;
extern const op_kernel copy_take;
extern const op_kernel copy_concat;

// The kernel of an operator; NULL if the plug-in has none.
const op_kernel *kernel_of(ohal_op_kind kind);

#endif
