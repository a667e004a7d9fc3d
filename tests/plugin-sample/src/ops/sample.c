// sample.topk

#include "ops.h"
#include "tensor.h"

#include <math.h>
#include <string.h>

static void check(const any_desc *desc, refusal *no) {
    const ohal_sample_topk_desc *d = &desc->sample_topk;
    want_size(no, "rows", d->rows);
    want_size(no, "width", d->width);
    want_size(no, "keep", d->keep);
    want_field(no, d->keep <= d->width, "keep", d->keep, "at most `width`");
    want_flag(no, "largest", d->largest);
    want_flag(no, "sorted", d->sorted);
    want_elements(no, "x", d->rows, d->width, 1);
}

// A kept element.
typedef struct kept {
    float value;
    int32_t place;
} kept;

// The kept elements, each as wide as two floats.
static uint64_t workspace(const any_desc *desc) {
    return 2 * desc->sample_topk.keep;
}

// True if `a` is better than `b`. A NaN is worse than every number and not better than another NaN.
static bool better(float a, float b, bool largest) {
    if (isnan(a) || isnan(b)) {
        return !isnan(a);
    }
    return largest ? a > b : a < b;
}

// Where a value belongs among `count` sorted elements: after all that are as good, since those have lower places.
static uint64_t rank_of(const kept *best, uint64_t count, float value, bool largest) {
    uint64_t low = 0;
    while (low < count) {
        const uint64_t middle = low + (count - low) / 2;
        if (better(value, best[middle].value, largest)) {
            count = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void run(const any_desc *desc, call *c) {
    const ohal_sample_topk_desc *d = &desc->sample_topk;
    kept *best = (kept *)(uintptr_t)c->workspace.addr;
    for (uint64_t row = 0; row < d->rows; row++) {
        const line x = line_of_2d(c->views[OHAL_SAMPLE_TOPK_X], row);
        uint64_t count = 0;
        for (uint64_t i = 0; i < d->width; i++) {
            float value;
            line_load(line_from(x, i), 1, &value);
            const uint64_t rank = rank_of(best, count, value, d->largest);
            if (rank == d->keep) {
                continue;
            }
            count += count < d->keep;
            memmove(best + rank + 1, best + rank, (count - rank - 1) * sizeof *best);
            best[rank] = (kept){.value = value, .place = (int32_t)i};
        }
        // Best first is legal too where the order is free.
        for (uint64_t i = 0; i < d->keep; i++) {
            line_store(line_from(line_of_2d(c->views[OHAL_SAMPLE_TOPK_VALUES], row), i), 1, &best[i].value);
            line_set_index(line_of_2d(c->views[OHAL_SAMPLE_TOPK_IDX], row), i, best[i].place);
        }
    }
}

const op_kernel sample_topk = {
    .kind = OHAL_OP_SAMPLE_TOPK,
    .args = OHAL_SAMPLE_TOPK_ARGS,
    .desc_size = sizeof(ohal_sample_topk_desc),
    .check = check,
    .workspace = workspace,
    .run = run,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
