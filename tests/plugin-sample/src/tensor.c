#include "tensor.h"

#include "number.h"

#include <math.h>

static line line_at(const ohal_view *view, uint64_t first, uint64_t step) {
    // The device's addresses are host pointers.
    unsigned char *data = (unsigned char *)(uintptr_t)(view->mem.addr + view->offset);
    return (line){.data = data, .dtype = view->dtype, .first = first, .step = step};
}

line line_of_1d(const ohal_view *view) {
    return line_at(view, 0, view->strides[0]);
}

line line_of_2d(const ohal_view *view, uint64_t i) {
    return line_at(view, i * view->strides[0], view->strides[1]);
}

line line_of_3d(const ohal_view *view, uint64_t i, uint64_t j) {
    return line_at(view, i * view->strides[0] + j * view->strides[1], view->strides[2]);
}

line middle_of_3d(const ohal_view *view, uint64_t i, uint64_t k) {
    return line_at(view, i * view->strides[0] + k * view->strides[2], view->strides[1]);
}

uint64_t shape_lines(const ohal_shape *shape) {
    uint64_t lines = 1;
    for (uint32_t axis = 0; axis + 1 < shape->rank; axis++) {
        lines *= shape->dims[axis];
    }
    return lines;
}

uint64_t shape_line_length(const ohal_shape *shape) {
    return shape->rank == 0 ? 1 : shape->dims[shape->rank - 1];
}

static uint64_t repeating_stride(const ohal_view *view, uint32_t axis) {
    return view->shape.dims[axis] == 1 ? 0 : view->strides[axis];
}

line line_of_shape(const ohal_view *view, const ohal_shape *shape, uint64_t number) {
    if (shape->rank == 0) {
        return line_at(view, 0, 0);
    }
    const uint32_t last = shape->rank - 1;
    uint64_t first = 0;
    for (uint32_t axis = last; axis-- > 0;) {
        first += number % shape->dims[axis] * repeating_stride(view, axis);
        number /= shape->dims[axis];
    }
    return line_at(view, first, repeating_stride(view, last));
}

uint64_t line_code(line l, uint64_t i) {
    // memcpy, because an element may lie at any address that its own size divides, and compilers turn it into one load.
    const uint64_t place = l.first + i * l.step;
    switch (dtype_bits(l.dtype)) {
    case 4: return l.data[place / 2] >> (place % 2 * 4) & 0xF;
    case 8: return l.data[place];
    case 16: {
        uint16_t code;
        memcpy(&code, l.data + place * 2, 2);
        return code;
    }
    case 32: {
        uint32_t code;
        memcpy(&code, l.data + place * 4, 4);
        return code;
    }
    default: {
        uint64_t code;
        memcpy(&code, l.data + place * 8, 8);
        return code;
    }
    }
}

void line_set_code(line l, uint64_t i, uint64_t code) {
    const uint64_t place = l.first + i * l.step;
    switch (dtype_bits(l.dtype)) {
    case 4: {
        const unsigned shift = place % 2 * 4;
        l.data[place / 2] = (unsigned char)((l.data[place / 2] & ~(0xFu << shift)) | (code & 0xF) << shift);
        break;
    }
    case 8: l.data[place] = (unsigned char)code; break;
    case 16: memcpy(l.data + place * 2, &(uint16_t){(uint16_t)code}, 2); break;
    case 32: memcpy(l.data + place * 4, &(uint32_t){(uint32_t)code}, 4); break;
    default: memcpy(l.data + place * 8, &code, 8); break;
    }
}

double line_value(line l, uint64_t i) {
    return decode(l.dtype, line_code(l, i));
}

int32_t line_index(line l, uint64_t i) {
    return (int32_t)line_code(l, i);
}

void line_set_index(line l, uint64_t i, int32_t index) {
    line_set_code(l, i, (uint32_t)index);
}

