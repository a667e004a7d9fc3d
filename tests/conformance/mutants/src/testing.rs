//! Calls of one kernel on memory of the test's own.

use crate::{Call, ops, tensor};
use omnihal::{Mem, Op, Quant, View, WeightFormat};
use std::sync::Mutex;

/// The arguments of one operator, zero at first.
pub struct Bench {
    op: Op,
    memory: Vec<Vec<u64>>,
    views: Vec<Option<View>>,
}

impl Bench {
    /// Memory for every argument.
    pub fn new(op: &Op) -> Bench {
        op.check().unwrap();
        let mut bench = Bench { op: *op, memory: Vec::new(), views: Vec::new() };
        for t in op.arg_types() {
            let data = bench.mem(t.format.dtype().bytes(t.shape.elements()));
            let mut view = View::contiguous(data, t.format.dtype(), t.shape).unwrap();
            if let (WeightFormat::Blocked { scale, block, .. }, Some(shape)) =
                (t.format, t.format.scale_shape(&t.shape))
            {
                view.quant = Some(Quant { mem: bench.mem(scale.bytes(shape.elements())), dtype: scale, block, shape });
            }
            bench.views.push(t.present.then_some(view));
        }
        bench
    }

    fn mem(&mut self, bytes: usize) -> Mem {
        let mut words = vec![0u64; bytes.div_ceil(8) + 1];
        let mem = Mem { addr: words.as_mut_ptr() as u64, len: bytes };
        self.memory.push(words);
        mem
    }

    /// The view of argument `i`.
    pub fn view(&self, i: usize) -> &View {
        self.views[i].as_ref().unwrap()
    }

    /// Sets argument `i`; codes are set without their scales.
    pub fn set(&mut self, i: usize, values: &[f32]) {
        tensor::store(self.view(i), values);
    }

    /// Sets whole numbers of argument `i`.
    pub fn set_ints(&mut self, i: usize, values: &[i32]) {
        tensor::store_ints(self.view(i), values);
    }

    /// The values of argument `i`.
    pub fn get(&self, i: usize) -> Vec<f32> {
        tensor::load(self.view(i))
    }

    /// The whole numbers of argument `i`.
    pub fn ints(&self, i: usize) -> Vec<i32> {
        tensor::ints(self.view(i))
    }
}

/// Runs the honest kernel once.
pub fn once(bench: &Bench) {
    let mut scratch = vec![0u64; ops::workspace(&bench.op) / 8 + 16];
    let workspace = Mem { addr: scratch.as_mut_ptr() as u64, len: ops::workspace(&bench.op) };
    let kept = Mutex::default();
    let (op, views) = (&bench.op, &bench.views[..]);
    ops::run(&Call { op, views, workspace, rows_hint: usize::MAX, kept: &kept, variant: None });
}
