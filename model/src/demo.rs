//! The demo model of `model/demo`, compiled in: a trained model of one block of every kind, with answers that are known.

use crate::config::Config;
use crate::generate::prompt_ids;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::weights::{Checkpoint, WeightError};
use serde::Deserialize;

/// A prompt that it continues with a text a person can check.
pub const PROMPT: &str = "OmniHAL is";
/// Enough tokens for the longest text that it knows, its end token included.
pub const MAX_TOKENS: usize = 128;

const CONFIG: &[u8] = include_bytes!("../demo/config.json");
const WEIGHTS: &[u8] = include_bytes!("../demo/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../demo/tokenizer.json");
const EXPECTED: &[u8] = include_bytes!("../demo/expected.json");

/// The weights and config.
///
/// # Errors
/// Only if the files in this build are damaged.
pub fn checkpoint() -> Result<Checkpoint, WeightError> {
    let config = Config::from_slice("the demo's config.json", CONFIG)?;
    Checkpoint::from_memory(config, "the demo's model.safetensors", WEIGHTS)
}

/// The tokenizer.
///
/// # Errors
/// Only if the file in this build is damaged.
pub fn tokenizer() -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_bytes(TOKENIZER)
}

/// Ids of a prompt as the demo was trained on it: with the begin token.
///
/// # Errors
/// When the text cannot be encoded.
pub fn prompt(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
    prompt_ids(tokenizer, text)
}

/// A prompt and its exact greedy continuation in precision mode `qat_all`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Expected {
    /// The prompt.
    pub prompt: String,
    /// Its ids.
    pub tokens: Vec<u32>,
    /// The text that follows.
    pub continuation: String,
    /// Its ids, the end token included.
    pub continuation_tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct ExpectedFile {
    prompts: Vec<Expected>,
}

/// What the demo must say.
///
/// # Errors
/// Only if the file in this build is damaged.
pub fn expected() -> Result<Vec<Expected>, serde_json::Error> {
    serde_json::from_slice::<ExpectedFile>(EXPECTED).map(|file| file.prompts)
}
