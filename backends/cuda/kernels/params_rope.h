// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct RopeApply {
    Rows x;
    Rows cs;
    u64 count;
    u64 runs;
    u64 heads;
    i64 start;
    i64 rotary;
    f32 sign;
    i32 whole;
    i32 cs_whole;
    i32 reserved;
};
static_assert(sizeof(RopeApply) == 120, "RopeApply differs from the host's");
