// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once

struct SampleTopK {
    Rows x;
    Rows values;
    Rows idx;
    Ptr parts;
    i32 width;
    i32 keep;
    i32 room;
    i32 segments;
    i32 length;
    i32 left;
    i32 largest;
    i32 reserved;
};
static_assert(sizeof(SampleTopK) == 136, "SampleTopK differs from the host's");

struct SamplePick {
    Rows logits;
    Rows par;
    Rows toks;
    Rows seen;
    Rows last;
    Ptr u;
    Ptr out;
    Ptr tok;
    Ptr logprob;
    Ptr parts;
    Ptr sums;
    Ptr sorted;
    i32 vocab;
    i32 candidates;
    i32 rows;
    i32 slots;
    i32 drafts;
    i32 room;
    i32 segments;
    i32 length;
    i32 left;
    i32 reserved;
};
static_assert(sizeof(SamplePick) == 256, "SamplePick differs from the host's");
