use crate::rows::testing::{Desk, near, reals, run, whole};
use omnihal::op::indexer::{Query, Select};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{DType, RowFormat};

const ACT: DType = DType::F32;

#[test]
fn a_head_is_rotated_and_spread() {
    let mut desk = Desk::default();
    let (hadamard, quant) = (true, RowQuant::None);
    let d = Query { rows: 1, heads: 1, width: 2, rotary: 2, positions: 2, hadamard, quant, act: ACT };
    let q = desk.reals(ACT, [1, 1, 2], &[1.0, -1.0]);
    let rope = desk.reals(ACT, [2, 2], &[1.0, 0.0, 0.0, 1.0]);
    let toks = desk.ints([1, 4], &[1, 2, 0, 7]);
    run(d, "", &[q, rope, toks]);
    // A quarter turn gives (1, 1), whose sum and difference are 2 and 0.
    near(&reals(&q), &[2f32.sqrt(), 0.0]);
}

/// Scores 2, 0, 5, 5 times sqrt(1/2), as far as position `pos` sees them.
fn selected(id: &str, pos: i32) -> (Vec<i32>, Vec<f32>) {
    let mut desk = Desk::default();
    let d = Select {
        rows: 1,
        seqs: 1,
        heads: 1,
        width: 2,
        rotary: 2,
        keep: 3,
        ratio: 2,
        pages: PageSpace { pages: 4, entries: 2, table: 2 },
        format: RowFormat::Plain(ACT),
        act: ACT,
        with_scores: true,
    };
    let mut pool = [f32::NAN; 16];
    // Pages 3 and 2, in this order.
    pool[12..].copy_from_slice(&[2.0, 0.0, -3.0, 0.0]);
    pool[8..12].copy_from_slice(&[5.0, 0.0, 5.0, 0.0]);
    let views = [
        desk.reals(ACT, [1, 1, 2], &[1.0, 0.0]),
        desk.reals(ACT, [1, 1], &[1.0]),
        desk.reals(ACT, [4, 2, 2], &pool),
        desk.ints([1, 2], &[3, 2]),
        desk.ints([1, 4], &[pos, 2, 0, 7]),
        desk.blank(DType::I32, [1, 3]),
        desk.blank(ACT, [1, 3]),
    ];
    run(d, id, &views);
    (whole(&views[5]), reals(&views[6]))
}

#[test]
fn the_best_entries_are_given_ascending_with_their_scores() {
    let unit = 0.5f32.sqrt();
    let (idx, scores) = selected("", 7);
    assert_eq!(idx, [0, 2, 3]);
    near(&scores, &[2.0 * unit, 5.0 * unit, 5.0 * unit]);
    assert_eq!(selected("indexer.selected_by_blocks", 7).0, [0, 2, 3]);
    assert_eq!(selected("indexer.ordered_by_score", 7).0, [2, 3, 0]);
}

#[test]
fn an_entry_is_seen_by_the_row_that_completes_it_and_padding_ends_the_list() {
    assert_eq!(selected("", 3).0, [0, 1, -1]);
    assert_eq!(selected("", 2).0, [0, -1, -1]);
    assert_eq!(selected("", 0).0, [-1, -1, -1]);
    assert_eq!(selected("indexer.entry_visible_late", 3).0, [0, -1, -1]);
    assert_eq!(selected("indexer.padding_is_zero", 2).0, [0, 0, 0]);
}