void line_load(line l, uint64_t count, float *values) {
    if (l.dtype == OHAL_DTYPE_F32 && l.step == 1) {
        memcpy(values, l.data + l.first * 4, count * 4);
    } else if (l.dtype == OHAL_DTYPE_BF16) {
        const unsigned char *from = l.data + l.first * 2;
        for (uint64_t i = 0; i < count; i++) {
            uint16_t code;
            memcpy(&code, from + i * l.step * 2, 2);
            values[i] = f32_of_bf16(code);
        }
    } else {
        for (uint64_t i = 0; i < count; i++) {
            values[i] = (float)line_value(l, i);
        }
    }
}

void line_store(line l, uint64_t count, const float *values) {
    if (l.dtype == OHAL_DTYPE_F32 && l.step == 1) {
        memcpy(l.data + l.first * 4, values, count * 4);
    } else if (l.dtype == OHAL_DTYPE_BF16) {
        unsigned char *to = l.data + l.first * 2;
        for (uint64_t i = 0; i < count; i++) {
            const uint16_t code = bf16_of_f32(values[i]);
            memcpy(to + i * l.step * 2, &code, 2);
        }
    } else {
        // Only a cast drops a fraction; a computed index is rounded like any other result.
        const bool index = l.dtype == OHAL_DTYPE_I32;
        for (uint64_t i = 0; i < count; i++) {
            line_set_code(l, i, encode(l.dtype, index ? rintf(values[i]) : values[i]));
        }
    }
}

void line_move(line to, line from, uint64_t count) {
    if (to.dtype != from.dtype) {
        for (uint64_t i = 0; i < count; i++) {
            line_set_code(to, i, encode(to.dtype, line_value(from, i)));
        }
        return;
    }
    const unsigned bits = dtype_bits(to.dtype);
    if (bits >= 8 && to.step == 1 && from.step == 1) {
        memmove(to.data + to.first * (bits / 8), from.data + from.first * (bits / 8), count * (bits / 8));
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        line_set_code(to, i, line_code(from, i));
    }
}

void line_fill(line l, uint64_t count, uint64_t code) {
    for (uint64_t i = 0; i < count; i++) {
        line_set_code(l, i, code);
    }
}

// Values of the stored elements of a row, without scales. Codes are read by table: this is where most of the time of a small batch goes.
static void load_codes(line l, uint64_t count, float *values) {
    if (l.dtype == OHAL_DTYPE_F8E4M3) {
        const unsigned char *codes = l.data + l.first;
        for (uint64_t i = 0; i < count; i++) {
            values[i] = f8e4m3_values[codes[i * l.step]];
        }
    } else if (l.dtype == OHAL_DTYPE_F4E2M1X2) {
        for (uint64_t i = 0; i < count; i++) {
            const uint64_t place = l.first + i * l.step;
            values[i] = f4e2m1_values[l.data[place / 2] >> (place % 2 * 4) & 0xF];
        }
    } else {
        line_load(l, count, values);
    }
}

void weight_load_row(const ohal_view *weight, uint64_t matrix, uint64_t row, float *values) {
    const bool stacked = weight->shape.rank == 3;
    const uint64_t width = weight->shape.dims[weight->shape.rank - 1];
    load_codes(stacked ? line_of_3d(weight, matrix, row) : line_of_2d(weight, row), width, values);
    const ohal_quant *quant = &weight->quant;
    if (quant->dtype == OHAL_NONE) {
        return;
    }
    // Scales lie without gaps, one row of them for `block_rows` rows of codes.
    const uint64_t scale_rows = stacked ? quant->shape.dims[1] : 0;
    const uint64_t scale_columns = quant->shape.dims[quant->shape.rank - 1];
    const uint64_t first = (matrix * scale_rows + row / quant->block_rows) * scale_columns;
    const line scales = {.data = (unsigned char *)(uintptr_t)quant->mem.addr, .dtype = quant->dtype, .first = first, .step = 1};
    for (uint64_t block = 0; block < scale_columns; block++) {
        const float scale = (float)line_value(scales, block);
        const uint64_t start = block * quant->block_cols;
        const uint64_t end = width - start < quant->block_cols ? width : start + quant->block_cols;
        for (uint64_t i = start; i < end; i++) {
            values[i] *= scale;
        }
    }
}
