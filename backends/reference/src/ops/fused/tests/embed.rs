use crate::testing::{Bench, get_ints};
use omnihal::op::embed::Ids;

#[test]
fn negative_ids_name_tokens_of_the_slot_and_padding_is_zero() {
    let mut bench = Bench::new();
    let toks = bench.ints([5, 4], &[3, 2, 0, 77, 4, 2, 0, -1, 5, 3, 1, -2, 6, 3, 1, -4, -1, -1, -1, -1]);
    let last = bench.ints([4, 2], &[0, 0, 0, 0, 20, 21, 30, 31]);
    let ids = bench.ints([5], &[9; 5]);
    bench.run(Ids { rows: 5, slots: 4, drafts: 1 }, &[toks, last, ids].map(Some)).unwrap();
    assert_eq!(get_ints(&ids), [77, 20, 31, 0, 0], "a token that was never kept counts as absent");
}
