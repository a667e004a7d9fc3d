// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct Rows {
    Ptr data;
    i64 outer;
    i64 inner;
    i32 dtype;
    i32 reserved;
};
static_assert(sizeof(Rows) == 32, "Rows differs from the host's");

struct Weight {
    Ptr data;
    Ptr scale;
    i32 dtype;
    i32 scale_dtype;
    i32 block_rows;
    i32 block_cols;
};
static_assert(sizeof(Weight) == 32, "Weight differs from the host's");

struct Strided {
    Ptr data;
    i32 dtype;
    i32 reserved;
    i64 s0;
    i64 s1;
    i64 s2;
    i64 s3;
    i64 s4;
    i64 s5;
};
static_assert(sizeof(Strided) == 64, "Strided differs from the host's");

struct Dims {
    i64 d0;
    i64 d1;
    i64 d2;
    i64 d3;
    i64 d4;
    i64 d5;
};
static_assert(sizeof(Dims) == 48, "Dims differs from the host's");
