// rope.apply

#include "ops.h"
#include "tensor.h"

static void check(const any_desc *desc, refusal *no) {
    const ohal_rope_apply_desc *d = &desc->rope_apply;
    want_size(no, "rows", d->rows);
    want_size(no, "heads", d->heads);
    want_size(no, "width", d->width);
    want_size(no, "rotary", d->rotary);
    want_field(no, d->rotary % 2 == 0 && d->rotary <= d->width, "rotary", d->rotary, "even and at most `width`");
    want_flag(no, "inverse", d->inverse);
    want_float(no, "dtype", d->dtype);
    want_elements(no, "x", d->rows, d->heads, d->width);
}

// The rotated channels of a vector, and the angles of a row.
static uint64_t workspace(const any_desc *desc) {
    return 2 * desc->rope_apply.rotary;
}

static void run(const any_desc *desc, call *c) {
    const ohal_rope_apply_desc *d = &desc->rope_apply;
    float *channels = workspace_of(c);
    float *angles = channels + d->rotary;
    for (uint64_t row = 0; row < d->rows; row++) {
        line_load(line_of_2d(c->views[OHAL_ROPE_APPLY_CS], row), d->rotary, angles);
        for (uint64_t head = 0; head < d->heads; head++) {
            const line x = line_from(line_of_3d(c->views[OHAL_ROPE_APPLY_X], row, head), d->width - d->rotary);
            line_load(x, d->rotary, channels);
            for (uint64_t i = 0; i < d->rotary; i += 2) {
                const float cosine = angles[i];
                const float sine = d->inverse ? -angles[i + 1] : angles[i + 1];
                const float re = channels[i];
                const float im = channels[i + 1];
                channels[i] = re * cosine - im * sine;
                channels[i + 1] = re * sine + im * cosine;
            }
            line_store(x, d->rotary, channels);
        }
    }
}

const op_kernel rope_apply = {
    .kind = OHAL_OP_ROPE_APPLY,
    .args = OHAL_ROPE_APPLY_ARGS,
    .desc_size = sizeof(ohal_rope_apply_desc),
    .check = check,
    .workspace = workspace,
    .run = run,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
