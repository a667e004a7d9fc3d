//! Measures the products of this backend on this host: read rate of the memory, weights streamed by few rows, arithmetic by many.
//!
//! `cargo run --release -p omnihal-cpu --example products [threads]`

use omnihal::op::ActQuant;
use omnihal::op::gemm::Linear;
use omnihal::op::moe::Experts;
use omnihal::{Args, Buffer, DType, Device, MemoryKind, Op, Quant, Result, Shape, Stream, View, WeightFormat};
use omnihal_cpu::CpuBackend;
use std::sync::Arc;
use std::time::Instant;

const FORMATS: [WeightFormat; 4] =
    [WeightFormat::Plain(DType::F32), WeightFormat::Plain(DType::BF16), WeightFormat::FP8_BLOCK, WeightFormat::FP4_ROW];

struct Bench {
    device: Arc<dyn Device>,
    stream: Box<dyn Stream>,
    keep: Vec<Buffer>,
}

impl Bench {
    /// A tensor whose bytes are all 0x3C: a small positive number in every format.
    fn tensor(&mut self, dtype: DType, shape: &[usize]) -> Result<View> {
        let shape = Shape::new(shape);
        let buffer = self.device.alloc(dtype.bytes(shape.elements()), MemoryKind::Device)?;
        // SAFETY: the buffer is kept until the end.
        unsafe { self.stream.fill(buffer.mem(), 0x3C)? };
        let view = View::contiguous(buffer.mem(), dtype, shape);
        self.keep.push(buffer);
        view
    }

    fn weight(&mut self, format: WeightFormat, shape: &[usize]) -> Result<View> {
        let mut view = self.tensor(format.dtype(), shape)?;
        if let (WeightFormat::Blocked { scale, block, .. }, Some(scales)) = (format, format.scale_shape(&view.shape)) {
            let mem = self.tensor(scale, scales.dims())?.mem;
            view.quant = Some(Quant { mem, dtype: scale, block, shape: scales });
        }
        Ok(view)
    }

    /// Least and median seconds of a run, and processor seconds a run, over different weights in turn so that none stays in a cache.
    fn time(&mut self, op: impl Into<Op>, calls: &[Vec<Option<View>>]) -> Result<[f64; 3]> {
        let plan = self.device.plan(&op.into())?;
        let workspace = self.device.alloc(plan.workspace(), MemoryKind::Device)?;
        let mut seconds = Vec::new();
        let (begin, used) = (Instant::now(), processor_seconds());
        while seconds.len() < 5 || (begin.elapsed().as_secs_f64() < 0.6 && seconds.len() < 2000) {
            let args =
                Args { views: &calls[seconds.len() % calls.len()], workspace: workspace.mem(), rows_hint: usize::MAX };
            let start = Instant::now();
            // SAFETY: every buffer is kept, and the views are made for the operator.
            unsafe { self.stream.run(&*plan, &args)? };
            seconds.push(start.elapsed().as_secs_f64());
        }
        let used = (processor_seconds() - used) / seconds.len() as f64;
        seconds.sort_by(f64::total_cmp);
        Ok([seconds[0], seconds[seconds.len() / 2], used])
    }

    fn linear(&mut self, rows: usize, outer: usize, inner: usize, weight: WeightFormat) -> Result<()> {
        let act = DType::BF16;
        let d =
            Linear { rows, inner, outer, input: act, weight, a_quant: ActQuant::None, output: act, accumulate: false };
        let bytes = weight.bytes(&Shape::new(&[outer, inner]));
        let copies = if rows < 16 { (512 << 20) / bytes.max(1) } else { 1 }.clamp(1, 64);
        let (a, y) = (self.tensor(act, &[rows, inner])?, self.tensor(act, &[rows, outer])?);
        let calls: Result<Vec<_>> =
            (0..copies).map(|_| Ok(vec![Some(a), Some(self.weight(weight, &[outer, inner])?), Some(y)])).collect();
        let [best, median, used] = self.time(d, &calls?)?;
        let (rate, flops) = (bytes as f64 / 1e9, 2.0 * (rows * outer * inner) as f64 / 1e9);
        println!(
            "linear {rows:4} x {outer:5} x {inner:5} {weight:<28} median {:8.1} us {:7.1} GB/s {:7.1} GFLOP/s (best {:.1} {:.1}, by processor time {:.1} {:.1})",
            median * 1e6,
            rate / median,
            flops / median,
            rate / best,
            flops / best,
            rate / used,
            flops / used
        );
        self.keep.clear();
        Ok(())
    }

