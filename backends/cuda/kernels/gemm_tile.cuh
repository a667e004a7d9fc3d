// What the tiles of a matrix product share: which rows and which matrix a block takes, and how results are stored.
#pragma once
#include "mma.cuh"
#include "weights.cuh"

// Rows `first..end` of the operand, and the matrix that they are multiplied by. A block without work has first == end.
struct Span { i32 first, end, matrix; };

// Tile `tile` of `height` rows when the rows are sorted by group: every group begins a new tile.
DEVICE Span span_of_group(const i32* counts, i32 groups, i32 rows, i32 tile, i32 height) {
    i32 row = 0;
    for (i32 first = 0; first < groups; first += 32) {
        i32 group = first + static_cast<i32>(LANE);
        i32 count = group < groups ? max(counts[group], 0) : 0, tiles = (count + height - 1) / height;
        i32 rows_to = count, tiles_to = tiles;
        for (u32 step = 1; step < 32; step <<= 1) {
            i32 r = __shfl_up_sync(FULL_WARP, rows_to, step), t = __shfl_up_sync(FULL_WARP, tiles_to, step);
            if (LANE >= step) rows_to += r, tiles_to += t;
        }
        u32 found = __ballot_sync(FULL_WARP, tile < tiles_to);
        if (found) {
            u32 lane = __ffs(found) - 1;
            i32 from = row + __shfl_sync(FULL_WARP, rows_to - count, lane) + (tile - __shfl_sync(FULL_WARP, tiles_to - tiles, lane)) * height;
            i32 to = row + __shfl_sync(FULL_WARP, rows_to, lane);
            return Span{min(from, rows), min(min(to, from + height), rows), first + static_cast<i32>(lane)};
        }
        row += __shfl_sync(FULL_WARP, rows_to, 31);
        tile -= __shfl_sync(FULL_WARP, tiles_to, 31);
    }
    return Span{0, 0, 0};
}

DEVICE Span span_of(const i32* counts, i32 groups, i32 rows, i32 tile, i32 height) {
    if (counts) return span_of_group(counts, groups, rows, tile, height);
    return Span{min(tile * height, rows), min((tile + 1) * height, rows), static_cast<i32>(blockIdx.y)};
}
