// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct IndexerQuery {
    Rows q;
    Rows rope;
    Rows toks;
    i64 vectors;
    i32 heads;
    i32 width;
    i32 rotary;
    i32 positions;
    i32 hadamard;
    i32 quant;
};
static_assert(sizeof(IndexerQuery) == 128, "IndexerQuery differs from the host's");

struct IndexerSelect {
    Rows q;
    Rows w;
    Rows pool;
    Rows pt;
    Rows toks;
    Rows idx;
    Rows scores;
    Ptr parts;
    f32 factor;
    i32 heads;
    i32 width;
    i32 keep;
    i32 room;
    i32 ratio;
    i32 capacity;
    i32 pages;
    i32 entries;
    i32 shift;
    i32 table;
    i32 segments;
    i32 left;
    i32 q_aligned;
    i32 pool_aligned;
    i32 reserved;
};
static_assert(sizeof(IndexerSelect) == 296, "IndexerSelect differs from the host's");
