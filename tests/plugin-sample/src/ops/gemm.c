// gemm.linear, gemm.batched, gemm.grouped
//
// All three are inner products of float rows in the workspace. Each is summed in the same order wherever its rows stand, so a row's bits
// do not depend on its neighbours.

#include "ops.h"
#include "number.h"
#include "tensor.h"

// Partial sums of an inner product: enough for a compiler to keep them in vector registers.
enum { LANES = 16 };

// Rows of a weight that are expanded at a time, so that each row of activations is read from far memory once for all of them.
enum { BLOCK = 8 };

// Channels that share a scale when activations are rounded (deepseek-v4.md 2.2).
enum { ROUNDED_GROUP = 128 };

static float dot(const float *a, const float *b, uint64_t count) {
    float lanes[LANES] = {0};
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] += a[i + lane] * b[i + lane];
        }
    }
    for (int lane = 0; i < count; i++, lane++) {
        lanes[lane] += a[i] * b[i];
    }
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < half; lane++) {
            lanes[lane] += lanes[lane + half];
        }
    }
    return lanes[0];
}

static void put(line y, uint64_t i, float product, bool accumulate) {
    const float value = accumulate ? product + (float)line_value(y, i) : product;
    line_store(line_from(y, i), 1, &value);
}

// Rows `first` to `end` of activations with one matrix of a weight. `a` and `w` lie in the workspace; w has room for a block.
typedef struct product {
    const float *a;
    float *w;
    const ohal_view *weight;
    uint64_t matrix;
    uint64_t first;
    uint64_t end;
    uint64_t inner;
    uint64_t outer;
    bool accumulate;
} product;

static void multiply(const product *p, const ohal_view *y) {
    for (uint64_t start = 0; start < p->outer; start += BLOCK) {
        const uint64_t block = p->outer - start < BLOCK ? p->outer - start : BLOCK;
        for (uint64_t o = 0; o < block; o++) {
            weight_load_row(p->weight, p->matrix, start + o, p->w + o * p->inner);
        }
        for (uint64_t row = p->first; row < p->end; row++) {
            for (uint64_t o = 0; o < block; o++) {
                put(line_of_2d(y, row), start + o, dot(p->a + row * p->inner, p->w + o * p->inner, p->inner), p->accumulate);
            }
        }
    }
}

static void check_linear(const any_desc *desc, refusal *no) {
    const ohal_gemm_linear_desc *d = &desc->gemm_linear;
    want_size(no, "rows", d->rows);
    want_size(no, "inner", d->inner);
    want_size(no, "outer", d->outer);
    want_float(no, "input", d->input);
    want_weight(no, "weight", &d->weight);
    want_word(no, "a_quant", d->a_quant, OHAL_ACT_QUANT_F8G128);
    want_float(no, "output", d->output);
    want_flag(no, "accumulate", d->accumulate);
    want_field(no, d->a_quant == OHAL_ACT_QUANT_NONE || d->inner % ROUNDED_GROUP == 0, "inner", d->inner,
               "a multiple of 128 when activations are rounded in groups of 128");
    want_elements(no, "a", d->rows, d->inner, 1);
    want_elements(no, "w", d->outer, d->inner, 1);
    want_elements(no, "y", d->rows, d->outer, 1);
}

// All rows of a, and a block of w.
static uint64_t linear_workspace(const any_desc *desc) {
    return (desc->gemm_linear.rows + BLOCK) * desc->gemm_linear.inner;
}

static void run_linear(const any_desc *desc, call *c) {
    const ohal_gemm_linear_desc *d = &desc->gemm_linear;
    float *a = workspace_of(c);
    for (uint64_t row = 0; row < d->rows; row++) {
        float *values = a + row * d->inner;
        line_load(line_of_2d(c->views[OHAL_GEMM_LINEAR_A], row), d->inner, values);
        for (uint64_t i = 0; d->a_quant == OHAL_ACT_QUANT_F8G128 && i < d->inner; i += ROUNDED_GROUP) {
            round_group(OHAL_QUANT_F8E4M3, values + i, ROUNDED_GROUP);
        }
    }
    const product p = {
        .a = a,
        .w = a + d->rows * d->inner,
        .weight = c->views[OHAL_GEMM_LINEAR_W],
        .end = d->rows,
        .inner = d->inner,
        .outer = d->outer,
        .accumulate = d->accumulate,
    };
    multiply(&p, c->views[OHAL_GEMM_LINEAR_Y]);
}

