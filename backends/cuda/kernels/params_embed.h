// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct EmbedLookup {
    Rows table;
    Rows x;
    Ptr ids;
    u64 units;
    u64 count;
    i64 width;
    i32 vocab;
    i32 copies;
    i32 whole;
    i32 reserved;
};
static_assert(sizeof(EmbedLookup) == 112, "EmbedLookup differs from the host's");

struct EmbedIds {
    Ptr toks;
    Ptr last;
    Ptr ids;
    i64 toks_row;
    i64 last_row;
    i32 rows;
    i32 slots;
    i32 drafts;
    i32 reserved;
};
static_assert(sizeof(EmbedIds) == 56, "EmbedIds differs from the host's");
