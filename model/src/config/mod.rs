//! What a DeepSeek-V4 model is, as data.
//!
//! [`Config`] is read from the official `config.json`, from the `config.json` of the reference's
//! `inference` folder, or from the form the `transformers` library saves. The three differ in
//! names only; where a file gives one fact twice, both must agree.

mod error;
mod fields;
mod library;
mod parse;
mod precision;
mod validate;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, FieldError};
pub use precision::{ParsePrecisionError, Precision};

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest config file that is read. The released ones are under 4 KiB.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// How a block compresses its distant past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Sliding window only, ratio 0.
    Window,
    /// Compressed sparse attention, ratio 4: overlapping windows and a top-k indexer.
    Csa,
    /// Heavily compressed attention, any other ratio: every entry is visible.
    Hca,
}

/// One transformer block, of the backbone or of the multi-token-prediction tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Tokens per compressed entry, 0 where there are no entries.
    pub ratio: usize,
    /// What the ratio stands for.
    pub kind: BlockKind,
    /// True where experts are chosen by token id (`ffn.gate.tid2eid`) and not by score.
    pub hash_routed: bool,
}

impl Block {
    /// The ratio to which the released models tie overlap and indexer.
    pub const CSA_RATIO: usize = 4;

    /// A block of the kind that `ratio` stands for.
    pub fn new(ratio: usize, hash_routed: bool) -> Self {
        let kind = match ratio {
            0 => BlockKind::Window,
            Self::CSA_RATIO => BlockKind::Csa,
            _ => BlockKind::Hca,
        };
        Self { ratio, kind, hash_routed }
    }

    /// True where an entry also pools the tokens of the window before its own.
    pub fn overlaps(&self) -> bool {
        self.kind == BlockKind::Csa
    }

    /// True where a top-k indexer chooses the entries that a query sees.
    pub fn has_indexer(&self) -> bool {
        self.kind == BlockKind::Csa
    }

    /// Halves of a compressor projection: 2 with overlap, 1 without, 0 without a compressor.
    pub fn compressor_halves(&self) -> usize {
        match self.kind {
            BlockKind::Window => 0,
            BlockKind::Csa => 2,
            BlockKind::Hca => 1,
        }
    }

    /// Tokens pooled into one entry.
    pub fn pooled_tokens(&self) -> usize {
        self.ratio * self.compressor_halves()
    }
}

/// YaRN: frequencies interpolated between the trained and the extended context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Context extension factor.
    pub factor: f64,
    /// Context length before the extension.
    pub original_max_position_embeddings: usize,
    /// Rotations over the original context above which a frequency stays as it is.
    pub beta_fast: f64,
    /// Rotations over the original context below which a frequency is divided by `factor`.
    pub beta_slow: f64,
}

/// The rotary embedding of one block: queries, keys, entries and indexer alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Rotated channels, the last ones of a head.
    pub dim: usize,
    /// Base of the frequencies.
    pub theta: f64,
    /// Context extension; there is no amplitude factor.
    pub yarn: Option<Yarn>,
}

/// How a config says the routed experts are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpertFormat {
    /// F32, BF16 or F16.
    Plain,
    /// F8E4M3 codes, one scale for each `weight_block`.
    Fp8,
    /// Packed F4E2M1 codes, one E8M0 scale for 32 columns of a row.
    Fp4,
}

