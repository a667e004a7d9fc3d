// copy.copy, copy.fill, copy.gather, copy.scatter, copy.take, copy.concat
//
// Elements of one type are moved as bits, so every type is as good as any other, packed ones included.

#include "number.h"
#include "ops.h"
#include "tensor.h"

static void check_copy(const any_desc *desc, refusal *no) {
    const ohal_copy_copy_desc *d = &desc->copy_copy;
    want_shape(no, "shape", &d->shape);
    want_dtype(no, "input", d->input);
    want_dtype(no, "output", d->output);
}

static void run_copy(const any_desc *desc, call *c) {
    const ohal_copy_copy_desc *d = &desc->copy_copy;
    const uint64_t length = shape_line_length(&d->shape);
    for (uint64_t number = 0; number < shape_lines(&d->shape); number++) {
        const line x = line_of_shape(c->views[OHAL_COPY_COPY_X], &d->shape, number);
        line_move(line_of_shape(c->views[OHAL_COPY_COPY_Y], &d->shape, number), x, length);
    }
}

static void check_fill(const any_desc *desc, refusal *no) {
    const ohal_copy_fill_desc *d = &desc->copy_fill;
    want_shape(no, "shape", &d->shape);
    want_number(no, "value", d->value);
    want_dtype(no, "dtype", d->dtype);
}

static void run_fill(const any_desc *desc, call *c) {
    const ohal_copy_fill_desc *d = &desc->copy_fill;
    const uint64_t code = encode(d->dtype, d->value);
    for (uint64_t number = 0; number < shape_lines(&d->shape); number++) {
        line_fill(line_of_shape(c->views[OHAL_COPY_FILL_Y], &d->shape, number), shape_line_length(&d->shape), code);
    }
}

// Indices are checked even where the host trusts them: here that costs nothing, and a wrong one then cannot reach outside the tensor.
static bool present(int32_t index, uint64_t count) {
    return index >= 0 && (uint64_t)index < count;
}

static void check_gather(const any_desc *desc, refusal *no) {
    const ohal_copy_gather_desc *d = &desc->copy_gather;
    want_size(no, "rows", d->rows);
    want_size(no, "width", d->width);
    want_size(no, "count", d->count);
    want_dtype(no, "dtype", d->dtype);
    want_flag(no, "trusted", d->trusted);
    want_elements(no, "src", d->rows, d->width, 1);
    want_elements(no, "y", d->count, d->width, 1);
}

static void run_gather(const any_desc *desc, call *c) {
    const ohal_copy_gather_desc *d = &desc->copy_gather;
    const line idx = line_of_1d(c->views[OHAL_COPY_GATHER_IDX]);
    for (uint64_t i = 0; i < d->count; i++) {
        const int32_t row = line_index(idx, i);
        const line y = line_of_2d(c->views[OHAL_COPY_GATHER_Y], i);
        if (present(row, d->rows)) {
            line_move(y, line_of_2d(c->views[OHAL_COPY_GATHER_SRC], (uint64_t)row), d->width);
        } else {
            line_fill(y, d->width, 0);
        }
    }
}

static void check_scatter(const any_desc *desc, refusal *no) {
    const ohal_copy_scatter_desc *d = &desc->copy_scatter;
    want_size(no, "rows", d->rows);
    want_size(no, "width", d->width);
    want_size(no, "count", d->count);
    want_dtype(no, "dtype", d->dtype);
    want_flag(no, "trusted", d->trusted);
    want_elements(no, "dst", d->rows, d->width, 1);
    want_elements(no, "src", d->count, d->width, 1);
}

static void run_scatter(const any_desc *desc, call *c) {
    const ohal_copy_scatter_desc *d = &desc->copy_scatter;
    const line idx = line_of_1d(c->views[OHAL_COPY_SCATTER_IDX]);
    for (uint64_t i = 0; i < d->count; i++) {
        const int32_t row = line_index(idx, i);
        if (present(row, d->rows)) {
            const line dst = line_of_2d(c->views[OHAL_COPY_SCATTER_DST], (uint64_t)row);
            line_move(dst, line_of_2d(c->views[OHAL_COPY_SCATTER_SRC], i), d->width);
        }
    }
}

