use crate::testing::{Bench, get, oracle_f32};
use omnihal::op::QuantKind;
use omnihal::op::quant::Quantize;
use omnihal::{DType, Quant, View};

/// Codes times scales, for the oracle's inputs.
fn quantised(group: usize, kind: QuantKind, data: DType) -> Vec<f64> {
    let mut bench = Bench::new();
    let (shape, x) = oracle_f32("act.x");
    let (rows, width) = (shape[0], shape[1]);
    let x = bench.put(DType::F32, [rows, width], &x);
    let codes = bench.empty(data, [rows, width]);
    let scale = bench.empty(DType::E8M0, [rows, width / group]);
    let d = Quantize { rows, width, group, kind, input: DType::F32 };
    bench.run(d, &[Some(x), Some(codes), Some(scale)]).unwrap();
    let quant = Quant { mem: scale.mem, dtype: DType::E8M0, block: (1, group), shape: scale.shape };
    get(&View { quant: Some(quant), ..codes })
}

#[test]
fn codes_times_scales_are_the_oracles_rounded_activations() {
    assert_eq!(quantised(64, QuantKind::F8E4M3, DType::F8E4M3), oracle_f32("act.fp8_g64").1);
    assert_eq!(quantised(128, QuantKind::F8E4M3, DType::F8E4M3), oracle_f32("act.fp8_g128").1);
    assert_eq!(quantised(32, QuantKind::F4E2M1, DType::F4E2M1X2), oracle_f32("act.fp4_g32").1);
}

#[test]
fn a_group_with_a_nan_has_no_codes_and_its_neighbour_has() {
    let mut bench = Bench::new();
    let x = bench.put(DType::F32, [1, 4], &[1.0, f64::NAN, 3.0, 6.0]);
    let (codes, scale) = (bench.empty(DType::F4E2M1X2, [1, 4]), bench.empty(DType::E8M0, [1, 2]));
    let d = Quantize { rows: 1, width: 4, group: 2, kind: QuantKind::F4E2M1, input: DType::F32 };
    let judged = bench.judge(d, &[x, codes, scale].map(Some));
    assert_eq!(judged[0].mask, Some(vec![false, false, true, true]));
    assert_eq!(judged[1].mask, Some(vec![false, true]));
}
