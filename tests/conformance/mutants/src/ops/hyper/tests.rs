use crate::rows::testing::{Desk, near, reals, run, run_with};
use omnihal::DType;
use omnihal::op::hyper::{Head, Post, Pre, Sinkhorn};

const ACT: DType = DType::F32;

fn balanced(id: &str) -> Vec<f32> {
    let mut desk = Desk::default();
    let d = Sinkhorn { rows: 1, streams: 2, iters: 1, eps: 0.0 };
    let logits = desk.reals(ACT, [1, 4], &[0.0, 3f32.ln(), 0.0, 0.0]);
    let comb = desk.blank(ACT, [1, 2, 2]);
    run(d, id, &[logits, comb]);
    reals(&comb)
}

#[test]
fn one_iteration_is_a_softmax_of_rows_and_a_division_of_columns() {
    // Rows (1/4, 3/4) and (1/2, 1/2); columns sum to 3/4 and 5/4.
    near(&balanced(""), &[1.0 / 3.0, 0.6, 2.0 / 3.0, 0.4]);
    near(&balanced("hyper.rows_first"), &[0.25, 0.75, 0.5, 0.5]);
    near(&balanced("hyper.comb_given_transposed"), &[1.0 / 3.0, 2.0 / 3.0, 0.6, 0.4]);
}

#[test]
fn streams_are_mixed_over_the_first_index() {
    let mut desk = Desk::default();
    let d = Post { rows: 1, streams: 2, width: 1, act: ACT };
    let x = desk.reals(ACT, [1, 2, 1], &[1.0, 2.0]);
    let (out, post) = (desk.reals(ACT, [1, 1], &[10.0]), desk.reals(ACT, [1, 2], &[1.0, 0.5]));
    let comb = desk.reals(ACT, [1, 2, 2], &[0.1, 0.2, 0.3, 0.4]);
    let y = desk.blank(ACT, [1, 2, 1]);
    run(d, "", &[x, out, post, comb, y]);
    near(&reals(&y), &[10.7, 6.0]);
    run(d, "hyper.comb_not_transposed", &[x, out, post, comb, y]);
    near(&reals(&y), &[10.5, 6.1]);
    // The result lies over the input: what is read must not have been overwritten.
    run(d, "", &[x, out, post, comb, x]);
    near(&reals(&x), &[10.7, 6.0]);
}

#[test]
fn coefficients_come_from_the_projected_and_normalised_streams() {
    let mut desk = Desk::default();
    let d = Pre { rows: 1, streams: 2, width: 1, iters: 1, eps: 0.0, hc_eps: 0.25, norm: None, act: ACT };
    let x = desk.reals(ACT, [1, 2, 1], &[3.0, 3.0]);
    let mut projection = [0.0; 16];
    projection[..2].copy_from_slice(&[0.5, 0.5]);
    let views = [
        Some(x),
        Some(desk.reals(ACT, [8, 2], &projection)),
        Some(desk.reals(ACT, [3], &[2.0, 1.0, 1.0])),
        Some(desk.reals(ACT, [8], &[-2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])),
        None,
        Some(desk.blank(ACT, [1, 1])),
        Some(desk.blank(ACT, [1, 2])),
        Some(desk.blank(ACT, [1, 2, 2])),
    ];
    run_with(&d.into(), "", &views, &Default::default());
    // The first logit is 2 * (3 * 0.5 + 3 * 0.5) / 3 - 2 = 0, as all others are.
    near(&reals(&views[5].unwrap()), &[4.5]);
    near(&reals(&views[6].unwrap()), &[1.0, 1.0]);
    // (1/2 + 1/4) / (3/2 + 1/4).
    near(&reals(&views[7].unwrap()), &[3.0 / 7.0; 4]);
}

#[test]
fn only_wanted_rows_are_collapsed() {
    let mut desk = Desk::default();
    let d = Head { rows: 2, wanted: 2, streams: 2, width: 1, eps: 1e-6, hc_eps: 0.1, norm: None, act: ACT };
    let views = [
        Some(desk.reals(ACT, [2, 2, 1], &[9.0, 9.0, 1.0, 2.0])),
        Some(desk.ints([2], &[1, -1])),
        Some(desk.reals(ACT, [2, 2], &[0.0; 4])),
        Some(desk.reals(ACT, [1], &[1.0])),
        Some(desk.reals(ACT, [2], &[0.0; 2])),
        None,
        Some(desk.reals(ACT, [2, 1], &[7.0; 2])),
    ];
    run_with(&d.into(), "", &views, &Default::default());
    near(&reals(&views[6].unwrap()), &[1.8, 7.0]);
}
