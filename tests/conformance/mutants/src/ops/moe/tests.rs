use crate::rows::testing::{Desk, near, reals, run, run_with, whole};
use omnihal::op::ActQuant;
use omnihal::op::moe::{Experts, Group, Route, Routing, Swiglu};
use omnihal::{DType, View, WeightFormat};
use std::sync::Mutex;

const ACT: DType = DType::F32;

fn grouped(desk: &mut Desk) -> (Group, [View; 5]) {
    let d = Group { rows: 3, choices: 2, first: 1, local: 2 };
    let idx = desk.ints([3, 2], &[1, 0, 2, 1, -1, 5]);
    let out = [6, 6, 6, 2].map(|n| desk.blank(DType::I32, [n]));
    (d, [idx, out[0], out[1], out[2], out[3]])
}

#[test]
fn pairs_are_sorted_by_local_expert_and_absent_ones_come_last() {
    let mut desk = Desk::default();
    let (d, views) = grouped(&mut desk);
    for id in ["", "moe.grouped_by_counting"] {
        run(d, id, &views);
        assert_eq!(whole(&views[1]), [0, 3, 2, 1, 4, 5]);
        assert_eq!(whole(&views[2]), [0, 1, 1, 0, 2, 2]);
        assert_eq!(whole(&views[3]), [0, 3, 2, 1, 4, 5]);
        assert_eq!(whole(&views[4]), [2, 1]);
    }
}

#[test]
fn counts_that_are_not_cleared_show_on_a_second_run_only() {
    let mut desk = Desk::default();
    let (d, views) = grouped(&mut desk);
    let (op, kept, all) = (d.into(), Mutex::default(), views.map(Some));
    run_with(&op, "moe.counts_not_cleared", &all, &kept);
    assert_eq!(whole(&views[4]), [2, 1]);
    run_with(&op, "moe.counts_not_cleared", &all, &kept);
    assert_eq!(whole(&views[4]), [4, 2]);
}

fn routed(id: &str) -> (Vec<i32>, Vec<f32>) {
    let mut desk = Desk::default();
    let (routing, gate) = (Routing::Scored, ACT);
    let d =
        Route { rows: 2, width: 1, experts: 3, choices: 2, routing, scale: 1.5, gate, act: ACT, with_logits: false };
    let views = [
        Some(desk.reals(ACT, [2, 1], &[1.0, 1.0])),
        Some(desk.reals(ACT, [3, 1], &[36.0, 25.0, 64.0])),
        Some(desk.reals(ACT, [3], &[-9.0, 8.0, 0.0])),
        None,
        None,
        Some(desk.ints([2, 4], &[0, 2, 0, 7, -1, -1, -1, -1])),
        Some(desk.blank(DType::I32, [2, 2])),
        Some(desk.blank(ACT, [2, 2])),
        None,
    ];
    run_with(&d.into(), id, &views, &Default::default());
    (whole(&views[6].unwrap()), reals(&views[7].unwrap()))
}

#[test]
fn the_bias_decides_the_choice_and_stays_out_of_the_weights() {
    // Scores 6, 5, 8; with the bias -3, 13, 8.
    let (idx, wt) = routed("");
    assert_eq!(idx, [1, 2, -1, -1]);
    near(&wt[..2], &[1.5 * 5.0 / 13.0, 1.5 * 8.0 / 13.0]);
    assert_eq!(routed("moe.bias_missing").0[..2], [2, 0]);
    near(&routed("moe.bias_in_weights").1[..2], &[1.5 * 13.0 / 21.0, 1.5 * 8.0 / 21.0]);
    assert!(routed("moe.softplus_overflows").1[1].is_finite());
}

#[test]
fn the_gate_is_clamped_from_above_and_up_from_both_sides() {
    let mut desk = Desk::default();
    let d = Swiglu { rows: 1, inter: 2, limit: 1.0, weighted: true, input: ACT, output: ACT };
    let x = desk.reals(ACT, [1, 4], &[30.0, -2.0, -5.0, 0.5]);
    let (wt, y) = (desk.reals(ACT, [1], &[2.0]), desk.blank(ACT, [1, 2]));
    run(d, "", &[x, wt, y]);
    // silu(1) = 0.7310586, silu(-2) = -0.2384058.
    near(&reals(&y), &[-1.462_117_2, -0.238_405_84]);
    run(d, "moe.up_clamped_above_only", &[x, wt, y]);
    near(&reals(&y)[..1], &[-7.310_586]);
}

#[test]
fn local_experts_add_to_what_is_there_and_others_add_nothing() {
    let mut desk = Desk::default();
    let (w13, w2) = (WeightFormat::Plain(ACT), WeightFormat::Plain(ACT));
    let d = Experts {
        rows: 1,
        width: 1,
        inter: 1,
        choices: 3,
        first: 4,
        local: 1,
        w13,
        w2,
        limit: 10.0,
        a_quant: ActQuant::None,
        act: ACT,
        accumulate: true,
    };
    let acc = desk.reals(ACT, [1, 1], &[1.0]);
    let views = [
        desk.reals(ACT, [1, 1], &[2.0]),
        desk.ints([1, 3], &[4, -1, 5]),
        desk.reals(ACT, [1, 3], &[0.5, 9.0, 9.0]),
        desk.reals(ACT, [1, 2, 1], &[1.0, 1.0]),
        desk.reals(ACT, [1, 1, 1], &[3.0]),
        acc,
        acc,
    ];
    run(d, "", &views);
    // silu(2) * 2 = 3.5231884.
    near(&reals(&acc), &[1.0 + 3.0 * 0.5 * 3.523_188_4]);
    run(d, "moe.result_cleared_before_sum_is_read", &views);
    near(&reals(&acc), &[3.0 * 0.5 * 3.523_188_4]);
}
