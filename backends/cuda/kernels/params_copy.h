// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct CopyMove {
    Strided x;
    Strided y;
    Dims dims;
    u64 count;
    i32 unit;
    i32 each;
};
static_assert(sizeof(CopyMove) == 192, "CopyMove differs from the host's");

struct CopyFill {
    Strided y;
    Dims dims;
    u64 count;
    f32 value;
    i32 unit;
    i32 each;
    i32 reserved;
};
static_assert(sizeof(CopyFill) == 136, "CopyFill differs from the host's");

struct CopyCast {
    Strided x;
    Strided y;
    Dims dims;
    u64 count;
    i64 inner;
};
static_assert(sizeof(CopyCast) == 192, "CopyCast differs from the host's");

struct CopyRows {
    Ptr from;
    Ptr to;
    Ptr idx;
    i64 from_row;
    i64 from_step;
    i64 to_row;
    i64 to_step;
    i64 idx_step;
    u64 units;
    u64 count;
    i32 rows;
    i32 unit;
    i32 each;
    i32 reserved;
};
static_assert(sizeof(CopyRows) == 96, "CopyRows differs from the host's");

struct CopyTake {
    Rows x;
    Rows idx;
    Rows y;
    u64 taken;
    u64 count;
    i32 width;
    i32 unit;
};
static_assert(sizeof(CopyTake) == 120, "CopyTake differs from the host's");

struct CopyConcat {
    Strided a;
    Strided b;
    Strided c;
    Strided d;
    Strided y;
    Dims dims;
    i64 end0;
    i64 end1;
    i64 end2;
    u64 count;
    i32 unit;
    i32 each;
};
static_assert(sizeof(CopyConcat) == 408, "CopyConcat differs from the host's");
