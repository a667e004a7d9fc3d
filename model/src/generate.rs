//! Continuing a prompt: prompt chunks, then one token at a time.

use crate::engine::{Engine, Feed, Want};
use crate::error::ModelError;
use crate::sampler::{ParamError, SampleError, Sampler, SamplerParams};
use crate::tokenizer::{Tokenizer, TokenizerError};
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Why a continuation was not finished.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The engine refused or failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// No token could be chosen.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A token has no text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// There is nothing to continue.
    #[error("the prompt has no tokens: give a text, or a begin token")]
    EmptyPrompt,
}

impl From<ParamError> for GenerateError {
    fn from(error: ParamError) -> Self {
        GenerateError::Sample(error.into())
    }
}

/// How to continue a prompt.
#[derive(Clone, Debug)]
pub struct Request {
    /// How tokens are chosen.
    pub params: SamplerParams,
    /// Most tokens to make, the end token included.
    pub max_tokens: usize,
    /// Tokens that end the text.
    pub stop: Vec<u32>,
}

/// Why a continuation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model made an end token.
    Stop,
    /// The most tokens were made.
    Length,
    /// The caller asked for it.
    Cancelled,
}

/// Times and counts of one continuation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Seconds until the logits after the prompt were there.
    pub prefill_seconds: f64,
    /// Steps of one token that followed: one less than the tokens made.
    pub decode_steps: usize,
    /// Seconds that they took, the choice of tokens included.
    pub decode_seconds: f64,
}

impl Stats {
    /// Prompt tokens a second.
    pub fn prefill_rate(&self) -> Option<f64> {
        rate(self.prompt_tokens, self.prefill_seconds)
    }

    /// Decoded tokens a second.
    pub fn decode_rate(&self) -> Option<f64> {
        rate(self.decode_steps, self.decode_seconds)
    }
}

fn rate(tokens: usize, seconds: f64) -> Option<f64> {
    (tokens > 0 && seconds > 0.0).then(|| tokens as f64 / seconds)
}

/// A finished continuation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generated {
    /// The tokens made, an end token included.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// How long it took.
    pub stats: Stats,
}

/// Continues prompts with one engine, one after the other.
pub struct Generator {
    engine: Engine,
    sampler: Sampler,
}

impl Generator {
    /// A generator that owns its engine.
    pub fn new(engine: Engine) -> Self {
        let sampler = Sampler::new(engine.config().vocab_size);
        Generator { engine, sampler }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Gives the engine back.
    pub fn into_engine(self) -> Engine {
        self.engine
    }

    /// Continues `prompt` in a sequence of its own. `on_token` hears of each token as it is chosen and may end the text.
    ///
    /// # Errors
    /// When the prompt is empty or too long for the engine, a parameter is out of range, or the device fails.
    pub fn tokens(
        &mut self,
        prompt: &[u32],
        request: &Request,
        on_token: &mut dyn FnMut(u32) -> Result<ControlFlow<()>, TokenizerError>,
    ) -> Result<Generated, GenerateError> {
        request.params.validate()?;
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let seq = self.engine.add()?;
        let made = self.run(seq, prompt, request, on_token);
        // The first error is the one to tell of.
        let removed = self.engine.remove(seq);
        let made = made?;
        removed?;
        Ok(made)
    }

    fn run(
        &mut self,
        seq: crate::state::SeqId,
        prompt: &[u32],
        request: &Request,
        on_token: &mut dyn FnMut(u32) -> Result<ControlFlow<()>, TokenizerError>,
    ) -> Result<Generated, GenerateError> {
        let mut stats = Stats { prompt_tokens: prompt.len(), ..Stats::default() };
        let mut history = prompt.to_vec();
        let mut finish = Finish::Length;
        let start = Instant::now();
        let (mut fed, mut prefill) = (0, Duration::ZERO);
        while history.len() - prompt.len() < request.max_tokens {
            let feed = Feed { seq, tokens: &history[fed..], want: Want::Last };
            let logits = self.engine.step(&[feed])?;
            if fed == 0 {
                prefill = start.elapsed();
            } else {
                stats.decode_steps += 1;
            }
            fed = history.len();
            let token = self.sampler.sample(logits.row(0), &request.params, &history, fed as u64)?.token;
            history.push(token);
            if request.stop.contains(&token) {
                finish = Finish::Stop;
                break;
            }
            if on_token(token)?.is_break() {
                finish = Finish::Cancelled;
                break;
            }
        }
        stats.prefill_seconds = prefill.as_secs_f64();
        stats.decode_seconds = (start.elapsed() - prefill).as_secs_f64();
        history.drain(..prompt.len());
        Ok(Generated { tokens: history, finish, stats })
    }

    /// As [`Generator::tokens`], with text as it becomes complete: never half a character. The end token has no text here.
    ///
    /// # Errors
    /// As [`Generator::tokens`], and when the model makes a token that the tokenizer does not have.
    pub fn text(
        &mut self,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        request: &Request,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let mut stream = tokenizer.decode_stream();
        let made = self.tokens(prompt, request, &mut |token| {
            let piece = stream.push(token)?;
            Ok(if piece.is_empty() { ControlFlow::Continue(()) } else { on_text(piece) })
        })?;
        let rest = stream.finish();
        if !rest.is_empty() && made.finish != Finish::Cancelled {
            // The text is over either way.
            let _ = on_text(rest);
        }
        Ok(made)
    }
}

/// Ids of a prompt that the model continues as plain text, with the begin token unless the text has it already.
///
/// # Errors
/// When the text cannot be encoded.
pub fn prompt_ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
    let ids = tokenizer.encode(text)?;
    let bos = tokenizer.bos_id().filter(|bos| ids.first() != Some(bos));
    Ok(bos.into_iter().chain(ids).collect())
}
