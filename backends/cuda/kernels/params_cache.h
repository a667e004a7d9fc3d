// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct CacheRows {
    Ptr pt;
    Ptr which;
    Rows j;
    Rows phys;
    i64 pt_row;
    u64 columns;
    u64 count;
    i32 tables;
    i32 table;
    i32 entries;
    i32 reserved;
};
static_assert(sizeof(CacheRows) == 120, "CacheRows differs from the host's");

struct CacheStore {
    Rows kv;
    Ptr to;
    Ptr toks;
    Ptr seq_rows;
    i64 slot_bytes;
    i64 row_bytes;
    i64 toks_row;
    i64 seqs_row;
    i32 seqs;
    i32 slots;
    i32 ring;
    i32 width;
    i32 turned;
    i32 group;
    i32 kind;
    i32 stored;
    i32 whole;
    i32 row_whole;
};
static_assert(sizeof(CacheStore) == 128, "CacheStore differs from the host's");

struct CacheCopy {
    Ptr data;
    Ptr from;
    Ptr to;
    i64 row_bytes;
    i64 units;
    u32 parts;
    i32 rows;
    i32 unit;
    i32 reserved;
};
static_assert(sizeof(CacheCopy) == 56, "CacheCopy differs from the host's");