/// The architecture of a DeepSeek-V4 model. Field names follow the official `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of a residual stream.
    pub hidden_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Width of a query head and of the one shared key = value vector.
    pub head_dim: usize,
    /// Rotated channels, the last ones of `head_dim` and of `index_head_dim`.
    pub qk_rope_head_dim: usize,
    /// Width of the query latent.
    pub q_lora_rank: usize,
    /// Groups of the output projection.
    pub o_groups: usize,
    /// Output latent width of one group.
    pub o_lora_rank: usize,
    /// Raw keys that a query sees, its own included.
    pub sliding_window: usize,
    /// Indexer heads; 0 where no block has an indexer.
    pub index_n_heads: usize,
    /// Width of an indexer head; 0 where no block has an indexer.
    pub index_head_dim: usize,
    /// Compressed entries that a query keeps; 0 where no block has an indexer.
    pub index_topk: usize,
    /// Routed experts of a block.
    pub n_routed_experts: usize,
    /// Routed experts that a token visits.
    pub num_experts_per_tok: usize,
    /// Inner width of a routed expert and of the one shared expert.
    pub moe_intermediate_size: usize,
    /// Factor on the renormalised routing weights.
    pub routed_scaling_factor: f32,
    /// Clamp inside the SwiGLU: gate from above, up on both sides.
    pub swiglu_limit: f32,
    /// Residual streams.
    pub hc_mult: usize,
    /// Sinkhorn normalisations of the stream mix.
    pub hc_sinkhorn_iters: usize,
    /// Added inside the hyper-connection's sigmoid, softmax and divisions.
    pub hc_eps: f32,
    /// Added to every mean square.
    pub rms_norm_eps: f32,
    /// Rotary base of the blocks with ratio 0.
    pub rope_theta: f64,
    /// Rotary base of all other blocks.
    pub compress_rope_theta: f64,
    /// Context extension of the blocks whose ratio is not 0.
    pub yarn: Option<Yarn>,
    /// Longest context the model was made for.
    pub max_position_embeddings: usize,
    /// The backbone, in order.
    pub blocks: Vec<Block>,
    /// The multi-token-prediction tail, in order.
    pub mtp: Vec<Block>,
    /// First token of a prompt.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a completion.
    pub eos_token_ids: Vec<u32>,
    /// True where linears are said to be F8E4M3 with block scales.
    pub quantised: bool,
    /// How routed experts are said to be stored.
    pub expert_format: ExpertFormat,
    /// Rows and columns of an F8E4M3 weight that share a scale.
    pub weight_block: [usize; 2],
}

impl Config {
    /// Reads and validates a config file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let label = path.display().to_string();
        let io = |source| ConfigError::Io { file: label.clone(), source };
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(ConfigError::NotAFile { file: label });
        }
        let mut text = Vec::new();
        // One byte past the limit shows a file that grew since, or lied about its length.
        File::open(path).and_then(|f| f.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut text)).map_err(io)?;
        Self::from_slice(&label, &text)
    }

    /// Reads and validates the text of a config; `label` names it in errors.
    pub fn from_slice(label: &str, text: &[u8]) -> Result<Self, ConfigError> {
        if text.len() as u64 > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge { file: label.into(), limit: MAX_CONFIG_BYTES });
        }
        let value = serde_json::from_slice(text).map_err(|source| ConfigError::Json { file: label.into(), source })?;
        let field = |error| ConfigError::Field { file: label.into(), error };
        let config = parse::parse(&value).map_err(field)?;
        config.validate().map_err(field)?;
        Ok(config)
    }

    /// Channels of a head that carry no rotation.
    pub fn nope_dim(&self) -> usize {
        self.head_dim - self.qk_rope_head_dim
    }

    /// Attention outputs that one output group takes.
    pub fn o_group_in(&self) -> usize {
        self.num_attention_heads * self.head_dim / self.o_groups
    }

    /// Coefficients of one hyper-connection: pre and post for each stream, then the mix.
    pub fn hc_coefficients(&self) -> usize {
        (2 + self.hc_mult) * self.hc_mult
    }

    /// The rotary embedding of `block`.
    pub fn rope(&self, block: &Block) -> Rope {
        let compressed = block.kind != BlockKind::Window;
        Rope {
            dim: self.qk_rope_head_dim,
            theta: if compressed { self.compress_rope_theta } else { self.rope_theta },
            yarn: self.yarn.filter(|_| compressed),
        }
    }

    /// True where some block has a top-k indexer.
    pub fn has_indexer(&self) -> bool {
        self.blocks.iter().chain(&self.mtp).any(Block::has_indexer)
    }
}
