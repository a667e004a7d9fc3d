//! `omnihal bench model`.

use super::{bandwidth, best, median};
use crate::failure::Failure;
use crate::open::{self, BackendArgs, ComputeArgs, ModelArgs};
use crate::{host, output};
use clap::Args;
use omnihal_deepseek::account::{Account, Query};
use omnihal_deepseek::config::Config;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use serde::Serialize;
use std::time::Instant;

/// Measure prompt and decode speed of a model
///
/// Tokens are pseudo-random. Rates are the median and the best of the repetitions, after one that warms up; those of decoding follow each
/// other in one sequence. The GB/s are bytes of weights
/// that a decoded token reads, computed from the config, times tokens a second; their share is of the read bandwidth of this host, measured
/// with as many threads.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal bench model
  omnihal bench model --model DIR --prefill 512 --decode-at 128 --json
  omnihal bench model --model DIR --prefill 0 --decode-at 32768       decode only, far into a context")]
pub struct Model {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Tokens of the prompt that is timed; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 512)]
    prefill: usize,
    /// Context at which decoding starts
    #[arg(long, value_name = "N", default_value_t = 128)]
    decode_at: usize,
    /// Sequences that decode side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Steps decoded in a repetition, a token of each sequence in one; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 32)]
    tokens: usize,
    /// Repetitions
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// Prompt tokens in one step, at most
    #[arg(long, value_name = "N", default_value_t = 512)]
    chunk: usize,
    /// Do not measure the bandwidth of this host
    #[arg(long)]
    no_bandwidth: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Tokens a second.
#[derive(Clone, Copy, Serialize)]
struct Rate {
    tokens: usize,
    median: f64,
    best: f64,
}

impl Rate {
    fn new(tokens: usize, rates: &[f64]) -> Option<Self> {
        (!rates.is_empty()).then(|| Rate { tokens, median: median(rates), best: best(rates) })
    }
}

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    backend: &'a str,
    device: String,
    act: String,
    precision: String,
    threads: usize,
    load_seconds: f64,
    prefill_tokens_per_second: Option<Rate>,
    decode_at: usize,
    batch: u32,
    decode_tokens_per_second: Option<Rate>,
    /// Of the config; the files may hold wider types.
    weight_bytes_read_per_token: u64,
    weight_gigabytes_per_second: Option<f64>,
    read_bandwidth_gigabytes_per_second: Option<f64>,
    bandwidth_share: Option<f64>,
    weight_bytes: usize,
    state_bytes: usize,
    arena_bytes: usize,
    peak_memory_bytes: Option<u64>,
    peak_over_weights_and_state: Option<f64>,
    anonymous_memory_bytes: Option<u64>,
}

impl Model {
    pub fn run(self) -> Result<(), Failure> {
        let checkpoint = self.model.checkpoint()?;
        let config = checkpoint.config();
        let device = self.backend.open()?;
        let (options, account) = self.options(config)?;
        let (act, precision) = (options.act.to_string(), options.precision.to_string());
        let start = Instant::now();
        let mut engine = open::load(device.clone(), &checkpoint, options)?;
        let load_seconds = start.elapsed().as_secs_f64();
        let prefill = Rate::new(self.prefill, &self.prefill_rates(&mut engine)?);
        let decode = Rate::new(self.tokens, &self.decode_rates(&mut engine)?);
        // Before the bandwidth is measured, which takes memory of its own.
        let (peak, anonymous) = (host::peak_memory(), host::anonymous_memory());
        let [weight_bytes, state_bytes, arena_bytes] = engine.memory();
        drop(engine);
        let threads = host::threads();
        let bandwidth = if self.no_bandwidth { None } else { bandwidth::read(threads).map(|b| b / 1e9) };
        let read = account.weights.read.total;
        let speed = decode.map(|rate| rate.median * read as f64 / 1e9);
        let report = Report {
            model: self.model.name(),
            backend: &self.backend.backend,
            device: device.info().name.clone(),
            act,
            precision,
            threads,
            load_seconds,
            prefill_tokens_per_second: prefill,
            decode_at: self.decode_at,
            batch: self.batch,
            decode_tokens_per_second: decode,
            weight_bytes_read_per_token: read,
            weight_gigabytes_per_second: speed,
            read_bandwidth_gigabytes_per_second: bandwidth,
            bandwidth_share: speed.zip(bandwidth).map(|(speed, bandwidth)| speed / bandwidth),
            weight_bytes,
            state_bytes,
            arena_bytes,
            peak_memory_bytes: peak,
            peak_over_weights_and_state: peak.map(|peak| peak as f64 / (weight_bytes + state_bytes) as f64),
            anonymous_memory_bytes: anonymous,
        };
        match self.json {
            true => output::json(&report),
            false => output::text(report.table()),
        }
    }

