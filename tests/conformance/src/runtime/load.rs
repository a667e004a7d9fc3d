//! Work long enough to be watched: without it, nobody can tell a wait that waits from one that does not.

use super::chain::flip;
use super::rig::{Call, Queue, Rig, floats};
use omnihal::op::{ActQuant, gemm};
use omnihal::{DType, Mem, Op, Result, WeightFormat};
use std::time::{Duration, Instant};

/// Time that a load takes at least after the call that enqueued it has returned.
pub const BUSY: Duration = Duration::from_millis(30);

/// Time in calls after which a device whose work takes next to none after them is taken to do it in the calls.
const GIVE_UP: Duration = Duration::from_millis(8);

/// Largest side of the matrices: three of them take 192 MiB.
const WIDEST: usize = 4096;

/// A load keeps a stream busy for [`BUSY`]. Its last call writes a result of its own.
pub struct Load {
    main: Call,
    repeats: usize,
    last: Call,
    /// The last call's result.
    pub result: Mem,
    /// What each of its elements becomes.
    pub value: f32,
}

fn product(side: usize) -> Op {
    let weight = WeightFormat::Plain(DType::F32);
    let (input, output, a_quant) = (DType::F32, DType::F32, ActQuant::None);
    gemm::Linear { rows: side, inner: side, outer: side, input, weight, a_quant, output, accumulate: false }.into()
}

impl Load {
    fn new(rig: &Rig, queue: &Queue, side: usize) -> Result<Load> {
        let bytes = floats(side * side);
        let ones = rig.alloc(bytes)?;
        queue.fill(ones, 0)?;
        queue.run(&rig.call(&flip(side * side, 1.0), &[ones, ones])?)?;
        let (scratch, result) = (rig.alloc(bytes)?, rig.alloc(bytes)?);
        let plan = rig.device().plan(&product(side))?;
        let main = rig.call_planned(plan.clone(), &[ones, ones, scratch])?;
        let last = rig.call_planned(plan, &[ones, ones, result])?;
        Ok(Load { main, repeats: 4, last, result, value: side as f32 })
    }

    /// Finds a load for the streams of a device; `None` where calls return after the work, so that no stream is ever busy.
    pub fn find(rig: &Rig, queue: &Queue) -> Result<Option<Load>> {
        let mut side = 32;
        let mut load = Load::new(rig, queue, side)?;
        load.enqueue(queue)?;
        queue.finish()?;
        loop {
            let start = Instant::now();
            load.enqueue(queue)?;
            let enqueued = start.elapsed();
            queue.finish()?;
            let rest = start.elapsed() - enqueued;
            if rest >= BUSY {
                return Ok(Some(load));
            }
            if (enqueued >= GIVE_UP && rest < enqueued / 50) || load.repeats > 1 << 14 {
                return Ok(None);
            }
            if rest > enqueued {
                load.repeats *= 2;
            } else if side < WIDEST {
                side *= 2;
                load = Load { repeats: load.repeats, ..Load::new(rig, queue, side)? };
            } else {
                return Ok(None);
            }
        }
    }

    /// Enqueues it.
    pub fn enqueue(&self, queue: &Queue) -> Result<()> {
        (0..self.repeats).try_for_each(|_| queue.run(&self.main))?;
        queue.run(&self.last)
    }
}

/// Enqueues a load, where there is one.
pub fn occupy(load: &Option<Load>, queue: &Queue) -> Result<()> {
    load.as_ref().map_or(Ok(()), |load| load.enqueue(queue))
}
