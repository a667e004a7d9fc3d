// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct CompressUpdate {
    Rows proj;
    Rows ape;
    Rows norm;
    Rows rope;
    Rows state;
    Rows pool;
    Rows pt;
    Rows toks;
    Rows seqs;
    Rows close;
    i32 seq_count;
    i32 closings;
    i32 ratio;
    i32 halves;
    i32 width;
    i32 rotary;
    i32 positions;
    i32 ring_rows;
    i32 page_entries;
    i32 page_table;
    i32 page_count;
    i32 hadamard;
    i32 quant;
    i32 format;
    i32 act;
    f32 eps;
};
static_assert(sizeof(CompressUpdate) == 384, "CompressUpdate differs from the host's");
