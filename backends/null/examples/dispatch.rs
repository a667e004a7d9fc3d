//! What a call through the boundary costs: `cargo run --release -p omnihal-null --example dispatch`.

use omnihal::op::gemm;
use omnihal::{Args, Backend, DType, Mem, Result, Shape, View, WeightFormat};
use omnihal_null::NullBackend;
use std::hint::black_box;
use std::time::Instant;

const RUNS: u32 = 1_000_000;

fn main() -> Result<()> {
    let op = gemm::Linear {
        rows: 4,
        inner: 128,
        outer: 64,
        input: DType::BF16,
        weight: WeightFormat::Plain(DType::BF16),
        a_quant: omnihal::op::ActQuant::None,
        output: DType::BF16,
        accumulate: false,
    };
    let device = NullBackend::new().open(0)?;
    let (stream, plan) = (device.stream()?, device.plan(&op.into())?);
    let (a, w, y) = (view([4, 128])?, view([64, 128])?, view([4, 64])?);
    let views = [Some(a), Some(w), Some(y)];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..RUNS {
            // SAFETY: a null run touches no argument.
            unsafe { stream.run(black_box(&*plan), &Args::new(black_box(&views)))? };
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(RUNS));
    }
    println!("null dispatch: {best:.1} ns a run (best of 5 times {RUNS})");
    Ok(())
}

fn view(dims: [usize; 2]) -> Result<View> {
    let shape = Shape::from(dims);
    View::contiguous(Mem { addr: 64, len: 2 * shape.elements() }, DType::BF16, shape)
}
