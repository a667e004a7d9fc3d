//! `omnihal bench ops`.

mod inputs;
mod table;

use crate::failure::Failure;
use crate::open::BackendArgs;
use crate::output;
use clap::Args;
use inputs::Inputs;
use omnihal::{Args as RunArgs, Buffer, Device, Mem, MemoryKind, Plan, Stream};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Entry, Step};

/// Measure operators at the sizes of DeepSeek-V4-Flash
///
/// Each line is one operator, or a few that follow each other, run in turn on enough copies of its operands that no cache holds them, replayed from a graph where the
/// device captures them. Its floor is what the bytes and the arithmetic alone would take, at the copy bandwidth measured first and the arithmetic rates given.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal bench ops --backend cuda --tflops 790 --fp8-tflops 1400
  omnihal bench ops --backend cuda --batches 1,64 --context 4096,131072 --prefill 0")]
pub struct Ops {
    #[command(flatten)]
    backend: BackendArgs,
    /// Sequences of a decode step
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,64")]
    batches: Vec<usize>,
    /// Tokens that a decoding sequence holds
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "4096,131072")]
    context: Vec<usize>,
    /// Tokens of a prompt step; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 4096)]
    prefill: usize,
    /// Only operators whose name holds this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// BF16 arithmetic of the device, in 10^12 operations a second
    #[arg(long, value_name = "N")]
    tflops: Option<f64>,
    /// FP8 arithmetic of the device
    #[arg(long, value_name = "N")]
    fp8_tflops: Option<f64>,
    /// Divides the sizes of the model, to try the command on a small device
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    divide: u32,
    /// Time spent on one line, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    ms: u64,
}

/// Longest wait for one measurement.
const LIMIT: Duration = Duration::from_secs(120);
/// Rounds, of which the best counts.
const ROUNDS: u32 = 5;
/// Bytes of operands that no cache of today's devices holds.
const BEYOND_CACHES: f64 = 400e6;
const MOST_COPIES: usize = 16;

#[derive(Serialize)]
struct Line<'a> {
    op: &'a str,
    rows: usize,
    context: usize,
    us: f64,
    megabytes: f64,
    gflop: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of_floor: Option<f64>,
    nodes: usize,
}

/// What the device can do, for the floors.
struct Ceilings {
    bytes: f64,
    flops: Option<f64>,
    fp8_flops: Option<f64>,
}

impl Ops {
    pub fn run(self) -> Result<(), Failure> {
        let device = self.backend.open()?;
        let stream = device.stream()?;
        let bytes = copy_bandwidth(&*device, &*stream)?;
        output::json(&serde_json::json!({ "device": device.info().name, "copy_tb_s": bytes / 1e12 }))?;
        let ceilings =
            Ceilings { bytes, flops: self.tflops.map(|t| t * 1e12), fp8_flops: self.fp8_tflops.map(|t| t * 1e12) };
        let decode = self
            .batches
            .iter()
            .flat_map(|&batch| self.context.iter().map(move |&context| Step { batch, tokens: 1, context }));
        let prefill = (self.prefill > 0).then_some(Step { batch: 1, tokens: self.prefill, context: self.prefill });
        let mut contexts_seen = Vec::new();
        for step in decode.chain(prefill) {
            for entry in table::entries(step, self.divide as usize) {
                // What does not depend on the context is measured once for a batch.
                let once = !entry.by_context && contexts_seen.contains(&(entry.name, step.rows()));
                if once || self.only.as_deref().is_some_and(|text| !entry.name.contains(text)) {
                    continue;
                }
                contexts_seen.push((entry.name, step.rows()));
                self.line(&*device, &*stream, &entry, step, &ceilings)?;
            }
        }
        Ok(())
    }

