//! Operands for the tests of kernels: tensors in vectors that live as long as the test.

use crate::Call;
use crate::tensor::{ints, load, store, store_ints};
use crate::variant;
use omnihal::{DType, Mem, Op, Shape, View};
use std::sync::Mutex;

/// Memory of a test.
#[derive(Default)]
pub struct Desk(Vec<Vec<u64>>);

impl Desk {
    /// A tensor of bytes 0xFF: NaN or -1 everywhere.
    pub fn blank(&mut self, dtype: DType, shape: impl Into<Shape>) -> View {
        let shape = shape.into();
        let bytes = dtype.bytes(shape.elements());
        let mut words = vec![u64::MAX; bytes.div_ceil(8)];
        let mem = Mem { addr: words.as_mut_ptr() as u64, len: bytes };
        self.0.push(words);
        View::contiguous(mem, dtype, shape).unwrap()
    }

    /// A tensor of these numbers.
    pub fn reals(&mut self, dtype: DType, shape: impl Into<Shape>, values: &[f32]) -> View {
        let view = self.blank(dtype, shape);
        assert_eq!(view.elements(), values.len());
        store(&view, values);
        view
    }

    /// A tensor of these whole numbers.
    pub fn ints(&mut self, shape: impl Into<Shape>, values: &[i32]) -> View {
        let view = self.blank(DType::I32, shape);
        assert_eq!(view.elements(), values.len());
        store_ints(&view, values);
        view
    }
}

/// Runs an operator on the honest device's kernels, or on those of a variant.
pub fn run(op: impl Into<Op>, id: &str, views: &[View]) {
    let (op, kept) = (op.into(), Mutex::default());
    let views: Vec<Option<View>> = views.iter().copied().map(Some).collect();
    run_with(&op, id, &views, &kept);
}

/// The same with optional arguments and with the plan's memory.
pub fn run_with(op: &Op, id: &str, views: &[Option<View>], kept: &Mutex<Vec<f32>>) {
    let variant = variant::find(id);
    assert!(id.is_empty() || variant.is_some(), "{id}");
    op.check().unwrap();
    crate::ops::run(&Call { op, views, workspace: Mem::default(), rows_hint: usize::MAX, kept, variant });
}

/// The numbers of a tensor.
pub fn reals(view: &View) -> Vec<f32> {
    load(view)
}

/// The whole numbers of a tensor.
pub fn whole(view: &View) -> Vec<i32> {
    ints(view)
}

/// Fails if a number is farther than a millionth of the expected one from it.
pub fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "element {i}: {found:?}, expected {expected:?}");
    }
}
