// quant.qdq, quant.dequant

#include "number.h"
#include "ops.h"
#include "tensor.h"

static void check_qdq(const any_desc *desc, refusal *no) {
    const ohal_quant_qdq_desc *d = &desc->quant_qdq;
    want_size(no, "rows", d->rows);
    want_size(no, "heads", d->heads);
    want_size(no, "width", d->width);
    want_field(no, d->group > 0 && d->width % d->group == 0, "group", d->group, "a divisor of `width`");
    want_word(no, "kind", d->kind, OHAL_QUANT_F4E2M1);
    want_float(no, "dtype", d->dtype);
    want_elements(no, "x", d->rows, d->heads, d->width);
}

// A vector.
static uint64_t qdq_workspace(const any_desc *desc) {
    return desc->quant_qdq.width;
}

static void run_qdq(const any_desc *desc, call *c) {
    const ohal_quant_qdq_desc *d = &desc->quant_qdq;
    float *vector = workspace_of(c);
    for (uint64_t row = 0; row < d->rows; row++) {
        for (uint64_t head = 0; head < d->heads; head++) {
            line_load(line_of_3d(c->views[OHAL_QUANT_QDQ_X], row, head), d->width, vector);
            for (uint64_t i = 0; i < d->width; i += d->group) {
                round_group(d->kind, vector + i, d->group);
            }
            line_store(line_of_3d(c->views[OHAL_QUANT_QDQ_Y], row, head), d->width, vector);
        }
    }
}

static void check_dequant(const any_desc *desc, refusal *no) {
    const ohal_quant_dequant_desc *d = &desc->quant_dequant;
    want_size(no, "rows", d->rows);
    want_size(no, "width", d->width);
    want_weight(no, "format", &d->format);
    want_field(no, d->format.kind == OHAL_FORMAT_BLOCKED, "format", d->format.kind, "a blocked format (1)");
    want_float(no, "output", d->output);
    want_elements(no, "w", d->rows, d->width, 1);
}

// A row.
static uint64_t dequant_workspace(const any_desc *desc) {
    return desc->quant_dequant.width;
}

static void run_dequant(const any_desc *desc, call *c) {
    const ohal_quant_dequant_desc *d = &desc->quant_dequant;
    float *values = workspace_of(c);
    for (uint64_t row = 0; row < d->rows; row++) {
        weight_load_row(c->views[OHAL_QUANT_DEQUANT_W], 0, row, values);
        line_store(line_of_2d(c->views[OHAL_QUANT_DEQUANT_Y], row), d->width, values);
    }
}

const op_kernel quant_qdq = {
    .kind = OHAL_OP_QUANT_QDQ,
    .args = OHAL_QUANT_QDQ_ARGS,
    .desc_size = sizeof(ohal_quant_qdq_desc),
    .check = check_qdq,
    .workspace = qdq_workspace,
    .run = run_qdq,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel quant_dequant = {
    .kind = OHAL_OP_QUANT_DEQUANT,
    .args = OHAL_QUANT_DEQUANT_ARGS,
    .desc_size = sizeof(ohal_quant_dequant_desc),
    .check = check_dequant,
    .workspace = dequant_workspace,
    .run = run_dequant,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