    fn options(&self, config: &Config) -> Result<(EngineOptions, Account), Failure> {
        let positions = self.prefill.max(self.positions_decoded());
        if self.decode_at == 0 || positions > config.max_position_embeddings {
            return Err(Failure::input(format!(
                "--prefill {} and --decode-at {} with {} times --tokens {} need {positions} positions: the model has {}, and decoding starts at 1 or later",
                self.prefill, self.decode_at, self.reps, self.tokens, config.max_position_embeddings
            )));
        }
        let mut options = self.compute.options(config, positions, &self.backend)?;
        options.max_rows = self.chunk.max(self.batch as usize);
        options.sequences = self.batch as usize;
        Ok((options, Account::new(config, Query::new(self.decode_at as u64))?))
    }

    fn prefill_rates(&self, engine: &mut Engine) -> Result<Vec<f64>, Failure> {
        if self.prefill == 0 {
            return Ok(Vec::new());
        }
        let prompt = ids(engine.config(), self.prefill);
        let mut run = || {
            let seq = engine.add()?;
            let start = Instant::now();
            engine.step(&[Feed { seq, tokens: &prompt, want: Want::Last }])?;
            let seconds = start.elapsed().as_secs_f64();
            engine.remove(seq)?;
            Ok(prompt.len() as f64 / seconds)
        };
        run()?;
        (0..self.reps).map(|_| run()).collect::<Result<_, omnihal_deepseek::error::ModelError>>().map_err(Failure::from)
    }

    fn decode_rates(&self, engine: &mut Engine) -> Result<Vec<f64>, Failure> {
        if self.tokens == 0 {
            return Ok(Vec::new());
        }
        let ids = ids(engine.config(), self.positions_decoded());
        let (prompt, mut rest) = ids.split_at(self.decode_at);
        let mut seqs = Vec::new();
        for _ in 0..self.batch {
            let seq = engine.add()?;
            engine.step(&[Feed { seq, tokens: prompt, want: Want::None }])?;
            seqs.push(seq);
        }
        let vocab = engine.config().vocab_size as u32;
        // Sequences go on with tokens of their own, so that they are routed apart.
        let mut tokens: Vec<u32> = vec![0; seqs.len()];
        let mut decode = |count: usize| {
            let (now, later) = rest.split_at(count);
            rest = later;
            let start = Instant::now();
            for &token in now {
                tokens.iter_mut().enumerate().for_each(|(i, t)| *t = (token + 7919 * i as u32) % vocab);
                let feeds: Vec<_> = seqs
                    .iter()
                    .zip(tokens.chunks(1))
                    .map(|(&seq, tokens)| Feed { seq, tokens, want: Want::Last })
                    .collect();
                engine.step(&feeds)?;
            }
            Ok((count * seqs.len()) as f64 / start.elapsed().as_secs_f64())
        };
        decode(1)?;
        let rates = (0..self.reps).map(|_| decode(self.tokens));
        let rates = rates.collect::<Result<_, omnihal_deepseek::error::ModelError>>()?;
        for seq in seqs {
            engine.remove(seq)?;
        }
        Ok(rates)
    }

    /// The repetitions follow each other in one sequence, after one token that warms up: a copy for each would take memory.
    fn positions_decoded(&self) -> usize {
        let timed = self.tokens.saturating_mul(self.reps as usize);
        self.decode_at.saturating_add(timed).saturating_add(1)
    }
}

/// Tokens from a fixed linear congruential generator (the constants of Knuth's MMIX), so that routing is as varied as in a text.
fn ids(config: &Config, count: usize) -> Vec<u32> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % config.vocab_size as u64) as u32
    };
    (0..count).map(next).collect()
}

impl Report<'_> {
    fn table(&self) -> String {
        let rate = |name: &str, rate: Option<Rate>, at: String| match rate {
            Some(r) => {
                format!("{name:<10} {:>10.1} tok/s median, {:.1} best ({} tokens{at})\n", r.median, r.best, r.tokens)
            }
            None => String::new(),
        };
        let size = |bytes: usize| output::bytes(bytes as u64);
        let mut out = format!(
            "{} on {} {}, act {}, precision {}, {} threads, loaded in {:.2} s\n",
            self.model, self.backend, self.device, self.act, self.precision, self.threads, self.load_seconds
        );
        out += &rate("prefill", self.prefill_tokens_per_second, String::new());
        out += &rate(
            "decode",
            self.decode_tokens_per_second,
            format!(" at {}, {} side by side", self.decode_at, self.batch),
        );
        if let Some(speed) = self.weight_gigabytes_per_second {
            let read = output::bytes(self.weight_bytes_read_per_token);
            out += &format!("weights    {speed:>10.2} GB/s ({read} a token)");
            out += &match self.read_bandwidth_gigabytes_per_second.zip(self.bandwidth_share) {
                Some((bandwidth, share)) => format!(", {:.1} % of {bandwidth:.2} GB/s measured\n", 100.0 * share),
                None => "\n".into(),
            };
        }
        out += &format!(
            "memory     weights {}, state {}, arena {}",
            size(self.weight_bytes),
            size(self.state_bytes),
            size(self.arena_bytes)
        );
        if let Some((peak, over)) = self.peak_memory_bytes.zip(self.peak_over_weights_and_state) {
            out += &format!("; peak {}, {over:.2} x weights + state", output::bytes(peak));
        }
        out + "\n"
    }
}