static void check_take(const any_desc *desc, refusal *no) {
    const ohal_copy_take_desc *d = &desc->copy_take;
    want_size(no, "rows", d->rows);
    want_size(no, "width", d->width);
    want_size(no, "count", d->count);
    want_dtype(no, "dtype", d->dtype);
    want_elements(no, "x", d->rows, d->width, 1);
    want_elements(no, "y", d->rows, d->count, 1);
}

static void run_take(const any_desc *desc, call *c) {
    const ohal_copy_take_desc *d = &desc->copy_take;
    for (uint64_t row = 0; row < d->rows; row++) {
        const line x = line_of_2d(c->views[OHAL_COPY_TAKE_X], row);
        const line idx = line_of_2d(c->views[OHAL_COPY_TAKE_IDX], row);
        const line y = line_of_2d(c->views[OHAL_COPY_TAKE_Y], row);
        for (uint64_t i = 0; i < d->count; i++) {
            const int32_t place = line_index(idx, i);
            line_set_code(y, i, present(place, d->width) ? line_code(x, (uint64_t)place) : 0);
        }
    }
}

static void check_concat(const any_desc *desc, refusal *no) {
    const ohal_copy_concat_desc *d = &desc->copy_concat;
    want_size(no, "pre", d->pre);
    want_size(no, "lens", d->lens[0]);
    want_size(no, "lens", d->lens[1]);
    for (int input = 2; input < 4; input++) {
        if (d->lens[input] > 0) {
            want_size(no, "lens", d->lens[input]);
        }
    }
    want_size(no, "post", d->post);
    want_dtype(no, "dtype", d->dtype);
    want_elements(no, "y", d->pre, d->lens[0] + d->lens[1] + d->lens[2] + d->lens[3], d->post);
}

static void run_concat(const any_desc *desc, call *c) {
    const ohal_copy_concat_desc *d = &desc->copy_concat;
    for (uint64_t pre = 0; pre < d->pre; pre++) {
        uint64_t place = 0;
        for (int input = 0; input < 4; input++) {
            for (uint64_t i = 0; i < d->lens[input]; i++) {
                const line from = line_of_3d(c->views[OHAL_COPY_CONCAT_A + input], pre, i);
                line_move(line_of_3d(c->views[OHAL_COPY_CONCAT_Y], pre, place++), from, d->post);
            }
        }
    }
}

const op_kernel copy_copy = {
    .kind = OHAL_OP_COPY_COPY,
    .args = OHAL_COPY_COPY_ARGS,
    .desc_size = sizeof(ohal_copy_copy_desc),
    .check = check_copy,
    .run = run_copy,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel copy_fill = {
    .kind = OHAL_OP_COPY_FILL,
    .args = OHAL_COPY_FILL_ARGS,
    .desc_size = sizeof(ohal_copy_fill_desc),
    .check = check_fill,
    .run = run_fill,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel copy_gather = {
    .kind = OHAL_OP_COPY_GATHER,
    .args = OHAL_COPY_GATHER_ARGS,
    .desc_size = sizeof(ohal_copy_gather_desc),
    .check = check_gather,
    .run = run_gather,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel copy_scatter = {
    .kind = OHAL_OP_COPY_SCATTER,
    .args = OHAL_COPY_SCATTER_ARGS,
    .desc_size = sizeof(ohal_copy_scatter_desc),
    .check = check_scatter,
    .run = run_scatter,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel copy_take = {
    .kind = OHAL_OP_COPY_TAKE,
    .args = OHAL_COPY_TAKE_ARGS,
    .desc_size = sizeof(ohal_copy_take_desc),
    .check = check_take,
    .run = run_take,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};

const op_kernel copy_concat = {
    .kind = OHAL_OP_COPY_CONCAT,
    .args = OHAL_COPY_CONCAT_ARGS,
    .desc_size = sizeof(ohal_copy_concat_desc),
    .check = check_concat,
    .run = run_concat,
    .determinism = OHAL_DETERMINISM_ROW_INVARIANT,
    .accumulation = OHAL_ACCUMULATION_F32,
};
