// elementwise.unary, elementwise.binary, elementwise.where

#include "number.h"
#include "ops.h"
#include "tensor.h"

#include <math.h>

// Elements that are converted at a time: they lie on the stack, so these operators need no workspace.
enum { CHUNK = 256 };

static uint64_t chunk_at(uint64_t from, uint64_t length) {
    return length - from < CHUNK ? length - from : CHUNK;
}

static void check_unary(const any_desc *desc, refusal *no) {
    const ohal_elementwise_unary_desc *d = &desc->elementwise_unary;
    want_shape(no, "shape", &d->shape);
    want_word(no, "func", d->func.kind, OHAL_FUNC_LOG);
    want_number(no, "func", d->func.low);
    want_number(no, "func", d->func.high);
    want_number(no, "alpha", d->alpha);
    want_number(no, "beta", d->beta);
    want_number(no, "gamma", d->gamma);
    want_number(no, "delta", d->delta);
    want_float_or_index(no, "input", d->input);
    want_float_or_index(no, "output", d->output);
}

// log(1 + e^x) is x to the last bit above 20, where e^x would soon leave the range of a float (deepseek-v4.md 6).
static float sqrt_softplus(float x) {
    return sqrtf(x > 20 ? x : log1pf(expf(x)));
}

// A NaN stays one in all of them: no comparison with it holds.
static float function(const ohal_func *f, float x) {
    switch (f->kind) {
    case OHAL_FUNC_EXP: return expf(x);
    case OHAL_FUNC_RELU: return x < 0 ? 0 : x;
    case OHAL_FUNC_SIGMOID: return 1 / (1 + expf(-x));
    case OHAL_FUNC_SILU: return x / (1 + expf(-x));
    case OHAL_FUNC_SQRT: return sqrtf(x);
    case OHAL_FUNC_RSQRT: return 1 / sqrtf(x);
    case OHAL_FUNC_ABS: return fabsf(x);
    case OHAL_FUNC_FLOOR: return floorf(x);
    case OHAL_FUNC_CLAMP: return x < f->low ? f->low : x > f->high ? f->high : x;
    case OHAL_FUNC_SQRT_SOFTPLUS: return sqrt_softplus(x);
    case OHAL_FUNC_LOG: return logf(x);
    default: return x;
    }
}

static void run_unary(const any_desc *desc, call *c) {
    const ohal_elementwise_unary_desc *d = &desc->elementwise_unary;
    const uint64_t length = shape_line_length(&d->shape);
    for (uint64_t number = 0; number < shape_lines(&d->shape); number++) {
        const line x = line_of_shape(c->views[OHAL_ELEMENTWISE_UNARY_X], &d->shape, number);
        const line y = line_of_shape(c->views[OHAL_ELEMENTWISE_UNARY_Y], &d->shape, number);
        for (uint64_t from = 0; from < length; from += CHUNK) {
            const uint64_t count = chunk_at(from, length);
            float values[CHUNK];
            line_load(line_from(x, from), count, values);
            for (uint64_t i = 0; i < count; i++) {
                values[i] = d->gamma * function(&d->func, d->alpha * values[i] + d->beta) + d->delta;
            }
            line_store(line_from(y, from), count, values);
        }
    }
}

static void check_binary(const any_desc *desc, refusal *no) {
    const ohal_elementwise_binary_desc *d = &desc->elementwise_binary;
    want_shape(no, "shape", &d->shape);
    want_broadcast(no, "a_shape", &d->a_shape, &d->shape);
    want_broadcast(no, "b_shape", &d->b_shape, &d->shape);
    want_word(no, "arith", d->arith, OHAL_ARITH_MAX);
    want_number(no, "eps", d->eps);
    want_number(no, "scale", d->scale);
    want_float_or_index(no, "a", d->a);
    want_float_or_index(no, "b", d->b);
    want_float_or_index(no, "output", d->output);
}

static float arithmetic(const ohal_elementwise_binary_desc *d, float a, float b) {
    switch (d->arith) {
    case OHAL_ARITH_ADD: return a + b;
    case OHAL_ARITH_SUB: return a - b;
    case OHAL_ARITH_MUL: return a * b;
    case OHAL_ARITH_DIV: return d->scale * a / (b + d->eps);
    default: break;
    }
    if (isnan(a) || isnan(b)) {
        return NAN;
    }
    return (d->arith == OHAL_ARITH_MIN) == (a < b) ? a : b;
}

