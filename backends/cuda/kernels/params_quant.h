// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct RoundGroups {
    Rows x;
    Rows y;
    Ptr scale;
    i64 scale_row;
    u64 count;
    i32 heads;
    i32 width;
    i32 group;
    i32 kind;
    i32 whole;
    i32 reserved;
};
static_assert(sizeof(RoundGroups) == 112, "RoundGroups differs from the host's");

struct Expand {
    Weight w;
    Rows y;
    i64 w_row;
    i64 scale_row;
    u64 width;
    u64 count;
};
static_assert(sizeof(Expand) == 96, "Expand differs from the host's");
