// Plug-ins that do what no plug-in should, for tests of whatever loads plug-ins. Each is the sample with one thing changed; all else about it
// works. Compiled with the sample's sources in place of entry.c, and -DMISBEHAVE= one of these names:

enum {
    SEGFAULT, // norm.rms writes to an address where nothing is
    HANG,     // rope.apply never returns
    OUTSIDE,  // gemm.linear writes one element past the end of its result
    IDLE,     // every operator leaves its results as they were
    FALLBACK, // gemm.linear is right, but says that the host's processor computed it
    EXIT,     // copy.gather ends the process with code 3
    ABORT,    // sample.topk aborts
    GLUTTON,  // quant.qdq takes memory until there is none, and does not look whether it got any
    REFUSES,  // gemm.batched is supported, but refused when it is planned
    ACCEPTS,  // moe.group is not supported, but planned all the same
    FAILS,    // elementwise.softmax fails while it runs, which poisons its stream
};

#include "number.h"
#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The operator that misbehaves. IDLE concerns them all.
static const ohal_op_kind targets[] = {
    [SEGFAULT] = OHAL_OP_NORM_RMS,
    [HANG] = OHAL_OP_ROPE_APPLY,
    [OUTSIDE] = OHAL_OP_GEMM_LINEAR,
    [IDLE] = OHAL_NONE,
    [FALLBACK] = OHAL_OP_GEMM_LINEAR,
    [EXIT] = OHAL_OP_COPY_GATHER,
    [ABORT] = OHAL_OP_SAMPLE_TOPK,
    [GLUTTON] = OHAL_OP_QUANT_QDQ,
    [REFUSES] = OHAL_OP_GEMM_BATCHED,
    [ACCEPTS] = OHAL_OP_MOE_GROUP,
    [FAILS] = OHAL_OP_ELEMENTWISE_SOFTMAX,
};

static const ohal_host *the_host;

// Kernels that differ from the sample's in `run`; filled in by the entry.
static op_kernel changed[OHAL_OP_COUNT];

static bool is_target(ohal_op_kind kind) {
    return MISBEHAVE == IDLE || kind == targets[MISBEHAVE];
}

static void segfault(void) {
    // An address that the compiler does not know, or it would warn.
    volatile uintptr_t nowhere = 8;
    *(volatile int *)nowhere = 1;
}

static void hang(void) {
    for (;;) {
        sleep(1);
    }
}

static void write_outside(const ohal_view *y) {
    const uint64_t end = (y->shape.dims[0] - 1) * y->strides[0] + (y->shape.dims[1] - 1) * y->strides[1] + 1;
    const uint64_t size = dtype_bits(y->dtype) / 8;
    memset((char *)(uintptr_t)(y->mem.addr + y->offset) + end * size, 0x5A, size);
}

static void eat(void) {
    // Written to, or the system would only promise it.
    for (const size_t bite = (size_t)64 << 20;;) {
        memset(malloc(bite), 1, bite);
    }
}

static void run(const any_desc *desc, call *c) {
    switch (MISBEHAVE) {
    case SEGFAULT: segfault(); break;
    case HANG: hang(); break;
    case OUTSIDE:
        gemm_linear.run(desc, c);
        write_outside(c->views[OHAL_GEMM_LINEAR_Y]);
        break;
    case FALLBACK:
        gemm_linear.run(desc, c);
        the_host->report_fallback(the_host, OHAL_OP_GEMM_LINEAR, text_of("this device cannot multiply"));
        break;
    case EXIT: exit(3);
    case ABORT: abort();
    case GLUTTON: eat(); break;
    case FAILS: fail_run(c, "the device reported an error that it made up"); break;
    default: break;
    }
}

// The plan's kernel is replaced, not the stream's function: captured runs misbehave too.
static ohal_error *plan_create(ohal_device *device, const ohal_op *op, ohal_plan **out) {
    if (MISBEHAVE == REFUSES && is_target(op->kind)) {
        return refuse(OHAL_ERROR_UNSUPPORTED, op->kind, "that this operator is supported was only a promise");
    }
    ohal_error *error = sample_plan_create(device, op, out);
    if (error == NULL && MISBEHAVE != ACCEPTS && is_target(op->kind)) {
        (*out)->kernel = &changed[op->kind];
    }
    return error;
}

static ohal_error *supports(ohal_device *device, const ohal_op *op, ohal_support *out) {
    ohal_error *error = sample_supports(device, op, out);
    if (MISBEHAVE == ACCEPTS && is_target(op->kind)) {
        out->kind = OHAL_SUPPORT_NO;
    }
    return error;
}

OHAL_EXPORT const ohal_plugin *ohal_plugin_entry(const ohal_host *host) {
    static ohal_plugin table;
    const ohal_plugin *good = sample_table(host);
    if (good == NULL) {
        return NULL;
    }
    the_host = host;
    for (ohal_op_kind kind = 0; kind < OHAL_OP_COUNT; kind++) {
        if (kernel_of(kind) != NULL) {
            changed[kind] = *kernel_of(kind);
            changed[kind].run = run;
        }
    }
    table = *good;
    table.plan_create = plan_create;
    table.supports = supports;
    return &table;
}
