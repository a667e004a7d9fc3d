//! Work whose order shows in its result: a small state, and steps of which no two commute.

use super::rig::{Call, Queue, Rig, bytes_of, floats};
use crate::random::Random;
use omnihal::op::elementwise::{Arith, Binary, Func, Unary};
use omnihal::{DType, Mem, Op, Result, Shape};
use std::ops::Range;

/// Constants that steps take.
const CONSTANTS: usize = 3;

/// One step. Values stay whole numbers far below 2^24, which every device adds exactly.
#[derive(Clone, Debug)]
pub enum Step {
    /// `s = c - s` with a constant of the descriptor.
    Flip(usize),
    /// `s = k - s` with a constant in memory.
    Sub(usize),
    /// `t = s`, then `s = s + t` over part of the state cleared: by way of a copy.
    Detour(Range<usize>),
    /// Part of `s` becomes 0.
    Clear(Range<usize>),
    /// Part of `s` becomes part of a constant in memory.
    Take(usize, Range<usize>),
}

/// A state on the device and what it should be.
pub struct Chain {
    /// What the state should hold once the device has caught up.
    pub expected: Vec<f32>,
    /// Where it lies.
    pub state: Mem,
    temporary: Mem,
    constants: Vec<(Vec<f32>, Mem)>,
    flips: Vec<(f32, Call)>,
    subs: Vec<Call>,
    add: Call,
}

/// `y = c - x`, elementwise.
pub fn flip(n: usize, c: f32) -> Op {
    Unary {
        shape: Shape::from([n]),
        func: Func::Identity,
        alpha: -1.0,
        beta: c,
        gamma: 1.0,
        delta: 0.0,
        input: DType::F32,
        output: DType::F32,
    }
    .into()
}

/// `y = a op b` in F32.
pub fn binary(n: usize, arith: Arith) -> Op {
    let shape = Shape::from([n]);
    let (a_shape, b_shape) = (shape, shape);
    let (a, b, output) = (DType::F32, DType::F32, DType::F32);
    Binary { shape, a_shape, b_shape, arith, eps: 0.0, scale: 1.0, a, b, output }.into()
}

impl Chain {
    /// A chain of `n` numbers; its memory is written on `queue`.
    pub fn new(rig: &Rig, queue: &Queue, n: usize, random: &mut Random) -> Result<Chain> {
        let mut draw = || -> Vec<f32> { (0..n).map(|_| random.below(64) as f32).collect() };
        let expected = draw();
        let state = rig.filled(queue, &bytes_of(&expected))?;
        let temporary = rig.alloc(floats(n))?;
        let mut constants = Vec::new();
        for _ in 0..CONSTANTS {
            let values = draw();
            let mem = rig.filled(queue, &bytes_of(&values))?;
            constants.push((values, mem));
        }
        let flips = [5.0, 11.0, 23.0].map(|c| Ok((c, rig.call(&flip(n, c), &[state, state])?)));
        let flips = flips.into_iter().collect::<Result<_>>()?;
        let sub = rig.device().plan(&binary(n, Arith::Sub))?;
        let sub = |(_, mem): &(Vec<f32>, Mem)| rig.call_planned(sub.clone(), &[*mem, state, state]);
        let subs = constants.iter().map(sub).collect::<Result<_>>()?;
        let add = rig.call(&binary(n, Arith::Add), &[state, temporary, state])?;
        Ok(Chain { expected, state, temporary, constants, flips, subs, add })
    }

    /// True if every run may be captured.
    pub fn capture_safe(&self) -> bool {
        self.subs.iter().chain(self.flips.iter().map(|f| &f.1)).chain([&self.add]).all(|c| c.plan.capture_safe())
    }

    /// Steps in random order.
    pub fn steps(&self, count: usize, random: &mut Random) -> Vec<Step> {
        let n = self.expected.len();
        let part = |random: &mut Random| {
            let start = random.below(n);
            start..start + 1 + random.below(n - start)
        };
        let mut one = |_| match random.below(8) {
            0..=2 => Step::Flip(random.below(self.flips.len())),
            3 | 4 => Step::Sub(random.below(CONSTANTS)),
            5 => Step::Detour(part(random)),
            6 => Step::Clear(part(random)),
            _ => Step::Take(random.below(CONSTANTS), part(random)),
        };
        (0..count).map(&mut one).collect()
    }

    /// Enqueues steps, without saying that they happen.
    pub fn enqueue(&self, queue: &Queue, steps: &[Step]) -> Result<()> {
        steps.iter().try_for_each(|step| self.enqueue_one(queue, step))
    }

    fn enqueue_one(&self, queue: &Queue, step: &Step) -> Result<()> {
        let part = |mem: Mem, r: &Range<usize>| mem.slice(floats(r.start), floats(r.len()));
        match step {
            Step::Flip(i) => queue.run(&self.flips[*i].1),
            Step::Sub(i) => queue.run(&self.subs[*i]),
            Step::Detour(range) => {
                // temporary = constant 0, but 0 in the range: what is added must not grow without bound.
                queue.copy(self.temporary, self.constants[0].1)?;
                queue.fill(part(self.temporary, range)?, 0)?;
                queue.run(&self.add)
            }
            Step::Clear(range) => queue.fill(part(self.state, range)?, 0),
            Step::Take(i, range) => queue.copy(part(self.state, range)?, part(self.constants[*i].1, range)?),
        }
    }

    /// Says that the steps happen.
    pub fn advance(&mut self, steps: &[Step]) {
        for step in steps {
            let s = &mut self.expected;
            match step {
                Step::Flip(i) => s.iter_mut().for_each(|v| *v = self.flips[*i].0 - *v),
                Step::Sub(i) => s.iter_mut().zip(&self.constants[*i].0).for_each(|(v, k)| *v = k - *v),
                Step::Detour(range) => {
                    let k = &self.constants[0].0;
                    (0..s.len()).filter(|e| !range.contains(e)).for_each(|e| s[e] += k[e]);
                }
                Step::Clear(range) => s[range.clone()].fill(0.0),
                Step::Take(i, range) => s[range.clone()].copy_from_slice(&self.constants[*i].0[range.clone()]),
            }
        }
    }

    /// Enqueues random steps that happen.
    pub fn walk(&mut self, queue: &Queue, count: usize, random: &mut Random) -> Result<()> {
        let steps = self.steps(count, random);
        self.enqueue(queue, &steps)?;
        self.advance(&steps);
        Ok(())
    }

    /// What the state should hold, as bytes. Zeros have no sign here: the device may give either.
    pub fn expected_bytes(&self) -> Vec<u8> {
        bytes_of(&self.expected)
    }

    /// The state on the device as bytes, without signs of zeros.
    pub fn found(&self, queue: &Queue) -> Result<Vec<u8>> {
        Ok(without_signed_zeros(queue.read(self.state)?))
    }
}

/// Turns -0 into 0. `k - k` is 0 in every rounding mode but one.
fn without_signed_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let negative_zero = (-0.0f32).to_le_bytes();
    bytes.chunks_exact_mut(4).filter(|c| **c == negative_zero).for_each(|c| c.fill(0));
    bytes
}
