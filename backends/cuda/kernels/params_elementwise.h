// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct UnaryMap {
    Strided x;
    Strided y;
    Dims dims;
    u64 count;
    i64 inner;
    i32 func;
    f32 alpha;
    f32 beta;
    f32 gamma;
    f32 delta;
    f32 low;
    f32 high;
    i32 reserved;
};
static_assert(sizeof(UnaryMap) == 224, "UnaryMap differs from the host's");

struct BinaryMap {
    Strided a;
    Strided b;
    Strided y;
    Dims dims;
    u64 count;
    i64 inner;
    i32 arith;
    f32 eps;
    f32 scale;
    i32 reserved;
};
static_assert(sizeof(BinaryMap) == 272, "BinaryMap differs from the host's");

struct WhereMap {
    Strided a;
    Strided b;
    Strided p;
    Strided q;
    Strided y;
    Dims dims;
    u64 count;
    i32 cmp;
    f32 bound;
    f32 first;
    f32 second;
};
static_assert(sizeof(WhereMap) == 392, "WhereMap differs from the host's");

struct ReduceLines {
    Strided x;
    Strided y;
    i64 lines;
    i64 post;
    i32 len;
    i32 op;
    f32 alpha;
    i32 reserved;
};
static_assert(sizeof(ReduceLines) == 160, "ReduceLines differs from the host's");

struct SoftmaxLines {
    Strided x;
    Strided y;
    i64 lines;
    i64 post;
    i32 len;
    i32 reserved;
};
static_assert(sizeof(SoftmaxLines) == 152, "SoftmaxLines differs from the host's");

struct CumsumRows {
    Strided x;
    Strided y;
    i64 len;
    i32 exclusive;
    i32 whole;
};
static_assert(sizeof(CumsumRows) == 144, "CumsumRows differs from the host's");
