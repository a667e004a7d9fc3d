//! Choosing the next token from F32 logits, on the host.
//!
//! # Order of operations
//!
//! For logits `l[0..V]`, in this order:
//!
//! 1. **Repetition penalty** `r`: every token of the history, once however often it occurs: `l > 0` becomes
//!    `l / r`, any other `l` becomes `l * r` (Keskar et al. 2019, "CTRL", section 4.1, with the sign rule that
//!    keeps a penalty from rewarding negative logits).
//! 2. **Greedy**, if the temperature is 0: the largest logit, the lowest id on ties. Nothing below applies;
//!    the reported probability is that of temperature 1.
//! 3. **Temperature** `T`: weights `w = exp((l - max) / T)`; probabilities `p = w / sum(w)` over all V tokens.
//! 4. **Candidates**: the `c` most probable, most probable first, the lower id first on ties. `c` belongs to the
//!    sampler: [`DEFAULT_CANDIDATES`], or up to V.
//! 5. **Top-k**: the first `k` of them. 0 keeps all.
//! 6. **Top-p**: a candidate stays while the probabilities before it sum to less than `top_p`, so the one that
//!    reaches the limit is the last to stay, and there always is one. These are the probabilities of step 3, not
//!    renormalised after step 5. 1 keeps all.
//! 7. **Min-p**: a candidate stays if its probability is at least `min_p` times that of the first. 0 keeps all.
//! 8. **Choice**: the first candidate whose cumulative weight exceeds `u` times the weight of those that stayed.
//!
//! `u` in `[0, 1)` comes from [`uniform`], a counter generator over seed and sequence position: the same seed gives the
//! same choice at a position, whatever else is in the batch, and after a roll-back too.
//!
//! A NaN logit ranks below every number and is never chosen. Infinite logits are numbers: those equal to the
//! maximum have weight 1, whatever it is. Sums are in f64.
//!
//! This is the operator `sample.pick`, except for one request that its parameters express differently: greedy
//! with a repetition penalty is temperature 1 and top-k 1 there.

mod params;
mod philox;

pub use params::{ParamError, SamplerParams};
pub use philox::{philox4x32_10, uniform};

/// Candidates kept before top-k, top-p and min-p unless a sampler is told otherwise.
pub const DEFAULT_CANDIDATES: usize = 1024;

/// Why no token was chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A parameter is out of range.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// The row of logits is not as long as the vocabulary.
    #[error("asked to sample from {found} logits, the sampler was made for {expected}; pass one whole row")]
    Length {
        /// Vocabulary of the sampler.
        expected: usize,
        /// Logits given.
        found: usize,
    },
    /// The history holds an id that has no logit.
    #[error("the history holds token id {id}, the vocabulary has {vocab} ids; pass ids of this model")]
    History {
        /// The id.
        id: u32,
        /// Vocabulary of the sampler.
        vocab: usize,
    },
    /// No logit is a number.
    #[error(
        "asked to sample from {vocab} logits, found nothing but nan; look for the first operator that produced nan"
    )]
    NoNumber {
        /// Vocabulary of the sampler.
        vocab: usize,
    },
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability after penalty and temperature, before the cuts.
    pub logprob: f32,
}

/// Samples rows of one vocabulary size. Holds scratch memory made once, so a call allocates nothing; one
/// sampler serves any number of sequences, one at a time.
#[derive(Debug, Clone)]
pub struct Sampler {
    candidates: usize,
    /// Logits after the penalty.
    logits: Vec<f32>,
    /// Ids that are numbers, best first after the cut.
    order: Vec<u32>,
    /// `exp((l - max) / T)` of the candidates, in their order.
    weights: Vec<f64>,
    /// Tokens penalised in this call carry the number of the call.
    penalised: Vec<u64>,
    call: u64,
}

impl Sampler {
    /// A sampler for `vocab` logits that keeps [`DEFAULT_CANDIDATES`].
    pub fn new(vocab: usize) -> Self {
        Self::with_candidates(vocab, DEFAULT_CANDIDATES)
    }

    /// A sampler for `vocab` logits that keeps `candidates` of them, at least 1 and at most all.
    pub fn with_candidates(vocab: usize, candidates: usize) -> Self {
        let candidates = candidates.clamp(1, vocab.max(1));
        Self {
            candidates,
            logits: Vec::with_capacity(vocab),
            order: Vec::with_capacity(vocab),
            weights: Vec::with_capacity(candidates),
            penalised: vec![0; vocab],
            call: 0,
        }
    }

    /// Chooses the token at `position` of a sequence. `history` is what the repetition penalty looks at, usually
    /// prompt and answer so far, and is not read when the penalty is 1.
    ///
    /// # Errors
    /// When a parameter is out of range, the row has the wrong length, the history holds an unknown id, or all
    /// logits are NaN.
    pub fn sample(
        &mut self,
        logits: &[f32],
        params: &SamplerParams,
        history: &[u32],
        position: u64,
    ) -> Result<Sampled, SampleError> {
        self.sample_with(logits, params, history, uniform(params.seed, position))
    }

