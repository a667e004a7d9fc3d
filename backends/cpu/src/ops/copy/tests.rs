use crate::ops::cache::testing::{Array, Seed, rounded, run};
use omnihal::op::copy::{Concat, Copy, Fill, Gather, Scatter, Take};
use omnihal::{DType, Shape};

#[test]
fn permuted_sliced_and_repeated_views_are_copied() {
    let mut seed = Seed::of("copy");
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let x = Array::random(dtype, [9, 31, 130], 3, &mut seed);
        let values = x.values();
        let y = Array::with_gap(dtype, [130, 31, 8], 1);
        let op = Copy { shape: [130, 31, 8].into(), input: dtype, output: dtype };
        let view = x.view().slice(0, 1, 8).unwrap().swap(0, 2).unwrap();
        run(3, op, &[Some(view), Some(y.view())]);
        for (i, v) in y.values().into_iter().enumerate() {
            let (a, b, c) = (i / (31 * 8), i / 8 % 31, i % 8);
            assert_eq!(v, values[((c + 1) * 31 + b) * 130 + a]);
        }
        let repeated = x.view().slice(1, 4, 1).unwrap().expand(1, 5).unwrap();
        let y = Array::garbage(dtype, [9, 5, 130]);
        run(2, Copy { shape: [9, 5, 130].into(), input: dtype, output: dtype }, &[Some(repeated), Some(y.view())]);
        for (i, v) in y.values().into_iter().enumerate() {
            assert_eq!(v, values[(i / (5 * 130) * 31 + 4) * 130 + i % 130]);
        }
    }
}

#[test]
fn equal_types_move_bits_and_casts_round() {
    let wide = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -2.75, 1e9, f32::NAN, -0.0];
    let x = Array::floats(DType::F32, [6], &wide);
    let cast = |x: &Array, input, output| {
        let y = Array::garbage(output, [6]);
        run(1, Copy { shape: [6].into(), input, output }, &[x, &y].map(|a| Some(a.view())));
        y
    };
    assert_eq!(cast(&x, DType::F32, DType::F32).words(), x.words());
    let narrow = cast(&x, DType::F32, DType::BF16).values();
    // Halfway cases go to the even neighbour.
    assert_eq!(narrow[..4], [1.0, 1.0 + 4.0 / 256.0, -2.75, rounded(DType::BF16, 1e9) as f32]);
    assert!(narrow[4].is_nan());
    let whole = cast(&x, DType::F32, DType::I32);
    assert_eq!(whole.ints()[..4], [1, 1, -2, 1_000_000_000]);
    assert_eq!(cast(&whole, DType::I32, DType::F32).values()[..4], [1.0, 1.0, -2.0, 1e9]);
    assert!(
        crate::CpuBackend::open_with(1)
            .unwrap()
            .plan(&Copy { shape: [6].into(), input: DType::F8E4M3, output: DType::F32 }.into())
            .is_err()
    );
}

#[test]
fn a_fill_keeps_the_gaps_between_rows() {
    for (dtype, value) in [(DType::F32, -1e30), (DType::BF16, 1.5), (DType::I32, -3.0)] {
        let y = Array::garbage(dtype, [300, 200]);
        let mut part = y.view().slice(1, 3, 190).unwrap();
        part.shape = Shape::from([300, 190]);
        run(2, Fill { shape: [300, 190].into(), value, dtype }, &[Some(part)]);
        let is_set = |i: usize| (3..193).contains(&(i % 200));
        if dtype == DType::I32 {
            assert!(y.ints().iter().enumerate().all(|(i, &v)| v == if is_set(i) { -3 } else { -1 }));
        } else {
            let expected = rounded(dtype, value as f64) as f32;
            assert!(y.values().iter().enumerate().all(|(i, &v)| if is_set(i) { v == expected } else { v.is_nan() }));
        }
    }
}

#[test]
fn rows_are_gathered_and_scattered_by_index_and_absent_ones_are_zero_or_skipped() {
    let mut seed = Seed::of("gather");
    let width = 9000;
    let src = Array::random(DType::BF16, [6, width], 5, &mut seed);
    let idx = Array::indices([7], &[5, 0, -1, 3, 6, 3, i32::MIN]);
    for threads in 1..=3 {
        let y = Array::with_gap(DType::BF16, [7, width], 2);
        let op = Gather { rows: 6, width, count: 7, dtype: DType::BF16, trusted: false };
        run(threads, op, &[&src, &idx, &y].map(|a| Some(a.view())));
        for (i, row) in y.values().chunks(width).enumerate() {
            match [Some(5), Some(0), None, Some(3), None, Some(3), None][i] {
                Some(from) => assert_eq!(row, &src.values()[from * width..][..width]),
                None => assert!(row.iter().all(|v| v.to_bits() == 0)),
            }
        }
        let dst = Array::with_gap(DType::BF16, [9, width], 1);
        let to = Array::indices([6], &[8, 1, -1, 1, 4, 9]);
        let op = Scatter { rows: 9, width, count: 6, dtype: DType::BF16, trusted: false };
        run(threads, op, &[&dst, &to, &src].map(|a| Some(a.view())));
        for (i, row) in dst.values().chunks(width).enumerate() {
            match [None, Some(3), None, None, Some(4), None, None, None, Some(0)][i] {
                Some(from) => assert_eq!(row, &src.values()[from * width..][..width], "row {i}"),
                None => assert!(row.iter().all(|v| v.is_nan()), "row {i}"),
            }
        }
    }
}

#[test]
fn elements_are_taken_from_their_own_row() {
    let mut seed = Seed::of("take");
    let x = Array::random(DType::F32, [3, 11], 4, &mut seed);
    let places: Vec<i32> = (0..15).map(|_| seed.below(13) as i32 - 1).collect();
    let (idx, y) = (Array::indices([3, 5], &places), Array::garbage(DType::F32, [3, 5]));
    run(2, Take { rows: 3, width: 11, count: 5, dtype: DType::F32 }, &[&x, &idx, &y].map(|a| Some(a.view())));
    for (i, v) in y.values().into_iter().enumerate() {
        let legal = (0..11).contains(&places[i]);
        assert_eq!(v, if legal { x.values()[i / 5 * 11 + places[i] as usize] } else { 0.0 });
    }
}

#[test]
fn tensors_are_joined_along_the_middle_axis() {
    let mut seed = Seed::of("concat");
    for lens in [[2, 3, 0, 0], [1, 4, 2, 0], [40, 1, 3, 50]] {
        let (pre, post) = (70, 6);
        let total: usize = lens.iter().sum();
        let parts: Vec<Array> =
            lens.iter().filter(|&&n| n > 0).map(|&n| Array::random(DType::F32, [pre, n, post], 1, &mut seed)).collect();
        let y = Array::with_gap(DType::F32, [pre, total, post], 2);
        let mut views: Vec<_> = parts.iter().map(|a| Some(a.view())).collect();
        views.resize(4, None);
        views.push(Some(y.view()));
        run(3, Concat { pre, lens, post, dtype: DType::F32 }, &views);
        for (i, v) in y.values().into_iter().enumerate() {
            let (p, mut k, c) = (i / (total * post), i / post % total, i % post);
            let part = lens
                .iter()
                .position(|&n| {
                    k < n || {
                        k -= n;
                        false
                    }
                })
                .unwrap();
            assert_eq!(v, parts[part].values()[(p * lens[part] + k) * post + c]);
        }
    }
}
