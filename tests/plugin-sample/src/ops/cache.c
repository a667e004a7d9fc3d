// cache.rows

#include "ops.h"
#include "tensor.h"

static void check(const any_desc *desc, refusal *no) {
    const ohal_cache_rows_desc *d = &desc->cache_rows;
    want_size(no, "rows", d->rows);
    want_size(no, "count", d->count);
    want_size(no, "tables", d->tables);
    want_size(no, "table", d->table);
    want_size(no, "entries", d->entries);
    want_elements(no, "pt", d->tables, d->table, 1);
    want_elements(no, "j", d->rows, d->count, 1);
}

// The pool row of entry `j`; 0, the null row, if the entry is absent.
static int32_t pool_row(const ohal_cache_rows_desc *d, line table, int32_t j) {
    if (j < 0 || (uint64_t)j >= d->table * d->entries) {
        return 0;
    }
    const int32_t page = line_index(table, (uint64_t)j / d->entries);
    return page < 0 ? 0 : (int32_t)((uint64_t)page * d->entries + (uint64_t)j % d->entries);
}

static void run(const any_desc *desc, call *c) {
    const ohal_cache_rows_desc *d = &desc->cache_rows;
    const line which = line_of_1d(c->views[OHAL_CACHE_ROWS_WHICH]);
    for (uint64_t row = 0; row < d->rows; row++) {
        const int32_t table = line_index(which, row);
        const line j = line_of_2d(c->views[OHAL_CACHE_ROWS_J], row);
        const line phys = line_of_2d(c->views[OHAL_CACHE_ROWS_PHYS], row);
        if (table < 0 || (uint64_t)table >= d->tables) {
            line_fill(phys, d->count, 0);
            continue;
        }
        const line pages = line_of_2d(c->views[OHAL_CACHE_ROWS_PT], (uint64_t)table);
        for (uint64_t i = 0; i < d->count; i++) {
            line_set_index(phys, i, pool_row(d, pages, line_index(j, i)));
        }
    }
}

const op_kernel cache_rows = {
    .kind = OHAL_OP_CACHE_ROWS,
    .args = OHAL_CACHE_ROWS_ARGS,
    .desc_size = sizeof(ohal_cache_rows_desc),
    .check = check,
    .run = run,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
