// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct MoeGroup {
    Rows idx;
    Ptr perm;
    Ptr src;
    Ptr inv;
    Ptr counts;
    i32 pairs;
    i32 choices;
    i32 live;
    i32 first;
    i32 local;
    i32 reserved;
};
static_assert(sizeof(MoeGroup) == 88, "MoeGroup differs from the host's");

struct MoeRoute {
    Rows logits;
    Rows table;
    Rows toks;
    Rows idx;
    Rows wt;
    Ptr bias;
    Ptr ids;
    i32 rows;
    i32 experts;
    i32 choices;
    i32 vocab;
    f32 scale;
    i32 reserved;
};
static_assert(sizeof(MoeRoute) == 200, "MoeRoute differs from the host's");

struct MoeSwiglu {
    Rows x;
    Rows y;
    Ptr wt;
    i32 inter;
    f32 limit;
};
static_assert(sizeof(MoeSwiglu) == 80, "MoeSwiglu differs from the host's");

struct MoeFfn {
    Rows x;
    Rows idx;
    Rows wt;
    Rows acc;
    Rows y;
    Weight w13;
    Weight w2;
    i64 w13_row;
    i64 w13_matrix;
    i64 w2_row;
    i64 w2_matrix;
    Ptr hidden;
    i64 hidden_row;
    Ptr results;
    Ptr perm;
    Ptr counts;
    i32 sorted;
    i32 rows;
    i32 choices;
    i32 first;
    i32 local;
    i32 width;
    i32 inter;
    i32 height;
    i32 stage;
    i32 a_quant;
    f32 limit;
    i32 reserved;
};
static_assert(sizeof(MoeFfn) == 344, "MoeFfn differs from the host's");