static void check_batched(const any_desc *desc, refusal *no) {
    const ohal_gemm_batched_desc *d = &desc->gemm_batched;
    want_size(no, "batch", d->batch);
    want_size(no, "m", d->m);
    want_size(no, "inner", d->inner);
    want_size(no, "n", d->n);
    want_flag(no, "transpose_a", d->transpose_a);
    want_flag(no, "transpose_b", d->transpose_b);
    want_float(no, "input", d->input);
    want_float(no, "output", d->output);
    want_number(no, "alpha", d->alpha);
    want_flag(no, "accumulate", d->accumulate);
    want_elements(no, "a", d->batch, d->m, d->inner);
    want_elements(no, "b", d->batch, d->inner, d->n);
    want_elements(no, "y", d->batch, d->m, d->n);
}

// All columns of one b, and a row of a.
static uint64_t batched_workspace(const any_desc *desc) {
    return (desc->gemm_batched.n + 1) * desc->gemm_batched.inner;
}

static void run_batched(const any_desc *desc, call *c) {
    const ohal_gemm_batched_desc *d = &desc->gemm_batched;
    const ohal_view *a = c->views[OHAL_GEMM_BATCHED_A];
    const ohal_view *b = c->views[OHAL_GEMM_BATCHED_B];
    float *row = workspace_of(c);
    float *columns = row + d->inner;
    for (uint64_t i = 0; i < d->batch; i++) {
        for (uint64_t n = 0; n < d->n; n++) {
            const line column = d->transpose_b ? line_of_3d(b, i, n) : middle_of_3d(b, i, n);
            line_load(column, d->inner, columns + n * d->inner);
        }
        for (uint64_t m = 0; m < d->m; m++) {
            line_load(d->transpose_a ? middle_of_3d(a, i, m) : line_of_3d(a, i, m), d->inner, row);
            const line y = line_of_3d(c->views[OHAL_GEMM_BATCHED_Y], i, m);
            for (uint64_t n = 0; n < d->n; n++) {
                put(y, n, d->alpha * dot(row, columns + n * d->inner, d->inner), d->accumulate);
            }
        }
    }
}

static void check_grouped(const any_desc *desc, refusal *no) {
    const ohal_gemm_grouped_desc *d = &desc->gemm_grouped;
    want_size(no, "rows", d->rows);
    want_size(no, "groups", d->groups);
    want_size(no, "inner", d->inner);
    want_size(no, "outer", d->outer);
    want_float(no, "input", d->input);
    want_weight(no, "weight", &d->weight);
    want_float(no, "output", d->output);
    want_elements(no, "x", d->rows, d->inner, 1);
    want_elements(no, "w", d->groups, d->outer, d->inner);
    want_elements(no, "y", d->rows, d->outer, 1);
}

// All rows of x, and a block of w.
static uint64_t grouped_workspace(const any_desc *desc) {
    return (desc->gemm_grouped.rows + BLOCK) * desc->gemm_grouped.inner;
}

static void run_grouped(const any_desc *desc, call *c) {
    const ohal_gemm_grouped_desc *d = &desc->gemm_grouped;
    const line counts = line_of_1d(c->views[OHAL_GEMM_GROUPED_COUNTS]);
    float *x = workspace_of(c);
    product p = {
        .a = x,
        .w = x + d->rows * d->inner,
        .weight = c->views[OHAL_GEMM_GROUPED_W],
        .inner = d->inner,
        .outer = d->outer,
    };
    for (p.matrix = 0; p.matrix < d->groups; p.matrix++) {
        const int32_t count = line_index(counts, p.matrix);
        const uint64_t left = d->rows - p.first;
        p.end = p.first + (count < 0 ? 0 : (uint64_t)count < left ? (uint64_t)count : left);
        for (uint64_t row = p.first; row < p.end; row++) {
            line_load(line_of_2d(c->views[OHAL_GEMM_GROUPED_X], row), d->inner, x + row * d->inner);
        }
        // The weight of a group without rows is not read.
        if (p.first < p.end) {
            multiply(&p, c->views[OHAL_GEMM_GROUPED_Y]);
        }
        p.first = p.end;
    }
}

const op_kernel gemm_linear = {
    .kind = OHAL_OP_GEMM_LINEAR,
    .args = OHAL_GEMM_LINEAR_ARGS,
    .desc_size = sizeof(ohal_gemm_linear_desc),
    .check = check_linear,
    .workspace = linear_workspace,
    .run = run_linear,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel gemm_batched = {
    .kind = OHAL_OP_GEMM_BATCHED,
    .args = OHAL_GEMM_BATCHED_ARGS,
    .desc_size = sizeof(ohal_gemm_batched_desc),
    .check = check_batched,
    .workspace = batched_workspace,
    .run = run_batched,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel gemm_grouped = {
    .kind = OHAL_OP_GEMM_GROUPED,
    .args = OHAL_GEMM_GROUPED_ARGS,
    .desc_size = sizeof(ohal_gemm_grouped_desc),
    .check = check_grouped,
    .workspace = grouped_workspace,
    .run = run_grouped,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
