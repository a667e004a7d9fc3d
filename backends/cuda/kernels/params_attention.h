// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct AttentionLatent {
    Rows lat;
    Rows q_norm;
    Rows kv_norm;
    Rows rope;
    Rows toks;
    Rows qr;
    Rows kv;
    i32 q_lora;
    i32 head;
    i32 rotary;
    i32 positions;
    i32 quant;
    f32 eps;
};
static_assert(sizeof(AttentionLatent) == 248, "AttentionLatent differs from the host's");

struct AttentionQuery {
    Rows q;
    Rows rope;
    Rows toks;
    i32 rows;
    i32 heads;
    i32 head;
    i32 width;
    i32 rotary;
    i32 positions;
    f32 eps;
    i32 reserved;
};
static_assert(sizeof(AttentionQuery) == 128, "AttentionQuery differs from the host's");

struct AttentionSparse {
    Rows q;
    Rows kv;
    Rows ring;
    Rows pool;
    Rows pt;
    Rows idx;
    Rows rope;
    Rows toks;
    Rows seqs;
    Rows o;
    Ptr sink;
    Ptr partial;
    i32 rows;
    i32 heads;
    i32 head;
    i32 rotary;
    i32 positions;
    i32 window;
    i32 entries;
    i32 listed;
    i32 ratio;
    i32 page_entries;
    i32 page_table;
    i32 page_count;
    i32 ring_rows;
    i32 format;
    i32 inverse;
    f32 scale;
    i32 group;
    i32 groups;
    i32 runs;
    i32 stages;
    i32 pack_bytes;
    i32 reserved;
};
static_assert(sizeof(AttentionSparse) == 424, "AttentionSparse differs from the host's");