    fn line(
        &self,
        device: &dyn Device,
        stream: &dyn Stream,
        entry: &Entry,
        step: Step,
        ceilings: &Ceilings,
    ) -> Result<(), Failure> {
        let (seconds, nodes) = match measure(device, stream, entry, step, Duration::from_millis(self.ms)) {
            Ok(found) => found,
            Err(error) => {
                return output::json(
                    &serde_json::json!({ "op": entry.name, "rows": step.rows(), "context": step.context, "error": error.to_string() }),
                );
            }
        };
        let rate = if entry.fp8 { ceilings.fp8_flops } else { ceilings.flops };
        let floor = (entry.bytes / ceilings.bytes).max(rate.map_or(0.0, |rate| entry.flops / rate));
        // Without a rate the floor of a product of many rows would be of its bytes only.
        let floor = (rate.is_some() || step.rows() <= 64).then_some(floor);
        output::json(&Line {
            op: entry.name,
            rows: step.rows(),
            context: step.context,
            us: seconds * 1e6,
            megabytes: entry.bytes / 1e6,
            gflop: entry.flops / 1e9,
            floor_us: floor.map(|f| f * 1e6),
            of_floor: floor.map(|f| f / seconds),
            nodes,
        })
    }
}

/// Bytes a second of a copy within the device, read and written bytes counted.
fn copy_bandwidth(device: &dyn Device, stream: &dyn Stream) -> Result<f64, Failure> {
    const BYTES: usize = 1 << 30;
    let bytes = device.info().memory.map_or(BYTES, |memory| BYTES.min(memory as usize / 8));
    let (from, to) = (device.alloc(bytes, MemoryKind::Device)?, device.alloc(bytes, MemoryKind::Device)?);
    let mut best = f64::INFINITY;
    for _ in 0..=ROUNDS {
        let start = Instant::now();
        const COPIES: u32 = 4;
        for _ in 0..COPIES {
            // SAFETY: both buffers outlive the wait below.
            unsafe { stream.copy(to.mem(), from.mem())? };
        }
        stream.sync(LIMIT)?;
        best = best.min(start.elapsed().as_secs_f64() / f64::from(COPIES));
    }
    Ok(2.0 * bytes as f64 / best)
}

/// One prepared call.
struct Call {
    plan: Arc<dyn Plan>,
    inputs: Inputs,
    workspace: Option<Buffer>,
}

impl Call {
    /// Enqueues it.
    fn run(&self, stream: &dyn Stream) -> omnihal::Result<()> {
        let mut args = RunArgs::new(self.inputs.views());
        args.workspace = self.workspace.as_ref().map_or(Mem::default(), Buffer::mem);
        // SAFETY: the views were made from the operator's argument types, and the buffers live as long as the call.
        unsafe { stream.run(&*self.plan, &args) }
    }
}

/// Seconds of one run of an entry, and nodes of its graph (calls, where there are no graphs).
fn measure(
    device: &dyn Device,
    stream: &dyn Stream,
    entry: &Entry,
    step: Step,
    budget: Duration,
) -> omnihal::Result<(f64, usize)> {
    let copies = ((BEYOND_CACHES / entry.bytes.max(1.0)).ceil() as usize).clamp(1, MOST_COPIES);
    let mut calls = Vec::new();
    for copy in 0..copies {
        for op in &entry.ops {
            let plan = device.plan(op)?;
            let workspace = match plan.workspace() {
                0 => None,
                bytes => Some(device.alloc(bytes, MemoryKind::Device)?),
            };
            calls.push(Call { plan, inputs: Inputs::new(device, stream, op, step, copy as u64)?, workspace });
        }
    }
    let all = || calls.iter().try_for_each(|call| call.run(stream));
    all()?;
    stream.sync(LIMIT)?;
    let graph = match device.caps().native_graphs {
        false => None,
        true => {
            stream.begin_capture()?;
            let captured = all();
            let graph = stream.end_capture();
            captured?;
            Some(graph?)
        }
    };
    let once = || match &graph {
        None => all(),
        // SAFETY: everything captured lives in `calls`, which outlive the wait below.
        Some(graph) => unsafe { stream.launch(&**graph) },
    };
    let mut best = f64::INFINITY;
    let mut runs = 1u32;
    for _ in 0..=ROUNDS {
        let start = Instant::now();
        for _ in 0..runs {
            once()?;
        }
        stream.sync(LIMIT)?;
        let seconds = start.elapsed().as_secs_f64() / f64::from(runs);
        best = best.min(seconds);
        runs = (budget.as_secs_f64() / f64::from(ROUNDS) / seconds).clamp(1.0, 1e5) as u32;
    }
    let nodes = graph.map_or(calls.len(), |graph| graph.nodes());
    Ok((best / copies as f64, nodes / copies))
}
