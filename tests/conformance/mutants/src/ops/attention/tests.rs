use crate::rows::testing::{Desk, near, reals, run};
use omnihal::op::attention::{Entries, Latent, Query, Sparse};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{DType, RowFormat};

const ACT: DType = DType::F32;
/// No turn at position 0, a quarter turn at position 1.
const QUARTER: [f32; 4] = [1.0, 0.0, 0.0, 1.0];

#[test]
fn the_joint_projection_is_split_normalised_and_its_keys_rotated() {
    let mut desk = Desk::default();
    let d = Latent {
        rows: 1,
        q_lora: 2,
        head: 2,
        rotary: 2,
        positions: 2,
        eps: 0.0,
        quant: RowQuant::None,
        weight: ACT,
        act: ACT,
    };
    let lat = desk.reals(ACT, [1, 4], &[3.0, 4.0, 0.0, 5.0]);
    let (q_norm, kv_norm) = (desk.reals(ACT, [2], &[1.0, 2.0]), desk.reals(ACT, [2], &[1.0, 1.0]));
    let (rope, toks) = (desk.reals(ACT, [2, 2], &QUARTER), desk.ints([1, 4], &[1, 2, 0, 7]));
    let (qr, kv) = (desk.blank(ACT, [1, 2]), desk.blank(ACT, [1, 2]));
    let views = [lat, q_norm, kv_norm, rope, toks, qr, kv];
    run(d, "", &views);
    let unit = 2f32.sqrt();
    near(&reals(&qr), &[0.6 * unit, 1.6 * unit]);
    near(&reals(&kv), &[-unit, 0.0]);
    run(d, "attention.rope_sign", &views);
    near(&reals(&kv), &[unit, 0.0]);
}

#[test]
fn each_head_is_normalised_on_its_own() {
    let mut desk = Desk::default();
    let d = Query { rows: 1, heads: 2, head: 2, rotary: 2, positions: 2, eps: 0.0, act: ACT };
    let q = desk.reals(ACT, [1, 2, 2], &[3.0, 3.0, 0.0, -2.0]);
    let (rope, toks) = (desk.reals(ACT, [2, 2], &QUARTER), desk.ints([1, 4], &[0, 2, 0, 7]));
    run(d, "", &[q, rope, toks]);
    near(&reals(&q), &[1.0, 1.0, 0.0, -(2f32.sqrt())]);
}

fn attended(id: &str, q: [f32; 2], sink: f32, inverse: bool) -> Vec<f32> {
    let mut desk = Desk::default();
    let pages = PageSpace { pages: 3, entries: 2, table: 1 };
    let d = Sparse {
        rows: 1,
        seqs: 1,
        heads: 1,
        head: 2,
        rotary: 2,
        positions: 2,
        window: 2,
        scale: 1.0,
        entries: Entries::All,
        ratio: 2,
        pages,
        ring: 2,
        slots: 3,
        format: RowFormat::Plain(ACT),
        inverse,
        act: ACT,
    };
    let mut ring = [f32::NAN; 12];
    ring[8..10].copy_from_slice(&[2.0, 0.0]);
    let mut pool = [f32::NAN; 12];
    pool[8..10].copy_from_slice(&[6.0, 0.0]);
    let views = [
        desk.reals(ACT, [1, 1, 2], &q),
        desk.reals(ACT, [1, 2], &[4.0, 0.0]),
        desk.reals(ACT, [3, 2, 2], &ring),
        desk.reals(ACT, [3, 2, 2], &pool),
        desk.ints([1, 1], &[2]),
        desk.reals(ACT, [1], &[sink]),
        desk.reals(ACT, [2, 2], &QUARTER),
        desk.ints([1, 4], &[1, 2, 0, 7]),
        desk.ints([1, 4], &[2, 1, 0, 1]),
        desk.blank(ACT, [1, 1, 2]),
    ];
    let mut all: Vec<_> = views.iter().copied().map(Some).collect();
    // There is no list of entries.
    all.insert(5, None);
    crate::rows::testing::run_with(&d.into(), id, &all, &Default::default());
    reals(&views[9])
}

#[test]
fn a_row_sees_its_window_and_the_entry_that_it_completes_and_the_sink_takes_a_share() {
    // Three keys and the sink have one logit: a quarter each.
    near(&attended("", [0.0, 1.0], 0.0, false), &[3.0, 0.0]);
    near(&attended("attention.entry_visible_late", [0.0, 1.0], 0.0, false), &[2.0, 0.0]);
    near(&attended("attention.sink_missing", [0.0, 1.0], 0.0, false), &[4.0, 0.0]);
    assert!(attended("attention.masked_keys_multiplied", [0.0, 1.0], 0.0, false)[0].is_nan());
}

#[test]
fn the_result_is_turned_back_by_the_position_of_the_row() {
    near(&attended("", [0.0, 1.0], 0.0, true), &[0.0, -3.0]);
}

#[test]
fn a_sink_far_above_the_logits_takes_all() {
    near(&attended("", [1.0, 0.0], 200.0, false), &[0.0, 0.0]);
    assert!(attended("attention.softmax_without_maximum", [100.0, 0.0], 0.0, false)[0].is_nan());
}

#[test]
fn honest_ways_through_the_keys_agree() {
    let expected = attended("", [0.3, 0.0], 0.5, true);
    for id in ["online_softmax", "split_keys", "keys_backwards", "late_division", "fast_exponential"] {
        near(&attended(&format!("attention.{id}"), [0.3, 0.0], 0.5, true), &expected);
    }
}
