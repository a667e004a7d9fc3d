//! What the tests of these families share: arrays in host memory, seeded numbers, runs on devices of 1 to 3 threads.

use crate::CpuBackend;
use crate::num::{bf16_to_f32, f32_to_bf16};
use omnihal::{Args, DType, Device, Mem, Op, Shape, View};
use std::sync::{Arc, OnceLock};

/// A contiguous or row-strided tensor with its own memory.
#[derive(Clone)]
pub(crate) struct Array {
    words: Vec<u64>,
    shape: Shape,
    dtype: DType,
    /// Unused elements after each row.
    gap: usize,
}

impl Array {
    /// All bytes 0xFF: NaN as a number, -1 as an index.
    pub(crate) fn garbage(dtype: DType, shape: impl Into<Shape>) -> Array {
        Array::with_gap(dtype, shape, 0)
    }

    /// The same with unused elements between rows.
    pub(crate) fn with_gap(dtype: DType, shape: impl Into<Shape>, gap: usize) -> Array {
        let shape = shape.into();
        let width = shape.dims().last().copied().unwrap_or(1);
        let elements = shape.elements() / width * (width + gap);
        Array { words: vec![u64::MAX; dtype.bytes(elements).div_ceil(8)], shape, dtype, gap }
    }

    pub(crate) fn floats(dtype: DType, shape: impl Into<Shape>, values: &[f32]) -> Array {
        let mut array = Array::garbage(dtype, shape);
        array.set(values);
        array
    }

    pub(crate) fn indices(shape: impl Into<Shape>, values: &[i32]) -> Array {
        let mut array = Array::garbage(DType::I32, shape);
        assert_eq!(values.len(), array.shape.elements());
        let place = array.words.as_mut_ptr().cast::<i32>();
        // SAFETY: the array holds as many words of 4 bytes.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), place, values.len()) };
        array
    }

    /// Seeded numbers between -1 and 1.
    pub(crate) fn random(dtype: DType, shape: impl Into<Shape>, gap: usize, seed: &mut Seed) -> Array {
        let mut array = Array::with_gap(dtype, shape, gap);
        let values: Vec<f32> = (0..array.shape.elements()).map(|_| seed.number()).collect();
        array.set(&values);
        array
    }

    /// Sets all elements.
    pub(crate) fn set(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.shape.elements());
        let (view, width) = (self.view(), self.width());
        for (i, &value) in values.iter().enumerate() {
            // SAFETY: the tensor is this array's own.
            unsafe { crate::ops::Tensor::new(&view).set(i / width * (width + self.gap) + i % width, value) };
        }
    }

    fn width(&self) -> usize {
        self.shape.dims().last().copied().unwrap_or(1)
    }

    pub(crate) fn view(&self) -> View {
        let mem = Mem { addr: self.words.as_ptr() as u64, len: self.words.len() * 8 };
        let mut view = View::contiguous(mem, self.dtype, self.shape).unwrap();
        for axis in 0..self.shape.rank().saturating_sub(1) {
            view.strides[axis] = view.strides[axis] / self.width() * (self.width() + self.gap);
        }
        view
    }

    /// All elements as numbers.
    pub(crate) fn values(&self) -> Vec<f32> {
        let (tensor, width) = (crate::ops::Tensor::new(&self.view()), self.width());
        let place = |i: usize| i / width * (width + self.gap) + i % width;
        // SAFETY: the tensor is this array's own.
        (0..self.shape.elements()).map(|i| unsafe { tensor.get(place(i)) }).collect()
    }

    /// All elements as indices.
    pub(crate) fn ints(&self) -> Vec<i32> {
        let tensor = crate::ops::Tensor::new(&self.view());
        // SAFETY: the tensor is this array's own and has no gaps.
        (0..self.shape.elements()).map(|i| unsafe { tensor.index(i) }).collect()
    }

    /// Bit patterns of all elements.
    pub(crate) fn bits(&self) -> Vec<u32> {
        self.values().iter().map(|v| v.to_bits()).collect()
    }

    /// The memory itself.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }
}

/// Seeded numbers; the seed is the name of the case.
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn of(name: &str) -> Seed {
        Seed(name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01B3)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Between -1 and 1.
    pub(crate) fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }
}

/// Runs an operator on the device of `threads` threads, in a workspace of garbage.
pub(crate) fn run(threads: usize, op: impl Into<Op>, views: &[Option<View>]) {
    run_hinted(threads, op, views, usize::MAX);
}

/// The same with a row hint.
pub(crate) fn run_hinted(threads: usize, op: impl Into<Op>, views: &[Option<View>], rows_hint: usize) {
    static DEVICES: OnceLock<Vec<Arc<dyn Device>>> = OnceLock::new();
    let devices = DEVICES.get_or_init(|| (1..=3).map(|threads| CpuBackend::open_with(threads).unwrap()).collect());
    let op = op.into();
    for (arg, view) in op.arg_types().iter().zip(views) {
        assert_eq!(arg.present, view.is_some(), "{}", arg.name);
        if let Some(view) = view {
            assert_eq!((arg.shape, arg.format.dtype()), (view.shape, view.dtype), "{}", arg.name);
        }
    }
    let plan = devices[threads - 1].plan(&op).unwrap();
    // Eight words more than asked, so that the start can be aligned.
    let scratch = vec![u64::MAX; plan.workspace().div_ceil(8) + 8];
    let workspace = Mem { addr: (scratch.as_ptr() as u64).next_multiple_of(64), len: plan.workspace() };
    let stream = devices[threads - 1].stream().unwrap();
    // SAFETY: the views were just compared with the operator's types, and their arrays outlive the call, which waits.
    unsafe { stream.run(&*plan, &Args { views, workspace, rows_hint }) }.unwrap();
}

/// The nearest number of a type.
pub(crate) fn rounded(dtype: DType, value: f64) -> f64 {
    let value = value as f32;
    (if dtype == DType::BF16 { bf16_to_f32(f32_to_bf16(value)) } else { value }) as f64
}

/// Fails if two results differ by more than `limit` anywhere, or if one is not a number.
pub(crate) fn assert_near(found: &[f32], expected: &[f64], limit: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        assert!((f as f64 - e).abs() <= limit, "element {i} is {f}, expected {e} within {limit}");
    }
}
