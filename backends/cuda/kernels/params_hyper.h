// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct HyperMix {
    Rows x;
    Rows projection;
    Rows norm;
    Rows a;
    Rows post;
    Rows comb;
    Ptr scale;
    Ptr base;
    Ptr out;
    i32 rows;
    i32 count;
    i32 streams;
    i32 width;
    i32 iters;
    f32 eps;
    f32 hc_eps;
    i32 reserved;
};
static_assert(sizeof(HyperMix) == 248, "HyperMix differs from the host's");

struct HyperSinkhorn {
    Rows logits;
    Rows comb;
    i32 rows;
    i32 streams;
    i32 iters;
    f32 eps;
};
static_assert(sizeof(HyperSinkhorn) == 80, "HyperSinkhorn differs from the host's");

struct HyperPost {
    Rows x;
    Rows out;
    Rows post;
    Rows comb;
    Rows y;
    i32 streams;
    i32 width;
};
static_assert(sizeof(HyperPost) == 168, "HyperPost differs from the host's");