    /// Chooses a token with the given `u` in `[0, 1)` in place of seed and position.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn sample_with(
        &mut self,
        logits: &[f32],
        params: &SamplerParams,
        history: &[u32],
        u: f32,
    ) -> Result<Sampled, SampleError> {
        params.validate()?;
        let vocab = self.penalised.len();
        if logits.len() != vocab {
            return Err(SampleError::Length { expected: vocab, found: logits.len() });
        }
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        if params.repetition_penalty != 1.0 {
            self.penalise(params.repetition_penalty, history)?;
        }
        let best = argmax(&self.logits).ok_or(SampleError::NoNumber { vocab })?;
        let temperature = if params.is_greedy() { 1.0 } else { params.temperature };
        let softmax = Softmax::new(&self.logits, self.logits[best as usize], temperature);
        let token = if params.is_greedy() { best } else { self.draw(&softmax, params, u) };
        Ok(Sampled { token, logprob: softmax.log_probability(self.logits[token as usize]) })
    }

    fn penalise(&mut self, penalty: f32, history: &[u32]) -> Result<(), SampleError> {
        self.call += 1;
        let vocab = self.penalised.len();
        for &id in history {
            let i = id as usize;
            let Some(mark) = self.penalised.get_mut(i) else {
                return Err(SampleError::History { id, vocab });
            };
            if *mark != self.call {
                *mark = self.call;
                let l = &mut self.logits[i];
                *l = if *l > 0.0 { *l / penalty } else { *l * penalty };
            }
        }
        Ok(())
    }

    /// Steps 4 to 8 of the module's list.
    fn draw(&mut self, softmax: &Softmax, params: &SamplerParams, u: f32) -> u32 {
        self.rank_candidates();
        if params.top_k > 0 {
            self.order.truncate(params.top_k as usize);
        }
        self.weights.clear();
        self.weights.extend(self.order.iter().map(|&i| softmax.weight(self.logits[i as usize])));

        let limit = f64::from(params.top_p) * softmax.total;
        let floor = f64::from(params.min_p) * self.weights[0];
        let mut before = 0.0;
        let mut kept = 0;
        for &w in &self.weights {
            let within_top_p = kept == 0 || params.top_p >= 1.0 || before < limit;
            if !within_top_p || w < floor {
                break;
            }
            before += w;
            kept += 1;
        }
        // The same additions in the same order as `before`, so the last sum equals it and exceeds u * before.
        let target = f64::from(u) * before;
        let mut sum = 0.0;
        let chosen = self.weights[..kept].iter().position(|w| {
            sum += w;
            sum > target
        });
        self.order[chosen.unwrap_or(kept - 1)]
    }

    /// Fills `order` with the best ids, best first.
    fn rank_candidates(&mut self) {
        let Self { logits, order, candidates, .. } = self;
        order.clear();
        order.extend((0..logits.len() as u32).filter(|&i| !logits[i as usize].is_nan()));
        let better = |a: &u32, b: &u32| {
            let (x, y) = (logits[*a as usize], logits[*b as usize]);
            y.partial_cmp(&x).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
        };
        if order.len() > *candidates {
            order.select_nth_unstable_by(*candidates - 1, better);
            order.truncate(*candidates);
        }
        order.sort_unstable_by(better);
    }
}

/// Place of the largest number, the first of equals; none if there is no number.
fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (i, &l) in (0u32..).zip(logits) {
        if !l.is_nan() && best.is_none_or(|(_, b)| l > b) {
            best = Some((i, l));
        }
    }
    best.map(|(i, _)| i)
}

/// Probabilities of a whole row, by weight relative to the best.
struct Softmax {
    max: f32,
    temperature: f64,
    total: f64,
}

impl Softmax {
    fn new(logits: &[f32], max: f32, temperature: f32) -> Self {
        let mut softmax = Self { max, temperature: f64::from(temperature), total: 0.0 };
        softmax.total = logits.iter().filter(|l| !l.is_nan()).map(|&l| softmax.weight(l)).sum();
        softmax
    }

    fn weight(&self, logit: f32) -> f64 {
        self.exponent(logit).exp()
    }

    fn log_probability(&self, logit: f32) -> f32 {
        (self.exponent(logit) - self.total.ln()) as f32
    }

    /// The difference of equal infinities is NaN, so equality is looked at first.
    fn exponent(&self, logit: f32) -> f64 {
        if logit == self.max { 0.0 } else { (f64::from(logit) - f64::from(self.max)) / self.temperature }
    }
}

#[cfg(test)]
mod tests;
