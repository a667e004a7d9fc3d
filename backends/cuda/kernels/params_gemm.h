// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct Product {
    Ptr a;
    Ptr y;
    Ptr counts;
    Ptr a_scales;
    Ptr parts;
    Weight w;
    i64 a_row;
    i64 a_col;
    i64 a_batch;
    i64 w_row;
    i64 w_col;
    i64 w_batch;
    i64 y_row;
    i64 y_batch;
    i32 rows;
    i32 inner;
    i32 outer;
    i32 matrices;
    i32 row_tiles;
    i32 splits;
    i32 split_inner;
    i32 a_dtype;
    i32 y_dtype;
    i32 accumulate;
    f32 alpha;
    i32 rounded;
};
static_assert(sizeof(Product) == 184, "Product differs from the host's");

struct Rounding {
    Ptr a;
    Ptr to;
    Ptr scales;
    i64 a_row;
    i32 dtype;
    i32 rows;
    i32 inner;
    i32 reserved;
};
static_assert(sizeof(Rounding) == 48, "Rounding differs from the host's");
