#include "check.h"

#include "number.h"

#include <stdarg.h>
#include <stdio.h>

// No size of a descriptor comes near the first, no tensor near the second; below them, kernels can multiply sizes without a second thought.
static const uint64_t MAX_SIZE = UINT64_C(1) << 31;
static const uint64_t MAX_ELEMENTS = UINT64_C(1) << 46;

typedef unsigned long long ull;

void deny(refusal *no, ohal_error_kind kind, const char *format, ...) {
    if (no->set) {
        return;
    }
    no->set = true;
    no->kind = kind;
    va_list args;
    va_start(args, format);
    vsnprintf(no->text, sizeof no->text, format, args);
    va_end(args);
}

void want_size(refusal *no, const char *field, uint64_t value) {
    if (value < 1 || value > MAX_SIZE) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "field `%s` is %llu, expected 1 to %llu", field, (ull)value, (ull)MAX_SIZE);
    }
}

void want_elements(refusal *no, const char *arg, uint64_t a, uint64_t b, uint64_t c) {
    if (no->set) {
        return;
    }
    if (b > MAX_ELEMENTS / a || c > MAX_ELEMENTS / (a * b)) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "argument `%s` would have %llu x %llu x %llu elements, expected at most %llu", arg,
             (ull)a, (ull)b, (ull)c, (ull)MAX_ELEMENTS);
    }
}

void want_number(refusal *no, const char *field, float value) {
    if (value != value) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "field `%s` is NaN, expected a number", field);
    }
}

void want_flag(refusal *no, const char *field, uint32_t value) {
    want_word(no, field, value, 1);
}

void want_word(refusal *no, const char *field, uint32_t value, uint32_t last) {
    if (value > last) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "field `%s` is number %u, this plug-in knows 0 to %u", field, value, last);
    }
}

void want_float(refusal *no, const char *field, ohal_dtype dtype) {
    if (!dtype_is_float(dtype)) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "field `%s` is type %u, this plug-in computes with F32 (0), F16 (1) and BF16 (2)", field, dtype);
    }
}

void want_float_or_index(refusal *no, const char *field, ohal_dtype dtype) {
    if (!dtype_is_float(dtype) && dtype != OHAL_DTYPE_I32) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "field `%s` is type %u, this plug-in maps F32 (0), F16 (1), BF16 (2) and I32 (9)", field, dtype);
    }
}

void want_dtype(refusal *no, const char *field, ohal_dtype dtype) {
    want_word(no, field, dtype, OHAL_DTYPE_BOOL);
}

void want_weight(refusal *no, const char *field, const ohal_weight_format *format) {
    if (format->kind == OHAL_FORMAT_PLAIN) {
        want_float(no, field, format->data);
        return;
    }
    want_word(no, field, format->kind, OHAL_FORMAT_BLOCKED);
    if (format->data != OHAL_DTYPE_F8E4M3 && format->data != OHAL_DTYPE_F4E2M1X2) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "field `%s` has codes of type %u, this plug-in reads F8E4M3 (3) and F4E2M1X2 (6)", field,
             format->data);
    }
    if (format->scale != OHAL_DTYPE_E8M0 && format->scale != OHAL_DTYPE_F32) {
        deny(no, OHAL_ERROR_UNSUPPORTED, "field `%s` has scales of type %u, this plug-in reads E8M0 (5) and F32 (0)", field,
             format->scale);
    }
    if (format->block_rows == 0 || format->block_cols == 0) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "field `%s` has blocks of %llu x %llu codes, expected at least 1 x 1", field,
             (ull)format->block_rows, (ull)format->block_cols);
    }
}

void want_shape(refusal *no, const char *field, const ohal_shape *shape) {
    if (shape->rank > OHAL_MAX_RANK) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "field `%s` has rank %u, expected at most %d", field, shape->rank, OHAL_MAX_RANK);
        return;
    }
    uint64_t elements = 1;
    for (uint32_t axis = 0; axis < shape->rank && !no->set; axis++) {
        want_size(no, field, shape->dims[axis]);
        want_elements(no, field, elements, shape->dims[axis], 1);
        elements *= shape->dims[axis];
    }
}

void want_broadcast(refusal *no, const char *field, const ohal_shape *shape, const ohal_shape *full) {
    bool fits = shape->rank == full->rank;
    for (uint32_t axis = 0; fits && axis < shape->rank && axis < OHAL_MAX_RANK; axis++) {
        fits = shape->dims[axis] == full->dims[axis] || shape->dims[axis] == 1;
    }
    if (!fits) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "field `%s` is a shape that does not broadcast to the result's, expected its dimensions or 1",
             field);
    }
}

void want_field(refusal *no, bool holds, const char *field, uint64_t value, const char *expected) {
    if (!holds) {
        deny(no, OHAL_ERROR_INVALID_DESCRIPTOR, "field `%s` is %llu, expected %s", field, (ull)value, expected);
    }
}
