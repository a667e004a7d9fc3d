// norm.rms

#include "ops.h"
#include "tensor.h"

#include <math.h>

static void check(const any_desc *desc, refusal *no) {
    const ohal_norm_rms_desc *d = &desc->norm_rms;
    want_size(no, "rows", d->rows);
    want_size(no, "heads", d->heads);
    want_size(no, "width", d->width);
    want_number(no, "eps", d->eps);
    if (d->weight != OHAL_NONE) {
        want_float(no, "weight", d->weight);
    }
    want_float(no, "input", d->input);
    want_float(no, "output", d->output);
    want_elements(no, "x", d->rows, d->heads, d->width);
}

// A vector and the weight.
static uint64_t workspace(const any_desc *desc) {
    return 2 * desc->norm_rms.width;
}

// The sum of squares is kept in double: one number a vector costs nothing, and squares cannot leave its range.
static float inverse_root(const float *x, uint64_t width, float eps) {
    double sum = 0;
    for (uint64_t i = 0; i < width; i++) {
        sum += (double)x[i] * x[i];
    }
    // A vector of zeros stays one, also without an epsilon.
    return sum == 0 ? 0 : (float)(1 / sqrt(sum / (double)width + eps));
}

static void run(const any_desc *desc, call *c) {
    const ohal_norm_rms_desc *d = &desc->norm_rms;
    float *vector = workspace_of(c);
    float *weight = vector + d->width;
    if (d->weight != OHAL_NONE) {
        line_load(line_of_1d(c->views[OHAL_NORM_RMS_WEIGHT]), d->width, weight);
    }
    for (uint64_t row = 0; row < d->rows; row++) {
        for (uint64_t head = 0; head < d->heads; head++) {
            line_load(line_of_3d(c->views[OHAL_NORM_RMS_X], row, head), d->width, vector);
            const float factor = inverse_root(vector, d->width, d->eps);
            for (uint64_t i = 0; i < d->width; i++) {
                const float normed = vector[i] * factor;
                vector[i] = d->weight == OHAL_NONE ? normed : normed * weight[i];
            }
            line_store(line_of_3d(c->views[OHAL_NORM_RMS_Y], row, head), d->width, vector);
        }
    }
}

const op_kernel norm_rms = {
    .kind = OHAL_OP_NORM_RMS,
    .args = OHAL_NORM_RMS_ARGS,
    .desc_size = sizeof(ohal_norm_rms_desc),
    .check = check,
    .workspace = workspace,
    .run = run,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F64,
};
