// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct RmsNorm {
    Rows x;
    Rows weight;
    Rows y;
    i32 heads;
    i32 width;
    f32 eps;
    i32 whole;
    i32 weight_whole;
    i32 y_whole;
};
static_assert(sizeof(RmsNorm) == 120, "RmsNorm differs from the host's");
