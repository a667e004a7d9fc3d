use crate::rows::testing::{Desk, reals, run, whole};
use omnihal::op::cache::{CopyRows, Rows, Store};
use omnihal::{DType, RowFormat};

const ACT: DType = DType::F32;

#[test]
fn entries_lead_through_the_table_and_absent_ones_to_the_null_row() {
    let mut desk = Desk::default();
    let d = Rows { rows: 2, count: 4, tables: 2, table: 2, entries: 3 };
    let pt = desk.ints([2, 2], &[2, 9, 4, 3]);
    let (which, j) = (desk.ints([2], &[1, 0]), desk.ints([2, 4], &[0, 5, -1, 6, 2, 3, 4, 5]));
    let phys = desk.blank(DType::I32, [2, 4]);
    for id in ["", "cache.addresses_in_floats"] {
        run(d, id, &[pt, which, j, phys]);
        assert_eq!(whole(&phys), [12, 11, 0, 0, 8, 27, 28, 29]);
    }
    run(d, "cache.page_size_taken_as_power_of_two", &[pt, which, j, phys]);
    assert_ne!(whole(&phys)[4..], [8, 27, 28, 29]);
}

fn stored(id: &str) -> Vec<f32> {
    let mut desk = Desk::default();
    let format = RowFormat::Plain(ACT);
    let d = Store { rows: 4, seqs: 1, width: 2, rotary: 2, ring: 2, slots: 3, format, act: ACT };
    let kv = desk.reals(ACT, [4, 2], &[1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 9.0, 9.5]);
    let ring = desk.reals(ACT, [3, 2, 2], &[0.0; 12]);
    let toks = desk.ints([4, 4], &[4, 2, 0, 7, 5, 2, 0, 7, 6, 2, 0, 7, -1, -1, -1, -1]);
    let seqs = desk.ints([1, 4], &[2, 4, 0, 3]);
    run(d, id, &[kv, ring, toks, seqs]);
    reals(&ring)
}

#[test]
fn only_the_last_rows_of_a_chunk_stay_in_the_ring() {
    for id in ["", "cache.rows_stored_backwards"] {
        assert_eq!(stored(id), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 3.5, 2.0, 2.5]);
    }
    assert_eq!(stored("cache.rows_stored_in_any_order")[8..], [1.0, 1.5, 2.0, 2.5]);
    assert_eq!(stored("cache.padding_stored_in_slot_zero")[..2], [9.0, 9.5]);
}

#[test]
fn rows_are_copied_bit_by_bit_and_absent_ones_skipped() {
    let mut desk = Desk::default();
    let d = CopyRows { rows: 4, width: 2, count: 2, dtype: ACT };
    let t = desk.reals(ACT, [4, 2], &[1.0, 2.0, -0.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let (from, to) = (desk.ints([2], &[1, -1]), desk.ints([2], &[2, 3]));
    run(d, "", &[t, from, to]);
    let found = reals(&t);
    assert_eq!(found, [1.0, 2.0, 0.0, 4.0, 0.0, 4.0, 7.0, 8.0]);
    assert!(found[4].is_sign_negative());
    run(d, "cache.sign_of_zero_lost", &[t, from, to]);
    assert!(reals(&t)[4].is_sign_positive());
}
