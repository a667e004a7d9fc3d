// moe.group

#include "ops.h"
#include "tensor.h"

static void check(const any_desc *desc, refusal *no) {
    const ohal_moe_group_desc *d = &desc->moe_group;
    want_size(no, "rows", d->rows);
    want_size(no, "choices", d->choices);
    want_size(no, "local", d->local);
    want_field(no, d->first <= INT32_MAX, "first", d->first, "the number of an expert");
    want_elements(no, "idx", d->rows, d->choices, 1);
    want_field(no, no->set || d->rows * d->choices <= INT32_MAX, "rows", d->rows, "pairs that an I32 can count");
}

// The next free place of each expert, and of the pairs that have no local one. The counters are I32, as wide as floats.
static uint64_t workspace(const any_desc *desc) {
    return desc->moe_group.local + 1;
}

// The group of a pair: its local expert, or the one after the last.
static uint64_t group_of(const ohal_moe_group_desc *d, int32_t expert) {
    if (expert < 0 || (uint64_t)expert < d->first || (uint64_t)expert - d->first >= d->local) {
        return d->local;
    }
    return (uint64_t)expert - d->first;
}

// A counting sort: count, then turn counts into first places, then hand out places in the order of the pairs.
static void run(const any_desc *desc, call *c) {
    const ohal_moe_group_desc *d = &desc->moe_group;
    int32_t *next = (int32_t *)(uintptr_t)c->workspace.addr;
    for (uint64_t group = 0; group <= d->local; group++) {
        next[group] = 0;
    }
    for (uint64_t row = 0; row < d->rows; row++) {
        const line idx = line_of_2d(c->views[OHAL_MOE_GROUP_IDX], row);
        for (uint64_t choice = 0; choice < d->choices; choice++) {
            next[group_of(d, line_index(idx, choice))]++;
        }
    }
    int32_t place = 0;
    for (uint64_t group = 0; group <= d->local; group++) {
        const int32_t count = next[group];
        if (group < d->local) {
            line_set_index(line_of_1d(c->views[OHAL_MOE_GROUP_COUNTS]), group, count);
        }
        next[group] = place;
        place += count;
    }
    for (uint64_t row = 0; row < d->rows; row++) {
        const line idx = line_of_2d(c->views[OHAL_MOE_GROUP_IDX], row);
        for (uint64_t choice = 0; choice < d->choices; choice++) {
            const uint64_t pair = row * d->choices + choice;
            const int32_t sorted = next[group_of(d, line_index(idx, choice))]++;
            line_set_index(line_of_1d(c->views[OHAL_MOE_GROUP_PERM]), (uint64_t)sorted, (int32_t)pair);
            line_set_index(line_of_1d(c->views[OHAL_MOE_GROUP_SRC]), (uint64_t)sorted, (int32_t)row);
            line_set_index(line_of_1d(c->views[OHAL_MOE_GROUP_INV]), pair, sorted);
        }
    }
}

const op_kernel moe_group = {
    .kind = OHAL_OP_MOE_GROUP,
    .args = OHAL_MOE_GROUP_ARGS,
    .desc_size = sizeof(ohal_moe_group_desc),
    .check = check,
    .workspace = workspace,
    .run = run,
    // Where a pair goes depends on all other pairs: the same bits again, but not row by row.
    .determinism = OHAL_DETERMINISM_REPEATABLE,
    .accumulation = OHAL_ACCUMULATION_F32,
};
