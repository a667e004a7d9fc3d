// elementwise.reduce, elementwise.softmax, elementwise.cumsum: those of the family that combine elements
//
// Sums are kept in double, one after the other: a line's bits depend on that line alone.

#include "ops.h"
#include "tensor.h"

#include <math.h>

static float at(line l, uint64_t i) {
    float value;
    line_load(line_from(l, i), 1, &value);
    return value;
}

static void set(line l, uint64_t i, float value) {
    line_store(line_from(l, i), 1, &value);
}

static void check_reduce(const any_desc *desc, refusal *no) {
    const ohal_elementwise_reduce_desc *d = &desc->elementwise_reduce;
    want_size(no, "pre", d->pre);
    want_size(no, "len", d->len);
    want_size(no, "post", d->post);
    want_word(no, "op", d->op, OHAL_REDUCTION_MEAN_SQUARE);
    want_number(no, "alpha", d->alpha);
    want_float_or_index(no, "input", d->input);
    want_float_or_index(no, "output", d->output);
    want_elements(no, "x", d->pre, d->len, d->post);
}

// NaN if one of them is.
static float largest(line x, uint64_t length) {
    float top = -INFINITY;
    for (uint64_t i = 0; i < length; i++) {
        const float value = at(x, i);
        if (isnan(value)) {
            return value;
        }
        top = value > top ? value : top;
    }
    return top;
}

static float combine(ohal_reduction op, line x, uint64_t length) {
    if (op == OHAL_REDUCTION_MAX) {
        return largest(x, length);
    }
    double sum = 0;
    for (uint64_t i = 0; i < length; i++) {
        const double value = at(x, i);
        sum += op == OHAL_REDUCTION_SUM ? value : value * value;
    }
    return (float)(op == OHAL_REDUCTION_SUM ? sum : sum / (double)length);
}

static void run_reduce(const any_desc *desc, call *c) {
    const ohal_elementwise_reduce_desc *d = &desc->elementwise_reduce;
    for (uint64_t pre = 0; pre < d->pre; pre++) {
        const line y = line_of_2d(c->views[OHAL_ELEMENTWISE_REDUCE_Y], pre);
        for (uint64_t post = 0; post < d->post; post++) {
            const line x = middle_of_3d(c->views[OHAL_ELEMENTWISE_REDUCE_X], pre, post);
            set(y, post, d->alpha * combine(d->op, x, d->len));
        }
    }
}

static void check_softmax(const any_desc *desc, refusal *no) {
    const ohal_elementwise_softmax_desc *d = &desc->elementwise_softmax;
    want_size(no, "pre", d->pre);
    want_size(no, "len", d->len);
    want_size(no, "post", d->post);
    want_elements(no, "x", d->pre, d->len, d->post);
}

// y may be x: an element is read before its place is written.
static void softmax(line x, line y, uint64_t length) {
    const float top = largest(x, length);
    double sum = 0;
    for (uint64_t i = 0; i < length; i++) {
        const float power = expf(at(x, i) - top);
        set(y, i, power);
        sum += power;
    }
    const float total = (float)sum;
    for (uint64_t i = 0; i < length; i++) {
        set(y, i, at(y, i) / total);
    }
}

static void run_softmax(const any_desc *desc, call *c) {
    const ohal_elementwise_softmax_desc *d = &desc->elementwise_softmax;
    for (uint64_t pre = 0; pre < d->pre; pre++) {
        for (uint64_t post = 0; post < d->post; post++) {
            const line x = middle_of_3d(c->views[OHAL_ELEMENTWISE_SOFTMAX_X], pre, post);
            softmax(x, middle_of_3d(c->views[OHAL_ELEMENTWISE_SOFTMAX_Y], pre, post), d->len);
        }
    }
}

static void check_cumsum(const any_desc *desc, refusal *no) {
    const ohal_elementwise_cumsum_desc *d = &desc->elementwise_cumsum;
    want_size(no, "rows", d->rows);
    want_size(no, "len", d->len);
    want_flag(no, "exclusive", d->exclusive);
    want_elements(no, "x", d->rows, d->len, 1);
}

static void run_cumsum(const any_desc *desc, call *c) {
    const ohal_elementwise_cumsum_desc *d = &desc->elementwise_cumsum;
    for (uint64_t row = 0; row < d->rows; row++) {
        const line x = line_of_2d(c->views[OHAL_ELEMENTWISE_CUMSUM_X], row);
        const line y = line_of_2d(c->views[OHAL_ELEMENTWISE_CUMSUM_Y], row);
        double sum = 0;
        for (uint64_t i = 0; i < d->len; i++) {
            const double before = sum;
            sum += at(x, i);
            set(y, i, (float)(d->exclusive ? before : sum));
        }
    }
}

const op_kernel elementwise_reduce = {
    .kind = OHAL_OP_ELEMENTWISE_REDUCE,
    .args = OHAL_ELEMENTWISE_REDUCE_ARGS,
    .desc_size = sizeof(ohal_elementwise_reduce_desc),
    .check = check_reduce,
    .run = run_reduce,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F64,
};

const op_kernel elementwise_softmax = {
    .kind = OHAL_OP_ELEMENTWISE_SOFTMAX,
    .args = OHAL_ELEMENTWISE_SOFTMAX_ARGS,
    .desc_size = sizeof(ohal_elementwise_softmax_desc),
    .check = check_softmax,
    .run = run_softmax,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F64,
};

const op_kernel elementwise_cumsum = {
    .kind = OHAL_OP_ELEMENTWISE_CUMSUM,
    .args = OHAL_ELEMENTWISE_CUMSUM_ARGS,
    .desc_size = sizeof(ohal_elementwise_cumsum_desc),
    .check = check_cumsum,
    .run = run_cumsum,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F64,
};
