// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct RmsNorm {
    Rows x;
    Rows weight;
    Rows y;
    i32 heads;
    i32 width;
    f32 eps;
    i32 reserved;
};
static_assert(sizeof(RmsNorm) == 112, "RmsNorm differs from the host's");
