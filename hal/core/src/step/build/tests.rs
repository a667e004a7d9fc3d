//! The columns of small steps, by hand.

use super::*;

fn shape(tile: usize) -> StepShape {
    let space = SpaceShape { ratio: 4, overlap: true, closings: 5, table: 4, page_entries: 2, ring: 16 };
    StepShape { rows: 8, seqs: 2, wanted: 3, tile, window: 4, ring: 16, drafts: 0, spaces: vec![space] }
}

fn built(tile: usize, column: Column) -> Vec<i32> {
    let mut table = StepColumns::new(StepLayout::new(shape(tile), [column]).unwrap());
    let (a, b) = ([7, 8, 9], [5]);
    let seqs = [
        Sequence { slot: 2, first: 6, ids: &a, pages: &[&[3]], wanted: &[2] },
        Sequence { slot: 3, first: 1, ids: &b, pages: &[&[5]], wanted: &[0] },
    ];
    table.build(&seqs).unwrap();
    table.column(column).unwrap().to_vec()
}

#[test]
fn rows_carry_position_slot_sequence_and_id() {
    let toks = built(1, Column::Toks);
    assert_eq!(toks[..16], [6, 2, 0, 7, 7, 2, 0, 8, 8, 2, 0, 9, 1, 3, 1, 5]);
    assert!(toks[16..].iter().all(|&w| w == -1));
}

#[test]
fn a_window_closes_once_and_reads_old_and_new_rows() {
    assert_eq!(built(1, Column::Close(4))[..4], [0, 1, -1, -1]);
    // Positions 0..3 give A-halves from the state, 4 and 5 B-halves from the state, 6 and 7 B-halves of this step.
    let slot = |p: usize, half: usize| ((2 * 16 + p) * 2 + half) as i32;
    assert_eq!(
        built(1, Column::ClOld(4))[..8],
        [slot(0, 0), slot(1, 0), slot(2, 0), slot(3, 0), slot(4, 1), slot(5, 1), 0, 0]
    );
    assert_eq!(built(1, Column::ClNew(4))[..8], [0, 0, 0, 0, 0, 0, 1, 3]);
    assert_eq!(built(1, Column::ClDst(4))[..2], [3 * 2 + 1, 2]);
}

#[test]
fn window_rows_join_history_and_step_in_position_order() {
    let win = built(1, Column::WinSrc);
    // Sequence 0 has history rows 1..=3 (positions 3, 4, 5); the step's rows start at 1 + 3 * 2.
    assert_eq!(win[..4], [1, 2, 3, 7]);
    assert_eq!(win[8..12], [3, 7, 8, 9]);
    // Sequence 1 at position 1 sees positions 0 (history) and 1.
    assert_eq!(win[12..16], [0, 0, 6, 10]);
    assert_eq!(built(1, Column::HistSrc)[..4], [0, 2 * 16 + 3, 2 * 16 + 4, 2 * 16 + 5]);
}

#[test]
fn tiles_hold_rows_of_one_sequence() {
    assert_eq!(built(2, Column::QtRows)[..6], [0, 1, 2, 0, 3, 0]);
    assert_eq!(built(2, Column::TokQt)[..4], [0, 1, 2, 4]);
}

#[test]
fn a_batch_past_the_capacity_is_refused() {
    let mut table = StepColumns::new(StepLayout::new(shape(1), []).unwrap());
    let ids = [1; 9];
    let error = table.build(&[Sequence { slot: 2, first: 0, ids: &ids, pages: &[&[]], wanted: &[] }]).unwrap_err();
    assert!(error.to_string().contains("9 rows"), "{error}");
}

#[test]
fn entries_on_absent_pages_are_not_visible() {
    let visible = |pages: &[i32]| {
        let mut table = StepColumns::new(StepLayout::new(shape(1), [Column::NVis(4)]).unwrap());
        let ids = [1];
        table.build(&[Sequence { slot: 2, first: 15, ids: &ids, pages: &[pages], wanted: &[0] }]).unwrap();
        f32::from_bits(table.column(Column::NVis(4)).unwrap()[0] as u32)
    };
    // Position 15 closes the fourth entry; a page holds two.
    assert_eq!([&[3, 4][..], &[3], &[]].map(visible), [4.0, 2.0, 0.0]);
}
