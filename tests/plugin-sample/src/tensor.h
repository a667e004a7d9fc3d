// Tensors: reading and writing elements of any type, wherever they lie.

#ifndef TENSOR_H
#define TENSOR_H

#include "ohal_types.h"

// Elements of a tensor at equal distances, such as a row. Places and steps count elements from the tensor's first one.
typedef struct line {
    unsigned char *data;
    ohal_dtype dtype;
    uint64_t first;
    uint64_t step;
} line;

// Row `i` of a tensor [rows, width].
line line_of_2d(const ohal_view *view, uint64_t i);

// Row `i, j` of a tensor [a, b, width].
line line_of_3d(const ohal_view *view, uint64_t i, uint64_t j);

// The middle axis of a tensor [pre, len, post] at `i` and `k`.
line middle_of_3d(const ohal_view *view, uint64_t i, uint64_t k);

// A tensor of one axis.
line line_of_1d(const ohal_view *view);

// The elements from place `from` of a line.
static inline line line_from(line l, uint64_t from) {
    l.first += from * l.step;
    return l;
}

// A shape as lines along its last axis.
uint64_t shape_lines(const ohal_shape *shape);
uint64_t shape_line_length(const ohal_shape *shape);

// The elements of `view` that belong to line number `number` of `shape`. An axis on which the view has length 1 is repeated.
line line_of_shape(const ohal_view *view, const ohal_shape *shape, uint64_t number);

// The bits of an element. Element types below a byte are packed, even places in the low bits.
uint64_t line_code(line l, uint64_t i);
void line_set_code(line l, uint64_t i, uint64_t code);

// The value of an element.
double line_value(line l, uint64_t i);

// An index. The tensor is I32.
int32_t line_index(line l, uint64_t i);
void line_set_index(line l, uint64_t i, int32_t index);

// Reads and writes `count` elements as floats; writing rounds once to nearest even.
void line_load(line l, uint64_t count, float *values);
void line_store(line l, uint64_t count, const float *values);

// Copies `count` elements. Equal types move bits; others are cast.
void line_move(line to, line from, uint64_t count);

// Sets `count` elements to the same bits.
void line_fill(line l, uint64_t count, uint64_t code);

// Reads row `row` of matrix `matrix` of a weight [rows, width] or [matrices, rows, width]: codes times scales, if it has scales.
void weight_load_row(const ohal_view *weight, uint64_t matrix, uint64_t row, float *values);

#endif
