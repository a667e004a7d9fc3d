//! The bounds hold for f32 devices of several habits, and are tight enough to catch a wrong one.

use super::*;
use crate::testing::noise;
use omnihal::op::QuantKind;

/// Checks an f32 function against its exact value and bound over many arguments.
fn holds(name: &str, f: impl Fn(f32) -> f32, exact: impl Fn(Num) -> Num, prepare: impl Fn(f64) -> f64) {
    for x in noise(name, 2000) {
        let x = prepare(x) as f32;
        let (found, expected) = (f64::from(f(x)), exact(Num::exact(f64::from(x))));
        assert!((found - expected.v).abs() <= expected.e, "{name}({x}) = {found}, expected {expected:?}");
        assert!(expected.e <= 1e-3 * expected.v.abs() + 1e-37, "{name}({x}): bound {expected:?} is too wide to judge");
    }
}

#[test]
fn elementary_functions_in_f32_stay_within_their_bounds() {
    holds("exp", f32::exp, Num::exp, |x| 8.0 * x);
    holds("exp2", |x| (x * std::f32::consts::LOG2_E).exp2(), Num::exp, |x| 8.0 * x);
    holds("sigmoid", |x| 1.0 / (1.0 + (-x).exp()), Num::sigmoid, |x| x);
    holds("silu", |x| x / (1.0 + (-x).exp()), Num::silu, |x| x);
    holds("sqrt", f32::sqrt, Num::sqrt, f64::abs);
    holds("rsqrt", |x| 1.0 / x.sqrt(), Num::rsqrt, f64::abs);
    holds("softplus", |x| x.exp().ln_1p().sqrt(), Num::sqrt_softplus, |x| x);
}

#[test]
fn dot_products_in_any_order_stay_within_the_bound_and_a_lost_term_does_not() {
    let (a, b) = (noise("dot a", 3000), noise("dot b", 3000));
    let products: Vec<f32> = a.iter().zip(&b).map(|(a, b)| *a as f32 * *b as f32).collect();
    let exact = dot(&a, &b);
    let forward = products.iter().fold(0f32, |s, p| s + p);
    let backward = products.iter().rev().fold(0f32, |s, p| s + p);
    let blocks: f32 = products.chunks(128).map(|c| c.iter().sum::<f32>()).sum();
    for found in [forward, backward, blocks] {
        assert!((f64::from(found) - exact.v).abs() <= exact.e, "{found} {exact:?}");
    }
    let largest = products.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
    let lost = f64::from(forward - largest);
    assert!((lost - exact.v).abs() > exact.e, "losing {largest} goes unseen in {exact:?}");
}

#[test]
fn exact_f32_results_have_no_bound_and_inexact_ones_do() {
    assert_eq!(Num::exact(1.5) + Num::exact(2.0), Num::exact(3.5));
    assert_eq!(Num::exact(3.0) * Num::exact(0.5), Num::exact(1.5));
    assert!((Num::exact(1.0) / Num::exact(3.0)).e > 0.0);
    assert!((Num::exact(1.0) + Num::exact(1e-9)).e > 0.0);
}

#[test]
fn errors_of_inputs_are_carried_through_products_and_quotients() {
    let (a, b) = (Num::new(3.0, 0.1), Num::new(2.0, 0.01));
    for (da, db) in [(0.1, 0.01), (-0.1, 0.01), (0.1, -0.01), (-0.1, -0.01)] {
        assert!(((3.0 + da) * (2.0 + db) - 6.0f64).abs() <= (a * b).e);
        assert!(((3.0 + da) / (2.0 + db) - 1.5f64).abs() <= (a / b).e);
    }
    assert!((a * b).e < 0.24 && (a / b).e < 0.06);
    assert_eq!((a / Num::new(0.1, 0.2)).e, f64::INFINITY);
}

#[test]
fn rounding_removes_an_error_that_no_border_divides_and_keeps_one_that_a_border_does() {
    let settled = Num::new(1.001, 1e-4).round_to(DType::BF16);
    assert_eq!(settled, Num::exact(1.0));
    let border = 1.0 + 2f64.powi(-8);
    let torn = Num::new(border + 1e-6, 1e-5).round_to(DType::BF16);
    assert_eq!(torn, Num::new(1.0 + 2f64.powi(-7), 2f64.powi(-7)));
    assert_eq!(Num::exact(border).bound(DType::BF16), 0.0);
}

