//! Time of operators, and their share of what the device was measured to do. Never part of a verdict.

use crate::bench::{Bench, PATTERNS, TIMEOUT};
use crate::case::{Case, Data, Layout};
use crate::cases;
use crate::draw;
use crate::profile::Profile;
use crate::report::PerfRow;
use omnihal::op::ActQuant;
use omnihal::op::gemm::Linear;
use omnihal::{DType, Device, MemoryKind, Result, WeightFormat};
use std::time::{Duration, Instant};

/// Time spent on one case, and fewest runs.
const BUDGET: Duration = Duration::from_millis(300);
const MIN_RUNS: usize = 5;
/// Bytes of the copy that measures bandwidth: far beyond any cache of today's hosts and devices.
const COPY_BYTES: usize = 256 << 20;
/// Size of the product that measures arithmetic.
const PRODUCT: usize = 768;

/// What a device was measured to do.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Bytes a second of a large copy, read and written bytes counted.
    pub bytes: f64,
    /// Floating-point operations a second of a large product in BF16 (F32 where BF16 is not taken).
    pub flops: f64,
}

/// Measures both ceilings by the device's own copies and products.
pub fn ceilings(device: &dyn Device) -> Result<Ceilings> {
    let stream = device.stream()?;
    let (a, b) = (device.alloc(COPY_BYTES, MemoryKind::Device)?, device.alloc(COPY_BYTES, MemoryKind::Device)?);
    let mut fastest = f64::INFINITY;
    for _ in 0..MIN_RUNS {
        let started = Instant::now();
        // SAFETY: both buffers outlive the wait, and are two.
        unsafe { stream.copy(a.mem(), b.mem())? };
        stream.sync(TIMEOUT)?;
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    let act = if device.caps().activations.contains(&DType::BF16) { DType::BF16 } else { DType::F32 };
    let (weight, a_quant) = (WeightFormat::Plain(act), ActQuant::None);
    let (rows, inner, outer) = (PRODUCT, PRODUCT, PRODUCT);
    let op = Linear { rows, inner, outer, input: act, weight, a_quant, output: act, accumulate: false };
    let case = Case::new(op, Data::Normal, Layout::Dense, None, Profile::Perf, false);
    let row = measure(device, &case, None)?;
    Ok(Ceilings { bytes: 2.0 * COPY_BYTES as f64 / fastest, flops: row.flops.unwrap_or(0.0) / (row.fastest_us * 1e-6) })
}

/// The cases worth timing: shapes of the released models, and one small one of each operator.
pub fn cases() -> Vec<Case> {
    let all = cases::all();
    let mut seen = Vec::new();
    let first = |case: &Case, seen: &mut Vec<(omnihal::OpKind, String)>| {
        let key = (case.op.kind(), case.types());
        let new = !seen.contains(&key);
        if new {
            seen.push(key);
        }
        new
    };
    all.into_iter().filter(|c| c.layout == Layout::Dense).filter(|c| !c.quick || first(c, &mut seen)).collect()
}

/// Times one case: each run is enqueued and waited for, so that a launch is part of the time.
pub fn measure(device: &dyn Device, case: &Case, ceilings: Option<Ceilings>) -> Result<PerfRow> {
    let plan = device.plan(&case.op)?;
    let cost = plan.cost();
    let columns = draw::columns(case, 0, plan.columns())?;
    let image = draw::draw(case, 0)?;
    let bench = Bench::new(device, &image, plan, columns)?;
    let stream = device.stream()?;
    bench.run(&*stream, PATTERNS[0], crate::bench::Way::Eager)?;
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < MIN_RUNS || started.elapsed() < BUDGET {
        let run = Instant::now();
        bench.enqueue(&*stream)?;
        stream.sync(TIMEOUT)?;
        times.push(run.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let (median_us, fastest_us) = (times[times.len() / 2], times[0]);
    // The floor is the slower of moving the bytes and doing the arithmetic.
    let floor = |c: Ceilings| (cost.bytes / c.bytes).max(cost.flops / c.flops);
    Ok(PerfRow {
        id: case.id.clone(),
        op: case.op.kind().name().to_owned(),
        types: case.types(),
        runs: times.len() as u64,
        median_us,
        fastest_us,
        flops: Some(cost.flops),
        bytes: Some(cost.bytes),
        peak_share: ceilings.map(|c| floor(c) / (median_us * 1e-6)),
    })
}
