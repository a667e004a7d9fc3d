use crate::testing::{Bench, get, get_ints};
use omnihal::op::copy;
use omnihal::{DType, Mem, Shape, View};

/// The bytes of a buffer of the bench.
fn bytes(mem: Mem) -> Vec<f64> {
    get(&View::contiguous(mem, DType::U8, [mem.len]).unwrap())
}

#[test]
fn equal_types_move_bits_even_those_of_a_nan() {
    let mut bench = Bench::new();
    for (dtype, pattern) in [
        (DType::F32, vec![1.0, 0.0, 192.0, 255.0]),
        (DType::BF16, vec![1.0, 127.0, 161.0, 255.0]),
        (DType::F8E4M3, vec![255.0, 128.0, 127.0, 1.0]),
        (DType::BOOL, vec![0.0, 1.0, 2.0, 255.0]),
        (DType::F8E5M2, vec![125.0, 252.0, 124.0, 255.0]),
    ] {
        let source = bench.put(DType::U8, [4], &pattern);
        let shape = Shape::from([32 / dtype.bits()]);
        let (x, y) = (View::contiguous(source.mem, dtype, shape).unwrap(), bench.empty(dtype, shape));
        bench.run(copy::Copy { shape, input: dtype, output: dtype }, &[Some(x), Some(y)]).unwrap();
        assert_eq!(bytes(y.mem), pattern, "{dtype}");
    }
}

#[test]
fn copies_permute_repeat_and_cast() {
    let mut bench = Bench::new();
    let x = bench.put(DType::F32, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 1.0 + 1.0 / 256.0]);
    let y = bench.empty(DType::BF16, [3, 2]);
    let d = copy::Copy { shape: Shape::from([3, 2]), input: DType::F32, output: DType::BF16 };
    bench.run(d, &[Some(x.swap(0, 1).unwrap()), Some(y)]).unwrap();
    assert_eq!(get(&y), [1.0, 4.0, 2.0, 5.0, 3.0, 1.0]);
    let repeated = x.slice(1, 1, 1).unwrap().expand(1, 3).unwrap();
    let y = bench.empty(DType::F32, [2, 3]);
    let d = copy::Copy { shape: Shape::from([2, 3]), input: DType::F32, output: DType::F32 };
    bench.run(d, &[Some(repeated), Some(y)]).unwrap();
    assert_eq!(get(&y), [2.0, 2.0, 2.0, 5.0, 5.0, 5.0]);
}

#[test]
fn floats_become_integers_by_truncation() {
    let mut bench = Bench::new();
    let (x, y) = (bench.put(DType::F32, [4], &[2.9, -2.9, 1e30, f64::NAN]), bench.empty(DType::I32, [4]));
    let d = copy::Copy { shape: Shape::from([4]), input: DType::F32, output: DType::I32 };
    bench.run(d, &[Some(x), Some(y)]).unwrap();
    assert_eq!(get_ints(&y), [2, -2, i32::MAX, 0]);
}

#[test]
fn a_copy_onto_itself_reads_before_it_writes() {
    let mut bench = Bench::new();
    let x = bench.put(DType::F32, [2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let d = copy::Copy { shape: Shape::from([2, 2]), input: DType::F32, output: DType::F32 };
    bench.run(d, &[Some(x.swap(0, 1).unwrap()), Some(x)]).unwrap();
    assert_eq!(get(&x), [1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn a_fill_touches_only_its_view() {
    let mut bench = Bench::new();
    let y = bench.put(DType::F16, [2, 2], &[1.0; 4]);
    let d = copy::Fill { shape: Shape::from([2, 1]), value: 0.1, dtype: DType::F16 };
    bench.run(d, &[Some(y.slice(1, 0, 1).unwrap())]).unwrap();
    assert_eq!(get(&y), [0.0999755859375, 1.0, 0.0999755859375, 1.0]);
}

#[test]
fn gathers_give_zeros_and_scatters_skip_where_the_index_is_absent() {
    let mut bench = Bench::new();
    let src = bench.put(DType::F32, [3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let (idx, y) = (bench.ints([3], &[2, -1, 3]), bench.empty(DType::F32, [3, 2]));
    let d = copy::Gather { rows: 3, width: 2, count: 3, dtype: DType::F32, trusted: false };
    bench.run(d, &[Some(src), Some(idx), Some(y)]).unwrap();
    assert_eq!(get(&y), [5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);

    let dst = bench.put(DType::F32, [4, 2], &[0.5; 8]);
    let idx = bench.ints([3], &[3, 9, 0]);
    let d = copy::Scatter { rows: 4, width: 2, count: 3, dtype: DType::F32, trusted: false };
    bench.run(d, &[Some(dst), Some(idx), Some(src)]).unwrap();
    assert_eq!(get(&dst), [5.0, 6.0, 0.5, 0.5, 0.5, 0.5, 1.0, 2.0]);
}

#[test]
fn a_row_scattered_twice_is_unspecified() {
    let mut bench = Bench::new();
    let (src, dst) = (bench.put(DType::F32, [3, 1], &[1.0, 2.0, 3.0]), bench.put(DType::F32, [2, 1], &[0.0; 2]));
    let d = copy::Scatter { rows: 2, width: 1, count: 3, dtype: DType::F32, trusted: true };
    let idx = bench.ints([3], &[1, 0, 1]);
    let judged = bench.judge(d, &[Some(dst), Some(idx), Some(src)]);
    assert_eq!(judged[0].mask.as_ref().unwrap()[..], [false, true, false]);
}

#[test]
fn takes_pick_along_their_own_row() {
    let mut bench = Bench::new();
    let x = bench.put(DType::BF16, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let (idx, y) = (bench.ints([2, 2], &[2, 0, 1, -1]), bench.empty(DType::BF16, [2, 2]));
    bench.run(copy::Take { rows: 2, width: 3, count: 2, dtype: DType::BF16 }, &[Some(x), Some(idx), Some(y)]).unwrap();
    assert_eq!(get(&y), [3.0, 1.0, 5.0, 0.0]);
}

#[test]
fn joined_tensors_lie_beside_each_other_along_the_middle_axis() {
    let mut bench = Bench::new();
    let a = bench.put(DType::F32, [2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let b = bench.put(DType::F32, [2, 2, 2], &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
    let c = bench.put(DType::F32, [2, 1, 2], &[13.0, 14.0, 15.0, 16.0]);
    let y = bench.empty(DType::F32, [2, 4, 2]);
    let d = copy::Concat { pre: 2, lens: [1, 2, 1, 0], post: 2, dtype: DType::F32 };
    bench.run(d, &[Some(a), Some(b), Some(c), None, Some(y)]).unwrap();
    let expected = [1.0, 2.0, 5.0, 6.0, 7.0, 8.0, 13.0, 14.0, 3.0, 4.0, 9.0, 10.0, 11.0, 12.0, 15.0, 16.0];
    assert_eq!(get(&y), expected);
}
