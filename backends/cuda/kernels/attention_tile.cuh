#pragma once
DEVICE void attend_by_tiles(const AttentionSparse&, u8*) {}
DEVICE void fold_runs(const AttentionSparse&) {}
