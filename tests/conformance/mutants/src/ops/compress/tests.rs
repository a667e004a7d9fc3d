use crate::rows::testing::{Desk, near, reals, run};
use omnihal::op::compress::Update;
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{DType, RowFormat};

const ACT: DType = DType::F32;

/// A row at position 1 that completes entry 0; position 0 is in the state. Gives the pool and the state.
fn updated(id: &str) -> (Vec<f32>, Vec<f32>) {
    let mut desk = Desk::default();
    let d = Update {
        rows: 2,
        seqs: 1,
        closings: 2,
        ratio: 2,
        overlap: false,
        width: 2,
        rotary: 2,
        positions: 2,
        ring: 2,
        slots: 3,
        eps: 0.0,
        hadamard: false,
        quant: RowQuant::None,
        pages: PageSpace { pages: 3, entries: 2, table: 1 },
        format: RowFormat::Plain(ACT),
        weight: ACT,
        act: ACT,
    };
    let mut state = [7.0; 24];
    state[..8].fill(0.0);
    state[16..20].copy_from_slice(&[2.0, 4.0, 0.0, 0.0]);
    let views = [
        desk.reals(ACT, [2, 4], &[4.0, 8.0, -1.0, -1.0, 9.0, 9.0, 9.0, 9.0]),
        desk.reals(ACT, [2, 4], &[0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 1.0, 1.0]),
        desk.reals(ACT, [2], &[1.0, 1.0]),
        desk.reals(ACT, [2, 2], &[1.0, 0.0, 0.0, 1.0]),
        desk.reals(ACT, [3, 2, 4], &state),
        desk.reals(ACT, [3, 2, 2], &[0.0; 12]),
        desk.ints([1, 1], &[2]),
        desk.ints([2, 4], &[1, 2, 0, 5, -1, -1, -1, -1]),
        desk.ints([1, 4], &[2, 1, 0, 1]),
        desk.ints([2, 2], &[0, 0, -1, -1]),
    ];
    run(d, id, &views);
    (reals(&views[5]), reals(&views[4]))
}

#[test]
fn a_closing_pools_kept_and_new_rows_and_the_new_one_is_kept_with_its_bias() {
    let (pool, state) = updated("");
    // Both gates are 0: the mean of (2, 4) and (4, 8) is (3, 6), of root mean square sqrt(22.5).
    let root = 22.5f32.sqrt();
    near(&pool[8..], &[3.0 / root, 6.0 / root, 0.0, 0.0]);
    assert!(pool[..8].iter().all(|&x| x == 0.0));
    assert_eq!(state[16..], [2.0, 4.0, 0.0, 0.0, 4.0, 8.0, 0.0, 0.0]);
    assert_eq!(state[..8], [0.0; 8]);
}

#[test]
fn mistakes_show_where_they_are_made() {
    let (pool, _) = updated("compress.norm_missing");
    near(&pool[8..10], &[3.0, 6.0]);
    let (_, state) = updated("compress.padding_kept_in_slot_zero");
    assert_eq!(state[..4], [9.0; 4]);
    let (_, state) = updated("compress.bias_not_kept");
    assert_eq!(state[20..], [4.0, 8.0, -1.0, -1.0]);
    // A quarter turn belongs to position 1, the last of the window.
    let (pool, _) = updated("compress.rope_at_last_position");
    let root = 22.5f32.sqrt();
    near(&pool[8..10], &[-6.0 / root, 3.0 / root]);
}
