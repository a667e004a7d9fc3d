// embed.lookup

#include "ops.h"
#include "tensor.h"

static void check(const any_desc *desc, refusal *no) {
    const ohal_embed_lookup_desc *d = &desc->embed_lookup;
    want_size(no, "rows", d->rows);
    want_size(no, "vocab", d->vocab);
    want_size(no, "width", d->width);
    want_size(no, "copies", d->copies);
    want_float(no, "table", d->table);
    want_float(no, "act", d->act);
    want_elements(no, "table", d->vocab, d->width, 1);
    want_elements(no, "x", d->rows, d->copies, d->width);
}

static void run(const any_desc *desc, call *c) {
    const ohal_embed_lookup_desc *d = &desc->embed_lookup;
    const ohal_view *table = c->views[OHAL_EMBED_LOOKUP_TABLE];
    const line ids = line_of_1d(c->views[OHAL_EMBED_LOOKUP_IDS]);
    for (uint64_t row = 0; row < d->rows; row++) {
        const int32_t id = line_index(ids, row);
        for (uint64_t copy = 0; copy < d->copies; copy++) {
            const line x = line_of_3d(c->views[OHAL_EMBED_LOOKUP_X], row, copy);
            if (id >= 0 && (uint64_t)id < d->vocab) {
                line_move(x, line_of_2d(table, (uint64_t)id), d->width);
            } else {
                line_fill(x, d->width, 0);
            }
        }
    }
}

const op_kernel embed_lookup = {
    .kind = OHAL_OP_EMBED_LOOKUP,
    .args = OHAL_EMBED_LOOKUP_ARGS,
    .desc_size = sizeof(ohal_embed_lookup_desc),
    .check = check,
    .run = run,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
