//! What the C interface costs: nanoseconds of one run of a plan with two arguments, as a trait call and through the C table.
//! `cargo run --release -p omnihal-abi --example cost`

use omnihal::op::ActQuant;
use omnihal::op::gemm;
use omnihal::{Args, Backend, DType, Mem, Op, Result, View};
use omnihal_abi::through_table;
use omnihal_null::NullBackend;
use std::time::Instant;

/// Runs of one measurement.
const RUNS: u32 = 100_000;
/// Measurements, of which the best counts: the others were disturbed.
const REPEATS: u32 = 50;

fn nanoseconds(backend: &dyn Backend) -> Result<f64> {
    let device = backend.open(0)?;
    let op: Op = gemm::Linear {
        rows: 4,
        inner: 8,
        outer: 8,
        input: DType::F32,
        weight: DType::F32.into(),
        a_quant: ActQuant::None,
        output: DType::F32,
        accumulate: false,
    }
    .into();
    let (plan, stream) = (device.plan(&op)?, device.stream()?);
    let mem = Mem { addr: 4096, len: 256 };
    let views =
        [Some(View::contiguous(mem, DType::F32, [4, 8])?), Some(View::contiguous(mem, DType::F32, [8, 8])?), None];
    let args = Args::new(&views);
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        for _ in 0..RUNS {
            // SAFETY: the null device touches no argument.
            unsafe { stream.run(&*plan, std::hint::black_box(&args))? };
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(RUNS));
    }
    Ok(best)
}

fn main() -> Result<()> {
    println!("trait call: {:.0} ns", nanoseconds(&NullBackend::new())?);
    println!("through the C table: {:.0} ns", nanoseconds(&*through_table(Box::new(NullBackend::new())))?);
    Ok(())
}
