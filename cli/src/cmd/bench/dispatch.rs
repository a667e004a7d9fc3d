//! `omnihal bench dispatch`: what a call through the boundary costs the host.

use super::{best, median, record};
use crate::failure::Failure;
use crate::output;
use clap::Args;
use omnihal::op::elementwise::Func;
use omnihal::op::{ActQuant, gemm};
use omnihal::{Args as CallArgs, DType, Device, Mem, MemoryKind, StepShape, View, WeightFormat};
use omnihal_deepseek::demo;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_runtime::{Affine, Program, ProgramSpec, Recipe, TierLimit};
use serde::Serialize;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Time the way of a call to a backend: by default the null one, which does nothing
///
/// Three ways: one plan and its arguments; a prepared program of many calls; a whole decode step of the demo, with its step table. On a backend that does run them: one fill, one
/// plan and its arguments, the same recorded, and the recording replayed.
#[derive(Args)]
#[command(after_help = "Examples:\n  omnihal bench dispatch --json\n  omnihal bench dispatch --backend cuda")]
pub struct Dispatch {
    /// Backend, backend:index, or the path of a plug-in
    #[arg(long, value_name = "NAME", default_value = "null")]
    backend: String,
    /// Repetitions, of which median and best are shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Nanoseconds an operator, over the repetitions.
#[derive(Serialize)]
pub struct Way {
    way: &'static str,
    calls: usize,
    median_ns: f64,
    best_ns: f64,
}

impl Way {
    pub fn new(way: &'static str, calls: usize, rates: &[f64]) -> Self {
        // Calls a second, so that the best is the largest.
        Way { way, calls, median_ns: 1e9 / median(rates), best_ns: 1e9 / best(rates) }
    }
}

/// Calls of one measured run.
const CALLS: usize = 1_000_000;
/// Calls of the prepared program.
const PROGRAM: usize = 1000;
/// Decode steps of one measured run.
const STEPS: usize = 64;

/// The call that is made.
pub fn linear() -> gemm::Linear {
    gemm::Linear {
        rows: 4,
        inner: 128,
        outer: 64,
        input: DType::BF16,
        weight: WeightFormat::Plain(DType::BF16),
        a_quant: ActQuant::None,
        output: DType::BF16,
        accumulate: false,
    }
}

/// Its arguments in these ranges of memory.
pub fn views(mems: [Mem; 3]) -> Result<[Option<View>; 3], Failure> {
    let view = |mem, dims: [usize; 2]| View::contiguous(mem, DType::BF16, dims).map(Some);
    let [a, w, y] = mems;
    Ok([view(a, [4, 128])?, view(w, [64, 128])?, view(y, [4, 64])?])
}

impl Dispatch {
    pub fn run(self) -> Result<(), Failure> {
        let device = crate::open::open(&self.backend)?;
        let ways = match self.backend.as_str() {
            "null" => vec![self.plan(&device)?, self.program(&device)?, self.step(device)?],
            _ => record::ways(&device, self.reps)?,
        };
        if self.json {
            return output::json(&ways);
        }
        for way in ways {
            output::text(format!(
                "{:<34} {:>8.1} ns a call, best {:.1} ({} calls)\n",
                way.way, way.median_ns, way.best_ns, way.calls
            ))?;
        }
        Ok(())
    }

    /// Calls a second, once for each repetition; one more before warms up.
    fn rates(&self, calls: usize, mut run: impl FnMut() -> Result<(), Failure>) -> Result<Vec<f64>, Failure> {
        run()?;
        let rate = |_| {
            let start = Instant::now();
            run()?;
            Ok(calls as f64 / start.elapsed().as_secs_f64())
        };
        (0..self.reps).map(rate).collect()
    }

    fn plan(&self, device: &Arc<dyn Device>) -> Result<Way, Failure> {
        let (stream, plan) = (device.stream()?, device.plan(&linear().into())?);
        let views = views([Mem { addr: 64, len: 1 << 20 }; 3])?;
        let rates = self.rates(CALLS, || {
            for _ in 0..CALLS {
                // SAFETY: a run on the null device touches no argument.
                unsafe { stream.run(black_box(&*plan), &CallArgs::new(black_box(&views)))? };
            }
            Ok(())
        })?;
        Ok(Way::new("one plan and its arguments", CALLS, &rates))
    }

    fn program(&self, device: &Arc<dyn Device>) -> Result<Way, Failure> {
        let mut recipe = Recipe::new();
        let mut x = recipe.f32s([1, 64], [1.0; 64]);
        for _ in 0..PROGRAM {
            x = recipe.map(&x, Func::Relu, Affine::default());
        }
        let recipe = recipe.finish()?;
        let step = StepShape { rows: 1, seqs: 1, wanted: 1, tile: 1, window: 1, ring: 1, drafts: 0, spaces: vec![] };
        let stream = device.stream()?;
        let spec = ProgramSpec { recipe: &recipe, step, limit: TierLimit::All, fallback: None, keep: vec![] };
        let mut program = Program::build(device, &*stream, spec)?;
        program.bind(&device.alloc(program.arena_bytes(), MemoryKind::Device)?)?;
        let runs = CALLS / program.calls().max(1);
        let rates = self.rates(runs * program.calls(), || {
            (0..runs).try_for_each(|_| program.run(&*stream, 1)).map_err(Failure::from)
        })?;
        Ok(Way::new("a call of a prepared program", program.calls(), &rates))
    }

    fn step(&self, device: Arc<dyn Device>) -> Result<Way, Failure> {
        let checkpoint = demo::checkpoint()?;
        let options = EngineOptions::new(checkpoint.config(), STEPS);
        let mut engine = Engine::load(device, &checkpoint, options, &mut |_| {})?;
        let (_, calls) = engine.cost(1, STEPS)?;
        let rates = self.rates(STEPS * calls, || {
            let seq = engine.add()?;
            for _ in 0..STEPS {
                engine.step(&[Feed { seq, tokens: &[7], want: Want::Last }])?;
            }
            Ok(engine.remove(seq)?)
        })?;
        Ok(Way::new("a call in a demo decode step", calls, &rates))
    }
}
