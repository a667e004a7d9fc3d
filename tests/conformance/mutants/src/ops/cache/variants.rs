//! The variants of family `cache`.

use crate::Variant;
use omnihal::OpKind::{self, CacheCopyRows, CacheRows, CacheStore};

const ROWS: &[OpKind] = &[CacheRows];
const STORE: &[OpKind] = &[CacheStore];
const COPY: &[OpKind] = &[CacheCopyRows];

/// Why no input shows a kernel that forgets the strides of what it updates.
const GAPLESS: &str = "what these operators write has no gaps: only their inputs may";

/// The variants of this family. All three operators are exact, so the honest ones differ only in the order of their work.
pub const VARIANTS: &[Variant] = &[
    Variant::honest("cache.addresses_in_floats", ROWS, "computes addresses in f32, where they are exact"),
    Variant::honest("cache.rows_stored_backwards", STORE, "stores the rows that stay from the last to the first"),
    Variant::honest("cache.copies_backwards", COPY, "copies rows from the last to the first"),
    Variant::planted("cache.table_stride_ignored", ROWS, "reads page tables as if their rows had no gaps"),
    Variant::planted("cache.entry_stride_ignored", ROWS, "reads entries as if their rows had no gaps"),
    Variant::planted("cache.row_tail_skipped", ROWS, "leaves out the rows after whole tiles of four"),
    Variant::planted("cache.table_of_first_row", ROWS, "uses the page table of row 0 for all"),
    Variant::planted("cache.absent_entry_is_first", ROWS, "takes -1 for entry 0"),
    Variant::planted("cache.entry_past_the_table_clamped", ROWS, "takes an entry past the table for the last"),
    Variant::planted("cache.page_size_taken_as_power_of_two", ROWS, "finds pages by shifts"),
    Variant::planted("cache.page_border_early", ROWS, "changes page one entry early"),
    Variant::planted("cache.place_in_page_missing", ROWS, "gives the first row of the page"),
    Variant::planted("cache.page_number_for_row", ROWS, "forgets to multiply the page by its entries"),
    Variant::planted("cache.kv_stride_ignored", STORE, "reads rows of the step as if they had no gaps"),
    Variant::equivalent("cache.ring_stride_ignored", STORE, "writes rings as if they had no gaps", GAPLESS),
    Variant::planted("cache.rows_stored_in_any_order", STORE, "lets an early row of a chunk overwrite a later one"),
    Variant::planted("cache.padding_stored_in_slot_zero", STORE, "stores padding rows in the null slot"),
    Variant::planted("cache.only_newest_row_stored", STORE, "stores the last row of a chunk only"),
    Variant::planted("cache.slot_of_sequence_number", STORE, "takes a sequence's number for its slot"),
    Variant::planted("cache.ring_masked_as_power_of_two", STORE, "addresses the ring by a mask"),
    Variant::planted("cache.ring_by_row_of_step", STORE, "addresses the ring by the row of the step"),
    Variant::planted("cache.ring_one_row_late", STORE, "stores a position in the row of the next"),
    Variant::planted("cache.last_ring_row_lost", STORE, "never writes the last row of a ring"),
    Variant::planted("cache.channel_tail_skipped", STORE, "leaves out the channels after whole tiles of 64"),
    Variant::planted("cache.first_scale_for_all_groups", STORE, "packs all groups of a row with the first scale"),
    Variant::planted("cache.packed_scales_misplaced", STORE, "packs scales before the rotated channels"),
    Variant::planted("cache.stored_rows_truncated", STORE, "cuts stored numbers to BF16"),
    Variant::equivalent("cache.copied_stride_ignored", COPY, "takes rows to have no gaps", GAPLESS),
    Variant::planted("cache.copies_of_whole_pairs", COPY, "forgets the last of an odd number of copies"),
    Variant::planted("cache.copied_backwards", COPY, "copies from the target to the source"),
    Variant::planted("cache.copy_writes_past_the_end", COPY, "writes one element after the last"),
    Variant::planted("cache.absent_row_is_first", COPY, "takes -1 for row 0"),
    Variant::planted("cache.copy_of_whole_words", COPY, "copies sixteen bytes at a time and forgets the rest"),
    Variant::planted("cache.copy_of_first_half", COPY, "copies the first half of a row"),
    Variant::planted("cache.sign_of_zero_lost", &[CacheStore, CacheCopyRows], "turns -0 into 0"),
    Variant::planted("cache.moved_not_copied", COPY, "clears the source"),
    Variant::planted("cache.copy_adds", COPY, "adds to the target"),
];
