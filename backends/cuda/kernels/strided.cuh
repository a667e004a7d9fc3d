// Places of elements in tensors of any strides.
#pragma once
#include "common.cuh"

// Divides: `i` becomes the quotient, the remainder is returned. Most counts take the short division.
DEVICE u64 split(u64& i, u64 by) {
    u64 quotient = (i | by) >> 32 ? i / by : static_cast<u32>(i) / static_cast<u32>(by);
    u64 rest = i - quotient * by;
    i = quotient;
    return rest;
}

struct Coords { i64 c[6]; };

// Coordinates of element `i`, the last axis fastest.
DEVICE Coords coords(const Dims& dims, u64 i) {
    Coords at;
#pragma unroll
    for (int axis = 5; axis > 0; axis--) {
        u64 d = static_cast<u64>((&dims.d0)[axis]);
        at.c[axis] = d == 1 ? 0 : static_cast<i64>(split(i, d));
    }
    at.c[0] = static_cast<i64>(i);
    return at;
}

DEVICE i64 place(const Strided& t, const Coords& at) {
    i64 sum = 0;
#pragma unroll
    for (int axis = 0; axis < 6; axis++) sum += at.c[axis] * (&t.s0)[axis];
    return sum;
}