    fn experts(&mut self, rows: usize, weight: WeightFormat) -> Result<()> {
        let (width, inter, choices, local, act) = (1024, 512, 6, 32, DType::BF16);
        let d = Experts {
            rows,
            width,
            inter,
            choices,
            first: 0,
            local,
            w13: weight,
            w2: weight,
            limit: 10.0,
            a_quant: ActQuant::None,
            act,
            accumulate: false,
        };
        let (x, y) = (self.tensor(act, &[rows, width])?, self.tensor(act, &[rows, width])?);
        let (idx, wt) = (self.tensor(DType::I32, &[rows, choices])?, self.tensor(DType::F32, &[rows, choices])?);
        let chosen: Vec<u8> = (0..rows * choices).flat_map(|i| ((i * 5 % local) as i32).to_le_bytes()).collect();
        // SAFETY: the buffer is kept.
        unsafe { self.stream.write(idx.mem, &chosen)? };
        let mut calls = Vec::new();
        for _ in 0..4 {
            let w13 = self.weight(weight, &[local, 2 * inter, width])?;
            let w2 = self.weight(weight, &[local, width, inter])?;
            calls.push(vec![Some(x), Some(idx), Some(wt), Some(w13), Some(w2), None, Some(y)]);
        }
        let [best, median, used] = self.time(d, &calls)?;
        let hit = (rows * choices).min(local);
        let bytes = weight.bytes(&Shape::new(&[hit, 3 * inter, width])) as f64 / 1e9;
        let flops = 6.0 * (rows * choices * width * inter) as f64 / 1e9;
        println!(
            "experts {rows:4} rows {weight:<28} median {:8.1} us {:7.1} GB/s {:7.1} GFLOP/s (best {:.1} {:.1}, by processor time {:.1} {:.1})",
            median * 1e6,
            bytes / median,
            flops / median,
            bytes / best,
            flops / best,
            bytes / used,
            flops / used
        );
        self.keep.clear();
        Ok(())
    }
}

/// Processor time of this process so far, all threads.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes a second that all threads read with plain sums: what few rows can reach at most.
fn read_rate(threads: usize) -> f64 {
    let words = vec![1u64; 64 << 20];
    let part = words.len() / threads;
    let pass = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for words in words.chunks(part) {
                scope.spawn(move || {
                    let streams: Vec<&[u64]> = words.chunks(words.len().div_ceil(8)).collect();
                    let mut sums = [0u64; 8];
                    for line in 0..streams[streams.len() - 1].len() / 8 {
                        for stream in &streams {
                            for (sum, word) in sums.iter_mut().zip(&stream[line * 8..line * 8 + 8]) {
                                *sum = sum.wrapping_add(*word);
                            }
                        }
                    }
                    std::hint::black_box(sums);
                });
            }
        });
        (words.len() * 8) as f64 / 1e9 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(2);
    let device = CpuBackend::open_with(threads)?;
    let mut bench = Bench { stream: device.stream()?, device, keep: Vec::new() };
    println!("{}, {threads} threads, memory read {:.1} GB/s", bench.device.info().name, read_rate(threads));
    // One task, then two: what a call costs, and what a second thread adds to it.
    bench.linear(1, 16, 16, WeightFormat::Plain(DType::F32))?;
    bench.linear(1, 32, 16, WeightFormat::Plain(DType::F32))?;
    for format in FORMATS {
        bench.linear(1, 4096, 4096, format)?;
        bench.linear(1, 1024, 1024, format)?;
        bench.experts(1, format)?;
    }
    for format in FORMATS {
        bench.linear(4, 1024, 1024, format)?;
        bench.linear(8, 1024, 1024, format)?;
        bench.linear(96, 1024, 512, format)?;
        bench.linear(512, 1024, 1024, format)?;
        bench.experts(512, format)?;
    }
    bench.linear(1024, 1024, 1024, WeightFormat::Plain(DType::F32))
}
