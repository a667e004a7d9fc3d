//! Number formats. Fused operators of the family are in `fused`.

use crate::num::{self, Num};
use crate::tensor::{Output, read};
use omnihal::op::quant;
use omnihal::{Args, DType, Result, WeightFormat};

/// Rounds to the code grid and back. A group with a NaN or an infinity has no scale: it is unspecified.
pub fn qdq(d: &quant::Qdq, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = quant::QdqArgs::new(args)?;
    let x = read(a.x)?.nums();
    let (mut values, mut mask) = (Vec::new(), Vec::new());
    for group in x.chunks(d.group) {
        values.extend(num::qdq(group, d.kind).into_iter().map(|x| x.v));
        mask.extend(vec![group.iter().all(|x| x.v.is_finite()); group.len()]);
    }
    Ok(vec![Output::exact(1, values).with_mask(mask)])
}

/// Codes times scales.
pub fn dequant(d: &quant::Dequant, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = quant::DequantArgs::new(args)?;
    let exact = matches!(d.format, WeightFormat::Blocked { scale: DType::E8M0, .. });
    // The product with a scale that is not a power of two is rounded in f32 first.
    let product = |v: f64| if exact { Num::exact(v) } else { Num::exact(v) * Num::exact(1.0) };
    let values = read(a.w)?.data.into_iter().map(product).collect();
    Ok(vec![Output { exact, ..Output::dense(1, values) }])
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, assert_close, get, oracle, oracle_f32};
    use omnihal::op::{QuantKind, quant};
    use omnihal::{DType, WeightFormat};

    fn oracle_rounding(expected: &str, group: usize, kind: QuantKind) {
        let ((shape, x), (_, expected)) = (oracle_f32("act.x"), oracle_f32(expected));
        let (rows, width) = (shape[0], shape[1]);
        let mut bench = Bench::new();
        let x = bench.put(DType::F32, [rows, 1, width], &x);
        let d = quant::Qdq { rows, heads: 1, width, group, kind, dtype: DType::F32 };
        bench.run(d, &[Some(x), Some(x)]).unwrap();
        assert_close(&get(&x), &expected, 0.0);
    }

    #[test]
    fn rounding_to_f8_in_groups_of_64_is_the_oracle_rounding() {
        oracle_rounding("act.fp8_g64", 64, QuantKind::F8E4M3);
    }

    #[test]
    fn rounding_to_f8_in_groups_of_128_is_the_oracle_rounding() {
        oracle_rounding("act.fp8_g128", 128, QuantKind::F8E4M3);
    }

    #[test]
    fn rounding_to_f4_in_groups_of_32_is_the_oracle_rounding() {
        oracle_rounding("act.fp4_g32", 32, QuantKind::F4E2M1);
    }

    #[test]
    fn a_group_without_a_finite_scale_is_unspecified_and_its_neighbour_is_not() {
        let mut bench = Bench::new();
        let d = quant::Qdq { rows: 1, heads: 1, width: 4, group: 2, kind: QuantKind::F4E2M1, dtype: DType::BF16 };
        let x = bench.put(DType::BF16, [1, 1, 4], &[1.0, f64::INFINITY, 1.2, 6.0]);
        let judged = &bench.judge(d, &[Some(x), Some(x)])[0];
        assert_eq!(judged.mask.as_ref().unwrap()[..], [false, false, true, true]);
        assert_eq!((judged.nums()[2].v, judged.nums()[3].v), (1.0, 6.0));
    }

    #[test]
    fn fp8_weights_expand_to_the_oracle_values_exactly_in_bf16() {
        let ((shape, codes), (_, scales), (_, values)) =
            (oracle("wfp8.q"), oracle("wfp8.scale"), oracle_f32("wfp8.deq"));
        let mut bench = Bench::new();
        let (rows, width, format) = (shape[0], shape[1], WeightFormat::FP8_BLOCK);
        let w = bench.weight(format, [rows, width], &codes, &scales);
        let y = bench.empty(DType::BF16, [rows, width]);
        let d = quant::Dequant { rows, width, format, output: DType::BF16 };
        bench.run(d, &[Some(w), Some(y)]).unwrap();
        assert_close(&get(&y), &values, 0.0);
        assert!(bench.judge(d, &[Some(w), Some(y)])[0].exact);
    }

    #[test]
    fn scales_that_are_no_powers_of_two_leave_a_bound() {
        let mut bench = Bench::new();
        let format = WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::F32, block: (1, 128) };
        let w = bench.weight(format, [1, 1], &[0x3D], &0.1f32.to_le_bytes());
        let d = quant::Dequant { rows: 1, width: 1, format, output: DType::F32 };
        let y = bench.empty(DType::F32, [1, 1]);
        let judged = &bench.judge(d, &[Some(w), Some(y)])[0];
        let device = f64::from(1.625f32 * 0.1f32);
        assert!(!judged.exact && (judged.nums()[0].v - device).abs() <= judged.nums()[0].e);
    }
}
