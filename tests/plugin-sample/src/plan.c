// Answering `supports`, making plans. Both ask the same function, so that they cannot disagree.

#include "plan.h"

#include <stdio.h>
#include <string.h>

// The header's limit.
static const uint64_t MAX_WORKSPACE = UINT64_C(1) << 46;

// Copies a descriptor of any version: members that are missing are 0, members that this plug-in does not know must be 0.
static void read_desc(const ohal_op *op, const op_kernel *kernel, any_desc *desc, refusal *no) {
    memset(desc, 0, sizeof *desc);
    const unsigned char *bytes = op->desc;
    const uint64_t common = op->desc_size < kernel->desc_size ? op->desc_size : kernel->desc_size;
    memcpy(desc, bytes, common);
    for (uint64_t i = common; i < op->desc_size; i++) {
        if (bytes[i] != 0) {
            deny(no, OHAL_ERROR_UNSUPPORTED, "the descriptor has %llu bytes, this plug-in knows the first %llu: build it with newer headers",
                 (unsigned long long)op->desc_size, (unsigned long long)kernel->desc_size);
            return;
        }
    }
}

// Makes the plan of an operator, or says why there is none.
static ohal_plan plan_of(const ohal_op *op, refusal *no) {
    ohal_plan plan = {0};
    if (!HAS(ohal_op, op, desc_size) || op->desc == NULL) {
        deny(no, OHAL_ERROR_INVALID_ARGUMENT, "the operator has no descriptor");
        return plan;
    }
    plan.kernel = kernel_of(op->kind);
    if (plan.kernel == NULL && op->kind < OHAL_OP_COUNT) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "this plug-in has the core operators only: compose the fused one of them");
    } else if (plan.kernel == NULL) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "operator number %u is unknown to this plug-in", op->kind);
    } else {
        read_desc(op, plan.kernel, &plan.desc, no);
    }
    if (!no->set) {
        plan.kernel->check(&plan.desc, no);
    }
    if (!no->set && plan_workspace(&plan) > MAX_WORKSPACE) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "a run would need %llu bytes of workspace, expected at most %llu",
             (unsigned long long)plan_workspace(&plan), (unsigned long long)MAX_WORKSPACE);
    }
    return plan;
}

uint64_t plan_workspace(const ohal_plan *plan) {
    return plan->kernel->workspace == NULL ? 0 : plan->kernel->workspace(&plan->desc) * sizeof(float);
}

ohal_error *sample_supports(ohal_device *device, const ohal_op *op, ohal_support *out) {
    (void)device;
    refusal no = {0};
    plan_of(op, &no);
    SET(ohal_support, out, kind, no.set ? OHAL_SUPPORT_NO : OHAL_SUPPORT_NATIVE);
    if (no.set && HAS(ohal_support, out, reason) && out->reason.capacity > 0) {
        const uint64_t length = strlen(no.text);
        out->reason.len = length < out->reason.capacity ? length : out->reason.capacity;
        memcpy(out->reason.data, no.text, out->reason.len);
    }
    return NULL;
}

ohal_error *sample_plan_create(ohal_device *device, const ohal_op *op, ohal_plan **out) {
    (void)device;
    refusal no = {0};
    const ohal_plan made = plan_of(op, &no);
    if (no.set) {
        return refuse(no.kind, op->kind, "%s", no.text);
    }
    ohal_plan *plan = host_new(sizeof *plan);
    if (plan == NULL) {
        return no_memory_for("a plan");
    }
    *plan = made;
    *out = plan;
    return NULL;
}

void sample_plan_destroy(ohal_plan *plan) {
    host_delete(plan, sizeof *plan);
}

ohal_error *sample_plan_info(ohal_plan *plan, ohal_plan_info *out) {
    SET(ohal_plan_info, out, determinism, plan->kernel->determinism);
    SET(ohal_plan_info, out, accumulation, plan->kernel->accumulation);
    SET(ohal_plan_info, out, capture_safe, 1);
    SET(ohal_plan_info, out, workspace, plan_workspace(plan));
    return NULL;
}