static void run_binary(const any_desc *desc, call *c) {
    const ohal_elementwise_binary_desc *d = &desc->elementwise_binary;
    const uint64_t length = shape_line_length(&d->shape);
    for (uint64_t number = 0; number < shape_lines(&d->shape); number++) {
        const line a = line_of_shape(c->views[OHAL_ELEMENTWISE_BINARY_A], &d->shape, number);
        const line b = line_of_shape(c->views[OHAL_ELEMENTWISE_BINARY_B], &d->shape, number);
        const line y = line_of_shape(c->views[OHAL_ELEMENTWISE_BINARY_Y], &d->shape, number);
        for (uint64_t from = 0; from < length; from += CHUNK) {
            const uint64_t count = chunk_at(from, length);
            float left[CHUNK], right[CHUNK];
            line_load(line_from(a, from), count, left);
            line_load(line_from(b, from), count, right);
            for (uint64_t i = 0; i < count; i++) {
                left[i] = arithmetic(d, left[i], right[i]);
            }
            line_store(line_from(y, from), count, left);
        }
    }
}

static void check_source(refusal *no, const char *field, const ohal_source *source, const ohal_shape *full) {
    want_word(no, field, source->kind, OHAL_SOURCE_CONST);
    if (source->kind == OHAL_SOURCE_TENSOR) {
        want_broadcast(no, field, &source->shape, full);
    } else {
        want_number(no, field, source->value);
    }
}

static void check_where(const any_desc *desc, refusal *no) {
    const ohal_elementwise_where_desc *d = &desc->elementwise_where;
    want_shape(no, "shape", &d->shape);
    want_broadcast(no, "a_shape", &d->a_shape, &d->shape);
    want_word(no, "cmp", d->cmp, OHAL_CMP_EQ);
    check_source(no, "b", &d->b, &d->shape);
    check_source(no, "p", &d->p, &d->shape);
    check_source(no, "q", &d->q, &d->shape);
    want_dtype(no, "compared", d->compared);
    want_dtype(no, "dtype", d->dtype);
}

static bool holds(ohal_cmp cmp, double a, double b) {
    switch (cmp) {
    case OHAL_CMP_LT: return a < b;
    case OHAL_CMP_GE: return a >= b;
    case OHAL_CMP_GT: return a > b;
    default: return a == b;
    }
}

// One line of an operand that is a tensor or a constant.
typedef struct operand {
    bool constant;
    line tensor;
    double value;
    uint64_t code;
} operand;

static operand operand_of(const ohal_source *source, ohal_dtype dtype, const ohal_view *view, const ohal_shape *shape, uint64_t number) {
    if (source->kind == OHAL_SOURCE_CONST) {
        return (operand){.constant = true, .value = source->value, .code = encode(dtype, source->value)};
    }
    return (operand){.tensor = line_of_shape(view, shape, number)};
}

// Compared as double, which holds every F32 and every I32; what is chosen is moved, not computed.
static void run_where(const any_desc *desc, call *c) {
    const ohal_elementwise_where_desc *d = &desc->elementwise_where;
    const uint64_t length = shape_line_length(&d->shape);
    for (uint64_t number = 0; number < shape_lines(&d->shape); number++) {
        const line a = line_of_shape(c->views[OHAL_ELEMENTWISE_WHERE_A], &d->shape, number);
        const operand b = operand_of(&d->b, d->compared, c->views[OHAL_ELEMENTWISE_WHERE_B], &d->shape, number);
        const operand p = operand_of(&d->p, d->dtype, c->views[OHAL_ELEMENTWISE_WHERE_P], &d->shape, number);
        const operand q = operand_of(&d->q, d->dtype, c->views[OHAL_ELEMENTWISE_WHERE_Q], &d->shape, number);
        const line y = line_of_shape(c->views[OHAL_ELEMENTWISE_WHERE_Y], &d->shape, number);
        for (uint64_t i = 0; i < length; i++) {
            const double other = b.constant ? b.value : line_value(b.tensor, i);
            const operand *chosen = holds(d->cmp, line_value(a, i), other) ? &p : &q;
            line_set_code(y, i, chosen->constant ? chosen->code : line_code(chosen->tensor, i));
        }
    }
}

const op_kernel elementwise_unary = {
    .kind = OHAL_OP_ELEMENTWISE_UNARY,
    .args = OHAL_ELEMENTWISE_UNARY_ARGS,
    .desc_size = sizeof(ohal_elementwise_unary_desc),
    .check = check_unary,
    .run = run_unary,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel elementwise_binary = {
    .kind = OHAL_OP_ELEMENTWISE_BINARY,
    .args = OHAL_ELEMENTWISE_BINARY_ARGS,
    .desc_size = sizeof(ohal_elementwise_binary_desc),
    .check = check_binary,
    .run = run_binary,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel elementwise_where = {
    .kind = OHAL_OP_ELEMENTWISE_WHERE,
    .args = OHAL_ELEMENTWISE_WHERE_ARGS,
    .desc_size = sizeof(ohal_elementwise_where_desc),
    .check = check_where,
    .run = run_where,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
