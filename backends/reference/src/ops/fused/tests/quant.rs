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
