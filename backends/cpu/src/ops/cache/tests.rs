use super::testing::{Array, Seed, run, run_hinted};
use omnihal::op::cache::{CopyRows, Rows, Store};
use omnihal::{DType, RowFormat};

#[test]
fn pool_rows_follow_the_page_table_and_absent_entries_give_the_null_row() {
    let pt = Array::indices([2, 3], &[5, 2, 7, 4, 0, 0]);
    let which = Array::indices([3], &[0, 1, 9]);
    let j = Array::indices([3, 4], &[0, 5, 11, 12, 3, -1, i32::MIN, i32::MAX, 0, 1, 2, 3]);
    for threads in 1..=3 {
        let phys = Array::garbage(DType::I32, [3, 4]);
        let op = Rows { rows: 3, count: 4, tables: 2, table: 3, entries: 4 };
        run(threads, op, &[Some(pt.view()), Some(which.view()), Some(j.view()), Some(phys.view())]);
        assert_eq!(phys.ints(), [20, 9, 31, 0, 19, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// A ring of 4 rows and two slots; slot 2 gets `rows` rows from position `first`.
fn stored(threads: usize, format: RowFormat, first: usize, rows: usize, hint: usize) -> Array {
    let mut seed = Seed::of("stored");
    let (width, rotary, ring, capacity) = (72, 8, 4, 8);
    // Multiples of 1/16 up to 1 are on every grid.
    let values: Vec<f32> = (0..capacity * width).map(|_| (seed.below(33) as f32 - 16.0) / 16.0).collect();
    let kv = Array::floats(DType::BF16, [capacity, width], &values);
    let toks: Vec<i32> =
        (0..capacity).flat_map(|t| if t < rows { [(first + t) as i32, 2, 0, 0] } else { [-1; 4] }).collect();
    let toks = Array::indices([capacity, 4], &toks);
    let seqs = Array::indices([2, 4], &[2, first as i32, 0, rows as i32, -1, 0, 0, 0]);
    let (dtype, len) = format.row(width, rotary);
    let state = Array::garbage(dtype, [3, ring, len]);
    let op = Store { rows: capacity, seqs: 2, width, rotary, ring, slots: 3, format, act: DType::BF16 };
    let views = [kv.view(), state.view(), toks.view(), seqs.view()].map(Some);
    run_hinted(threads, op, &views, hint);
    let read = super::stored::Stored::new(&state.view(), format, width, rotary);
    let mut row = vec![0.0; width];
    for place in 0..ring {
        let newest = (0..rows).rev().find(|t| (first + t) % ring == place);
        if let Some(t) = newest {
            // SAFETY: the row lies in the array above.
            unsafe { read.load(2, place, &mut row, crate::simd::kernels()) };
            assert_eq!(row, values[t * width..][..width], "place {place}");
        }
    }
    state
}

#[test]
fn a_ring_keeps_the_last_rows_of_a_step_in_every_format() {
    for format in [RowFormat::Plain(DType::F32), RowFormat::Plain(DType::BF16), RowFormat::F8R] {
        for (first, rows) in [(0, 3), (5, 8), (2, 1), (7, 4)] {
            let one = stored(1, format, first, rows, usize::MAX);
            for threads in [2, 3] {
                assert!(stored(threads, format, first, rows, rows).words() == one.words());
            }
            // Slots 0 and 1 and, in a short step, the rest of slot 2 are untouched.
            let slots = one.words().len() * 2 / 3;
            assert!(one.words()[..slots].iter().all(|&w| w == u64::MAX));
        }
    }
}

#[test]
fn rows_are_copied_within_a_tensor_and_negative_indices_skip() {
    let mut seed = Seed::of("copy_rows");
    let t = Array::random(DType::F32, [6, 70_001], 3, &mut seed);
    let before = t.bits();
    let (from, to) = (Array::indices([3], &[4, -1, 0]), Array::indices([3], &[2, 3, 5]));
    let op = CopyRows { rows: 6, width: 70_001, count: 3, dtype: DType::F32 };
    run(2, op, &[t.view(), from.view(), to.view()].map(Some));
    let after = t.bits();
    for (row, source) in [(0, 0), (1, 1), (2, 4), (3, 3), (4, 4), (5, 0)] {
        assert!(after[row * 70_001..][..70_001] == before[source * 70_001..][..70_001], "row {row}");
    }
}
