// copy.*: bits move in units of 16, 8, 4, 2 or 1 bytes, whatever the addresses and gaps allow.
#include "common.cuh"
#include "params_copy.h"
#include "runs.cuh"
#include "strided.cuh"

constexpr int MOVES = 4;

// Calls `load(i, unit)` for up to four units of a thread, then `store(i, unit)`: the loads are under way together.
template <typename U, typename L, typename S> DEVICE void move_units(u64 count, i32 each, L load, S store) {
    u64 first = static_cast<u64>(blockIdx.x) * blockDim.x * each + threadIdx.x;
    U held[MOVES];
#pragma unroll
    for (int k = 0; k < MOVES; k++)
        if (k < each && first + k * blockDim.x < count) load(first + k * blockDim.x, held[k]);
#pragma unroll
    for (int k = 0; k < MOVES; k++)
        if (k < each && first + k * blockDim.x < count) store(first + k * blockDim.x, held[k]);
}

#define FOR_UNIT(unit, body)                   \
    switch (unit) {                            \
        case 16: body<Vec16>(p); break;        \
        case 8: body<Vec8>(p); break;          \
        case 4: body<u32>(p); break;           \
        case 2: body<u16>(p); break;           \
        default: body<u8>(p); break;           \
    }

template <typename U> DEVICE void copy_of(const CopyMove& p) {
    move_units<U>(
        p.count, p.each, [&](u64 i, U& unit) { unit = static_cast<const U*>(p.x.data)[place(p.x, coords(p.dims, i))]; },
        [&](u64 i, const U& unit) { static_cast<U*>(p.y.data)[place(p.y, coords(p.dims, i))] = unit; });
}
KERNEL(copy_move, CopyMove, 256, 4) { FOR_UNIT(p.unit, copy_of) }

DEVICE void repeat(u32 word, Vec16& x) { x = {{word, word, word, word}}; }
DEVICE void repeat(u32 word, Vec8& x) { x = {{word, word}}; }
template <typename U> DEVICE void repeat(u32 word, U& x) { x = static_cast<U>(word); }

template <typename U> DEVICE void fill_of(const CopyFill& p) {
    u32 word = word_of(p.y.dtype, p.value);
    U value;
    repeat(word, value);
    move_units<U>(p.count, p.each, [&](u64, U&) {}, [&](u64 i, const U&) { static_cast<U*>(p.y.data)[place(p.y, coords(p.dims, i))] = value; });
}
KERNEL(copy_fill, CopyFill, 256, 4) { FOR_UNIT(p.unit, fill_of) }

// What f32 cannot hold of an integer is kept as a last bit that is set, so that the rounding to 8 or 11 bits that follows is the only one.
DEVICE float i32_to_odd(i32 x) {
    u32 magnitude = x < 0 ? 0u - static_cast<u32>(x) : static_cast<u32>(x);
    if (magnitude >> 24) magnitude = (magnitude & ~0xffu) | ((magnitude & 0xffu) ? 0x100u : 0u);
    float value = static_cast<float>(magnitude);
    return x < 0 ? -value : value;
}

DEVICE void cast_one(const CopyCast& p, i64 from, i64 to) {
    bool narrow16 = p.x.dtype == I32 && p.y.dtype != F32;
    float x = narrow16 ? i32_to_odd(static_cast<const i32*>(p.x.data)[from]) : load_as_f32(p.x.data, p.x.dtype, from);
    if (p.y.dtype == I32) static_cast<i32*>(p.y.data)[to] = f32_to_i32(x);
    else store_f32(p.y.data, p.y.dtype, to, x);
}

KERNEL(copy_cast, CopyCast, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    Coords at = coords(p.dims, i);
    cast_one(p, place(p.x, at), place(p.y, at));
}

