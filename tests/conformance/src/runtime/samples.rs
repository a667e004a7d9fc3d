//! A few operators of the core tier that need scratch memory on some device or other.

use super::chain::binary;
use super::rig::{Call, Queue, Rig, bytes_of};
use crate::random::Random;
use omnihal::op::elementwise::{Arith, Cumsum, Reduce, Reduction, Softmax};
use omnihal::op::{ActQuant, gemm};
use omnihal::{DType, Mem, Op, Result, WeightFormat};

/// The descriptors, all F32.
pub fn ops() -> Vec<Op> {
    let (input, output) = (DType::F32, DType::F32);
    let (weight, a_quant) = (WeightFormat::Plain(DType::F32), ActQuant::None);
    let linear = |rows, inner, outer| {
        gemm::Linear { rows, inner, outer, input, weight, a_quant, output, accumulate: false }.into()
    };
    let reduce = |pre, len, post| Reduce { pre, len, post, op: Reduction::Sum, alpha: 1.0, input, output }.into();
    vec![
        linear(1, 64, 3),
        linear(7, 1000, 33),
        linear(64, 128, 64),
        linear(3, 4096, 5),
        reduce(5, 1000, 1),
        reduce(2, 33, 40),
        Softmax { pre: 3, len: 700, post: 2 }.into(),
        Cumsum { rows: 4, len: 999, exclusive: true }.into(),
        binary(777, Arith::Mul),
    ]
}

/// Arguments in memory filled with small numbers, in the operator's order. The last one is its output.
pub fn arguments(rig: &Rig, queue: &Queue, op: &Op, random: &mut Random) -> Result<Vec<Mem>> {
    let fill = |arg: &omnihal::op::ArgType| {
        let values: Vec<f32> = (0..arg.shape.elements()).map(|_| random.unit() - 0.5).collect();
        rig.filled(queue, &bytes_of(&values))
    };
    op.arg_types().iter().map(fill).collect()
}

/// A sample that can be run again and again.
pub struct Prepared {
    /// Its run.
    pub call: Call,
    /// Its output.
    pub output: Mem,
    /// What the output was the first time.
    pub first: Option<Vec<u8>>,
}

impl Prepared {
    /// Overwrites the output and runs.
    pub fn enqueue(&self, queue: &Queue) -> Result<()> {
        queue.fill(self.output, 0xFF)?;
        queue.run(&self.call)
    }
}

/// Operations of a sample above which ten thousand runs take too long on a slow host.
const CHEAP: f64 = 1e4;

/// The cheap samples, ready to run.
pub fn prepare(rig: &Rig, queue: &Queue, random: &mut Random) -> Result<Vec<Prepared>> {
    let one = |op: &Op| {
        let mems = arguments(rig, queue, op, random)?;
        let output = mems.last().copied().unwrap_or_default();
        Ok(Prepared { call: rig.call(op, &mems)?, output, first: None })
    };
    ops().iter().filter(|op| op.cost().flops < CHEAP).map(one).collect()
}
