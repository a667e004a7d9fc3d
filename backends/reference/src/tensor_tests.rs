//! Views of every kind read and write what they name, and nothing else.

use super::*;
use crate::testing::{Bench, assert_close, get, oracle, oracle_f32, set};
use omnihal::WeightFormat;

#[test]
fn strided_views_read_and_write_only_their_own_elements() {
    let mut bench = Bench::new();
    let all = bench.put(DType::BF16, [3, 4], &(0..12).map(f64::from).collect::<Vec<_>>());
    let part = all.slice(1, 1, 2).unwrap().slice(0, 1, 2).unwrap();
    assert_eq!(get(&part), [5.0, 6.0, 9.0, 10.0]);
    assert_eq!(get(&part.swap(0, 1).unwrap()), [5.0, 9.0, 6.0, 10.0]);
    set(&part.swap(0, 1).unwrap(), &[-1.0, -2.0, -3.0, -4.0]);
    assert_eq!(get(&all), [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -3.0, 7.0, 8.0, -2.0, -4.0, 11.0]);
}

#[test]
fn packed_fp4_keeps_the_other_half_of_a_byte() {
    let mut bench = Bench::new();
    let view = bench.put(DType::F4E2M1X2, [1, 4], &[0.5, -6.0, 3.0, 1.5]);
    assert_eq!(get(&view), [0.5, -6.0, 3.0, 1.5]);
    assert_eq!(load(&view.mem, 0, DType::U8, 0), 0xF1, "the even column lies in the low nibble");
    let column = View {
        shape: Shape::from([1, 2]),
        strides: {
            let mut s = view.strides;
            s[1] = 2;
            s
        },
        ..view
    };
    set(&column, &[2.0, 4.0]);
    assert_eq!(get(&view), [2.0, -6.0, 4.0, 1.5]);
}

#[test]
fn fp8_blocks_expand_to_the_oracle_values() {
    let ((shape, codes), (_, scales), (_, expected)) = (oracle("wfp8.q"), oracle("wfp8.scale"), oracle_f32("wfp8.deq"));
    let mut bench = Bench::new();
    let view = bench.weight(WeightFormat::FP8_BLOCK, [shape[0], shape[1]], &codes, &scales);
    assert_close(&get(&view), &expected, 0.0);
}

#[test]
fn fp4_rows_expand_to_the_oracle_values() {
    let ((shape, codes), (_, scales), (_, expected)) = (oracle("wfp4.q"), oracle("wfp4.scale"), oracle_f32("wfp4.deq"));
    let mut bench = Bench::new();
    let view = bench.weight(WeightFormat::FP4_ROW, [shape[0], 2 * shape[1]], &codes, &scales);
    assert_close(&get(&view), &expected, 0.0);
}

#[test]
fn sparse_rows_leave_the_others_alone() {
    let mut bench = Bench::new();
    let pool = bench.put(DType::F32, [2, 2, 2], &[1.0; 8]);
    let values = [5.0, 6.0, 7.0, 8.0].map(Num::exact).to_vec();
    let output =
        Output { values: Values::Rows { rows: vec![3, 1], width: 2, values }, exact: true, ..Output::exact(0, []) };
    store(&pool, &output).unwrap();
    assert_eq!(get(&pool), [1.0, 1.0, 7.0, 8.0, 1.0, 1.0, 5.0, 6.0]);
}

#[test]
fn results_that_do_not_fit_are_refused_without_a_write() {
    let mut bench = Bench::new();
    let view = bench.put(DType::F32, [2], &[1.0, 2.0]);
    assert!(store(&view, &Output::exact(0, [3.0])).is_err());
    let values = Values::Rows { rows: vec![usize::MAX], width: 1, values: vec![Num::ZERO] };
    assert!(store(&view, &Output { values, ..Output::exact(0, []) }).is_err());
    assert_eq!(get(&view), [1.0, 2.0]);
}

#[test]
fn views_outside_their_memory_and_scales_of_a_wrong_shape_are_refused() {
    let mut bench = Bench::new();
    let mut view = bench.put(DType::F32, [2], &[1.0, 2.0]);
    view.offset = 4;
    assert!(read(&view).is_err());
    let mut weight = bench.weight(WeightFormat::FP4_ROW, [2, 64], &[0; 64], &[127; 4]);
    assert!(read(&weight).is_ok());
    weight.quant.as_mut().unwrap().shape = Shape::from([2, 1]);
    assert!(read(&weight).is_err());
}

#[test]
fn indices_below_zero_or_past_the_limit_are_absent() {
    assert_eq!([-1.0, 0.0, 4.0, 5.0, f64::NAN].map(|x| index(x, 5)), [None, Some(0), Some(4), None, None]);
}

#[test]
fn a_repeat_too_large_to_hold_is_refused_before_anything_is_allocated() {
    let mut bench = Bench::new();
    let x = bench.put(DType::F32, [1, 1], &[1.0]);
    // Each size is legal for a descriptor; only their product is not to be held.
    let endless = x.expand(0, 1 << 20).unwrap().expand(1, 1 << 20).unwrap();
    assert_eq!(read(&endless).unwrap_err().kind(), omnihal::ErrorKind::OutOfMemory);
    let d = omnihal::op::copy::Fill { shape: endless.shape, value: 1.0, dtype: DType::F32 };
    assert_eq!(bench.run(d, &[Some(endless)]).unwrap_err().kind(), omnihal::ErrorKind::OutOfMemory);
}