// Eight neighbours a thread, between floats.
KERNEL(copy_cast_runs, CopyCast, 256, 4) {
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.count) return;
    Coords at = coords(p.dims, i);
    i64 left = p.inner - at.c[5] * RUN;
    int n = left < RUN ? static_cast<int>(left) : RUN;
    float v[RUN];
    load_run(v, p.x.data, p.x.dtype, place(p.x, at), 1, n, true);
    store_run(v, p.y.data, p.y.dtype, place(p.y, at), 1, n, true);
}

// Row `i` of the index tensor, or -1.
DEVICE i64 row_of(const CopyRows& p, u64 i) {
    i32 row = static_cast<const i32*>(p.idx)[i * p.idx_step];
    return row >= 0 && row < p.rows ? row : -1;
}

template <typename U> DEVICE void gather_of(const CopyRows& p) {
    move_units<U>(
        p.count, p.each,
        [&](u64 i, U& unit) {
            i64 column = split(i, p.units), row = row_of(p, i);
            unit = row < 0 ? U{} : static_cast<const U*>(p.from)[row * p.from_row + column * p.from_step];
        },
        [&](u64 i, const U& unit) {
            i64 column = split(i, p.units);
            static_cast<U*>(p.to)[static_cast<i64>(i) * p.to_row + column * p.to_step] = unit;
        });
}
KERNEL(copy_gather, CopyRows, 256, 4) { FOR_UNIT(p.unit, gather_of) }

template <typename U> DEVICE void scatter_of(const CopyRows& p) {
    move_units<U>(
        p.count, p.each,
        [&](u64 i, U& unit) {
            i64 column = split(i, p.units);
            unit = static_cast<const U*>(p.from)[static_cast<i64>(i) * p.from_row + column * p.from_step];
        },
        [&](u64 i, const U& unit) {
            i64 column = split(i, p.units), row = row_of(p, i);
            if (row >= 0) static_cast<U*>(p.to)[row * p.to_row + column * p.to_step] = unit;
        });
}
KERNEL(copy_scatter, CopyRows, 256, 4) { FOR_UNIT(p.unit, scatter_of) }

// `units` counts the elements taken from a row, `rows` those that it has.
template <typename U> DEVICE void take_of(const CopyTake& p) {
    move_units<U>(
        p.count, 1,
        [&](u64 i, U& unit) {
            i64 q = split(i, p.taken), row = static_cast<i64>(i);
            i32 column = static_cast<const i32*>(p.idx.data)[row * p.idx.outer + q];
            bool there = column >= 0 && column < p.width;
            unit = there ? static_cast<const U*>(p.x.data)[row * p.x.outer + column] : U{};
        },
        [&](u64 i, const U& unit) {
            i64 q = split(i, p.taken);
            static_cast<U*>(p.y.data)[static_cast<i64>(i) * p.y.outer + q] = unit;
        });
}
KERNEL(copy_take, CopyTake, 256, 4) { FOR_UNIT(p.unit, take_of) }

// The axes of `y` are the last three; part `k` ends at `end<k>` of the middle one.
template <typename U> DEVICE void concat_of(const CopyConcat& p) {
    move_units<U>(
        p.count, p.each,
        [&](u64 i, U& unit) {
            Coords at = coords(p.dims, i);
            const Strided* part = &p.a;
            i64 middle = at.c[4], begin = 0;
            if (middle >= p.end0) part = &p.b, begin = p.end0;
            if (middle >= p.end1) part = &p.c, begin = p.end1;
            if (middle >= p.end2) part = &p.d, begin = p.end2;
            i64 from = at.c[3] * part->s3 + (middle - begin) * part->s4 + at.c[5] * part->s5;
            unit = static_cast<const U*>(part->data)[from];
        },
        [&](u64 i, const U& unit) { static_cast<U*>(p.y.data)[place(p.y, coords(p.dims, i))] = unit; });
}
KERNEL(copy_concat, CopyConcat, 256, 4) { FOR_UNIT(p.unit, concat_of) }
