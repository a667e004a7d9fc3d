//! What a caller may ask of the sampler.

use serde::{Deserialize, Serialize};

/// How to choose tokens. The default is greedy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerParams {
    /// Divides the logits: 0 is greedy, 1 the model's own distribution.
    pub temperature: f32,
    /// Most probable tokens kept; 0 keeps all candidates.
    pub top_k: u32,
    /// Probability mass kept, above 0; 1 keeps all.
    pub top_p: f32,
    /// Least probability kept, as a share of the best; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies other logits of tokens in the history; 1 leaves them.
    pub repetition_penalty: f32,
    /// Key of the random numbers.
    pub seed: u64,
}

impl Default for SamplerParams {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

/// A sampling parameter out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} was expected to be {expected}, found {found}; {remedy}")]
pub struct ParamError {
    /// Field of [`SamplerParams`].
    pub name: &'static str,
    /// The legal range in words.
    pub expected: &'static str,
    /// The value given.
    pub found: f32,
    /// The value that turns the feature off.
    pub remedy: &'static str,
}

impl SamplerParams {
    /// True when the most probable token is taken, without drawing.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let check = |ok: bool, name, expected, found, remedy| {
            if ok { Ok(()) } else { Err(ParamError { name, expected, found, remedy }) }
        };
        let Self { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        // A NaN is in no range.
        check(
            (0.0..=f32::MAX).contains(&temperature),
            "temperature",
            "a finite number of at least 0",
            temperature,
            "use 0 for greedy",
        )?;
        check(top_p > 0.0 && top_p <= 1.0, "top_p", "above 0 and at most 1", top_p, "use 1 to keep all tokens")?;
        check((0.0..=1.0).contains(&min_p), "min_p", "from 0 to 1", min_p, "use 0 to keep all tokens")?;
        check(
            repetition_penalty > 0.0 && repetition_penalty.is_finite(),
            "repetition_penalty",
            "a finite number above 0",
            repetition_penalty,
            "use 1 for no penalty",
        )
    }
}
