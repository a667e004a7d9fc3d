//! `omnihal generate`.

use crate::failure::{Failure, Outcome};
use crate::open::{self, BackendArgs, ComputeArgs, ModelArgs};
use crate::output;
use clap::Args;
use omnihal_deepseek::config::Config;
use omnihal_deepseek::demo;
use omnihal_deepseek::engine::EngineOptions;
use omnihal_deepseek::generate::{Finish, Generated, Generator, Request, prompt_ids};
use omnihal_deepseek::sampler::SamplerParams;
use omnihal_deepseek::tokenizer::Tokenizer;
use omnihal_runtime::layers::{self, TraceRing};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Continue a prompt
///
/// The text goes to stdout as it is made, everything else to stderr. The prompt is continued as plain text, after the model's begin token.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal generate
  omnihal generate --prompt 'Count to twenty:' --stats
  omnihal generate --model ~/DeepSeek-V4-Flash --prompt 'The tide' --temperature 0.6 --top-p 0.95 --seed 7
  omnihal generate --trace steps.json       every device call, for chrome://tracing or Perfetto")]
pub struct Generate {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Text to continue [default for the demo: "OmniHAL is"]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Token ids to continue, exactly as given; needs no tokenizer
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "prompt")]
    prompt_ids: Vec<u32>,
    /// Most tokens to make
    #[arg(long, value_name = "N", default_value_t = demo::MAX_TOKENS)]
    max_tokens: usize,
    /// Do not put the begin token before the prompt
    #[arg(long)]
    no_bos: bool,
    /// Go on after the end token
    #[arg(long)]
    ignore_eos: bool,
    /// Prompt tokens in one step, at most
    #[arg(long, value_name = "N", default_value_t = 512)]
    chunk: usize,
    #[command(flatten)]
    sampling: Sampling,
    /// Print times, rates and memory to stderr
    #[arg(long)]
    stats: bool,
    /// Print one JSON object at the end instead of the text
    #[arg(long)]
    json: bool,
    /// Write the device calls as a Chrome trace
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// How tokens are chosen. Greedy unless a temperature is given.
#[derive(Args, Clone, Copy)]
struct Sampling {
    /// 0 takes the most probable token
    #[arg(long, value_name = "T", allow_negative_numbers = true, default_value_t = 0.0)]
    temperature: f32,
    /// Choose among the K most probable tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: u32,
    /// Choose among the most probable tokens that together reach P
    #[arg(long, value_name = "P", allow_negative_numbers = true, default_value_t = 1.0)]
    top_p: f32,
    /// Leave out tokens below this share of the best one's probability
    #[arg(long, value_name = "P", allow_negative_numbers = true, default_value_t = 0.0)]
    min_p: f32,
    /// Above 1 makes tokens that occurred before less probable
    #[arg(long, value_name = "R", allow_negative_numbers = true, default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Key of the random numbers: the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl From<Sampling> for SamplerParams {
    fn from(s: Sampling) -> Self {
        SamplerParams {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            repetition_penalty: s.repetition_penalty,
            seed: s.seed,
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    model: String,
    backend: &'a str,
    precision: String,
    prompt_ids: &'a [u32],
    text: Option<&'a str>,
    #[serde(flatten)]
    generated: &'a Generated,
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    weight_bytes: usize,
    state_bytes: usize,
    arena_bytes: usize,
}

impl Generate {
    pub fn run(self) -> Result<Outcome, Failure> {
        let params = SamplerParams::from(self.sampling);
        params.validate()?;
        let checkpoint = self.model.checkpoint()?;
        let tokenizer = self.model.tokenizer()?;
        let config = checkpoint.config();
        let prompt = self.ids(tokenizer.as_ref())?;
        let options = self.options(config, prompt.len())?;
        let precision = options.precision.to_string();
        let stop = if self.ignore_eos { Vec::new() } else { stop_tokens(config, tokenizer.as_ref()) };
        let request = Request { params, max_tokens: self.max_tokens, stop };
        let (mut device, mut ring) = (self.backend.open()?, None);
        if let Some(path) = &self.trace {
            let (traced, calls) = layers::trace(device);
            (device, ring) = (traced, Some((Trace::create(path)?, calls)));
        }
        let mut generator = Generator::new(open::load(device, &checkpoint, options)?);
        let (generated, text) = self.generate(&mut generator, tokenizer.as_ref(), &prompt, &request)?;
        if let Some((trace, calls)) = ring {
            trace.write(&calls)?;
        }
        let [weight_bytes, state_bytes, arena_bytes] = generator.engine().memory();
        let report = Report {
            model: self.model.name(),
            backend: &self.backend.backend,
            precision,
            prompt_ids: &prompt,
            text: text.as_deref(),
            prefill_tokens_per_second: generated.stats.prefill_rate(),
            decode_tokens_per_second: generated.stats.decode_rate(),
            generated: &generated,
            weight_bytes,
            state_bytes,
            arena_bytes,
        };
        if self.json {
            output::json(&report)?;
        }
        if self.stats {
            report.print_stats();
        }
        Ok(Outcome::Good)
    }

    fn ids(&self, tokenizer: Option<&Tokenizer>) -> Result<Vec<u32>, Failure> {
        if !self.prompt_ids.is_empty() {
            return Ok(self.prompt_ids.clone());
        }
        let Some(tokenizer) = tokenizer else {
            return Err(Failure::input(format!(
                "{} has no tokenizer.json: put the model's tokenizer there, or give --prompt-ids",
                self.model.name()
            )));
        };
        let text = match (&self.prompt, &self.model.model) {
            (Some(text), _) => text,
            (None, None) => demo::PROMPT,
            (None, Some(_)) => return Err(Failure::input("a model was named and no prompt: give --prompt TEXT")),
        };
        Ok(if self.no_bos { tokenizer.encode(text)? } else { prompt_ids(tokenizer, text)? })
    }

    fn options(&self, config: &Config, prompt: usize) -> Result<EngineOptions, Failure> {
        let longest = config.max_position_embeddings;
        let positions = prompt.saturating_add(self.max_tokens);
        if positions > longest {
            return Err(Failure::input(format!(
                "{prompt} prompt tokens and --max-tokens {} make {positions} positions, the model has {longest}: \
                 ask for at most {}",
                self.max_tokens,
                longest.saturating_sub(prompt)
            )));
        }
        let mut options = self.compute.options(config, positions.max(1), &self.backend)?;
        options.max_rows = self.chunk;
        Ok(options)
    }

    /// Makes the continuation, printing it as it comes unless JSON was asked for.
    fn generate(
        &self,
        generator: &mut Generator,
        tokenizer: Option<&Tokenizer>,
        prompt: &[u32],
        request: &Request,
    ) -> Result<(Generated, Option<String>), Failure> {
        let Some(tokenizer) = tokenizer else {
            let generated = generator.tokens(prompt, request, &mut |_| Ok(ControlFlow::Continue(())))?;
            if !self.json {
                let ids: Vec<String> = generated.tokens.iter().map(u32::to_string).collect();
                output::text(ids.join(",") + "\n")?;
            }
            return Ok((generated, None));
        };
        let (mut text, mut closed) = (String::new(), None);
        if !self.json && self.prompt_ids.is_empty() {
            output::text(self.prompt.as_deref().unwrap_or(demo::PROMPT))?;
        }
        let generated = generator.text(tokenizer, prompt, request, &mut |piece| {
            text.push_str(piece);
            match if self.json { Ok(()) } else { output::text(piece) } {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => {
                    closed = Some(failure);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(failure) = closed {
            return Err(failure);
        }
        if !self.json {
            output::text("\n")?;
        }
        Ok((generated, Some(text)))
    }
}

/// The end tokens that the config names, and the tokenizer's.
fn stop_tokens(config: &Config, tokenizer: Option<&Tokenizer>) -> Vec<u32> {
    let own = tokenizer.and_then(Tokenizer::eos_id);
    config.eos_token_ids.iter().copied().chain(own).collect()
}

/// The file of a trace, made before the work so that a wrong path costs none.
struct Trace<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Trace<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Trace { path, file }),
            Err(error) => Err(Failure::input(format!("cannot write trace {}: {error}", path.display()))),
        }
    }

    fn write(self, ring: &TraceRing) -> Result<(), Failure> {
        let fail =
            |error: std::io::Error| Failure::input(format!("cannot write trace {}: {error}", self.path.display()));
        let mut out = BufWriter::new(self.file);
        ring.write_chrome(&mut out).and_then(|()| out.flush()).map_err(fail)?;
        let kept = ring.entries().len() as u64;
        if kept < ring.total() {
            eprintln!("omnihal: the trace has the last {kept} of {} device calls", ring.total());
        }
        Ok(())
    }
}

impl Report<'_> {
    fn print_stats(&self) {
        let stats = &self.generated.stats;
        let rate = |rate: Option<f64>| rate.map_or("-".into(), |r| format!("{r:.1}"));
        eprintln!(
            "prefill {:>6} tokens {:>9.3} s {:>10} tok/s",
            stats.prompt_tokens,
            stats.prefill_seconds,
            rate(self.prefill_tokens_per_second)
        );
        eprintln!(
            "decode  {:>6} steps  {:>9.3} s {:>10} tok/s",
            stats.decode_steps,
            stats.decode_seconds,
            rate(self.decode_tokens_per_second)
        );
        let end = match self.generated.finish {
            Finish::Stop => "end token",
            Finish::Length => "--max-tokens reached",
            Finish::Cancelled => "cancelled",
        };
        let size = |bytes: usize| output::bytes(bytes as u64);
        eprintln!(
            "memory  weights {}, state {}, arena {}; {} tokens made, {end}; {} on {}, precision {}",
            size(self.weight_bytes),
            size(self.state_bytes),
            size(self.arena_bytes),
            self.generated.tokens.len(),
            self.model,
            self.backend,
            self.precision
        );
    }
}