#[test]
fn results_beyond_f32_become_infinite_and_infinities_stay() {
    assert_eq!(Num::exact(100.0).exp(), Num::exact(f64::INFINITY));
    assert_eq!(Num::exact(f64::INFINITY) * Num::exact(2.0), Num::exact(f64::INFINITY));
    assert!((Num::exact(f64::INFINITY) - Num::exact(f64::INFINITY)).v.is_nan());
    assert!(Num::exact(f64::NAN).max(Num::ZERO).v.is_nan());
}

#[test]
fn a_scale_is_the_least_power_of_two_that_reaches_the_largest_magnitude() {
    assert_eq!(scale_exponent(448.0, QuantKind::F8E4M3), 0);
    assert_eq!(scale_exponent(f64::from(448f32.next_up()), QuantKind::F8E4M3), 1);
    assert_eq!(scale_exponent(f64::from(448f32.next_down()), QuantKind::F8E4M3), 0);
    assert_eq!(scale_exponent(224.0, QuantKind::F8E4M3), -1);
    assert_eq!(scale_exponent(0.0, QuantKind::F8E4M3), -22);
    assert_eq!(scale_exponent(6.0, QuantKind::F4E2M1), 0);
    assert_eq!(scale_exponent(6.1, QuantKind::F4E2M1), 1);
    assert_eq!(scale_exponent(0.0, QuantKind::F4E2M1), -126);
}

#[test]
fn a_scale_agrees_with_the_formula_in_f32() {
    for x in noise("scale", 20000) {
        let amax = x.abs() as f32;
        let ratio = amax.max(1e-4) * (1.0f32 / 448.0);
        let bits = ratio.to_bits();
        let formula = (bits >> 23) as i32 - 127 + i32::from(bits & 0x7F_FFFF != 0);
        assert_eq!(scale_exponent(f64::from(amax), QuantKind::F8E4M3), formula, "{amax}");
    }
}

#[test]
fn an_uncertain_largest_magnitude_lets_the_whole_group_move_to_the_other_scale() {
    let certain = qdq(&[Num::exact(448.0), Num::exact(17.0)], QuantKind::F8E4M3);
    assert_eq!(certain, [Num::exact(448.0), Num::exact(17.0).round_to(DType::F8E4M3)]);
    let torn = qdq(&[Num::new(448.0, 0.01), Num::exact(1.0 + 0.125)], QuantKind::F8E4M3);
    assert_eq!(torn[1], Num::exact(1.125));
    let torn = qdq(&[Num::new(448.0, 0.01), Num::exact(2f64.powi(-9))], QuantKind::F8E4M3);
    assert_eq!(torn[1], Num::new(2f64.powi(-9), 2f64.powi(-9)));
}

#[test]
fn errors_of_inputs_are_carried_through_inner_products() {
    let exact = dot(&[Num::exact(1.0), Num::exact(2.0)], &[3.0, 4.0]);
    let carried = dot(&[Num::new(1.0, 0.5), Num::new(2.0, 0.25)], &[3.0, 4.0]);
    assert!((carried.e - exact.e - 2.5).abs() < 1e-6);
}

#[test]
fn results_below_the_normal_range_of_f32_may_be_flushed_to_zero() {
    let tiny = Num::exact(-90.0).exp();
    assert!(tiny.v > 0.0 && tiny.e >= tiny.v);
    let normal = Num::exact(-87.0).exp();
    assert!(normal.e < 1e-4 * normal.v);
}

#[test]
fn a_point_where_a_device_may_round_covers_both_habits() {
    for x in noise("may round", 500) {
        let n = Num::exact(x).may_round(DType::BF16);
        assert_eq!(n.v, x);
        assert!((round(DType::BF16, x) - x).abs() <= n.e && n.e <= x.abs() / 256.0);
    }
}

#[test]
fn the_bound_of_a_stored_value_covers_every_rounded_end_and_not_the_step_after() {
    let (step, border) = (2f64.powi(-7), 1.0 + 2f64.powi(-8));
    let bound = Num::new(border + 1e-6, 1e-5).bound(DType::BF16);
    assert!((step..2.0 * step).contains(&bound), "{bound}");
    let settled = Num::new(1.001, 1e-4).bound(DType::BF16);
    assert!((0.0..step).contains(&settled), "{settled}");
}

#[test]
fn a_long_sum_is_bounded_by_six_roots_of_its_length_and_a_short_one_by_its_length() {
    let long = dot(&[1.0; 10_000], &[1.0; 10_000]);
    assert_eq!(long, Num::new(10_000.0, 6.0 * 100.0 * U_ACC * 10_000.0));
    assert_eq!(sum(&[1.0, 2.0]), Num::new(3.0, 4.0 * U_ACC * 3.0));
    assert_eq!(sum(&[0.1]), Num::exact(0.1));
}
