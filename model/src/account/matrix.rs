//! The matrices of a model: one table from which parameters, bytes and linear FLOPs follow.

use serde::Serialize;

use super::AccountError;
use super::count::{Count, count};
use crate::config::{Block, BlockKind, Config, ExpertFormat};

/// Columns of a row that share an E8M0 scale in packed FP4.
const FP4_GROUP: usize = 32;

/// The classes in which weight bytes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Attention,
    Compressor,
    Routed,
    Shared,
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Fp8 { block: [usize; 2] },
    Fp4,
    Bf16,
    F32,
}

/// Equal matrices of one block: as many as are stored, of which `read` take part in a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    pub(super) kind: Kind,
    format: Format,
    rows: usize,
    columns: usize,
    stored: usize,
    read: usize,
    /// Divided among tensor-parallel devices.
    pub(super) split: bool,
}

impl Matrix {
    fn elements(&self) -> Count {
        count(self.rows) * self.columns
    }

    fn bytes(&self) -> Count {
        let rows = count(self.rows);
        match self.format {
            Format::Fp8 { block } => {
                self.elements() + count(self.rows.div_ceil(block[0])) * self.columns.div_ceil(block[1])
            }
            Format::Fp4 => rows * (self.columns.div_ceil(2) + self.columns.div_ceil(FP4_GROUP)),
            Format::Bf16 => self.elements() * 2u64,
            Format::F32 => self.elements() * 4u64,
        }
    }

    /// Bytes where coded weights are held as bf16, which is exact.
    pub(super) fn expanded_bytes(&self) -> Count {
        match self.format {
            Format::Fp8 { .. } | Format::Fp4 => self.elements() * 2u64 * self.stored,
            Format::Bf16 | Format::F32 => self.stored_bytes(),
        }
    }

    pub(super) fn stored_bytes(&self) -> Count {
        self.bytes() * self.stored
    }

    /// Parameters that a token passes through.
    pub(super) fn active(&self) -> Count {
        self.elements() * self.read
    }

    /// True where a product costs twice an FP8 one. F32 is not counted as BF16: see the module's list.
    pub(super) fn is_bf16(&self) -> bool {
        self.format == Format::Bf16
    }
}

/// The matrices of the backbone with embedding and head, and those of the MTP blocks.
pub(super) struct Tables {
    pub(super) backbone: Vec<Matrix>,
    pub(super) mtp: Vec<Matrix>,
}

/// Parameter counts of the backbone; MTP blocks are not in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// All matrices.
    pub total: u64,
    /// Those that a token passes through: chosen experts only, and no embedding.
    pub active: u64,
}

/// Bytes of weights by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeightBytes {
    /// Attention projections with the indexer's query projection: FP8 in a quantised checkpoint.
    pub attention: u64,
    /// Compressors and the rest of the indexer: BF16.
    pub compressor_indexer: u64,
    /// Routed experts: packed FP4 in a quantised checkpoint.
    pub routed: u64,
    /// Shared experts: FP8 in a quantised checkpoint.
    pub shared: u64,
    /// Hyper-connections, routers, embedding and head.
    pub rest: u64,
    /// The sum.
    pub total: u64,
}

/// Bytes of all weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Weights {
    /// Read to decode one token of one sequence.
    pub read: WeightBytes,
    /// Stored matrices of the backbone.
    pub stored: WeightBytes,
    /// Stored matrices of the MTP blocks.
    pub mtp: u64,
    /// Vectors and tables, of the backbone and of the MTP blocks.
    pub small: u64,
    /// Everything stored.
    pub checkpoint: u64,
    /// The same where a device expands coded weights to bf16 as it loads them.
    pub expanded: u64,
}

impl Tables {
    pub(super) fn new(config: &Config) -> Self {
        let table = Maker::new(config);
        let mut backbone: Vec<Matrix> = config.blocks.iter().flat_map(|b| table.block(b)).collect();
        let vocabulary = [config.vocab_size, config.hidden_size];
        backbone.push(Matrix { read: 0, ..table.matrix(Kind::Rest, Format::Bf16, vocabulary) });
        backbone.push(table.matrix(Kind::Rest, Format::Bf16, vocabulary));
        let mtp = config.mtp.iter().flat_map(|b| table.mtp_block(b)).collect();
        Self { backbone, mtp }
    }

    pub(super) fn parameters(&self) -> Result<Parameters, AccountError> {
        let total: Count = self.backbone.iter().map(|m| m.elements() * m.stored).sum();
        Ok(Parameters { total: total.get("total parameters")?, active: self.active()? })
    }

    pub(super) fn active(&self) -> Result<u64, AccountError> {
        self.backbone.iter().map(Matrix::active).sum::<Count>().get("active parameters")
    }

    pub(super) fn weights(&self, config: &Config) -> Result<Weights, AccountError> {
        let read = WeightBytes::sum(&self.backbone, |m| m.bytes() * m.read)?;
        let stored = WeightBytes::sum(&self.backbone, Matrix::stored_bytes)?;
        let mtp = self.mtp.iter().map(Matrix::stored_bytes).sum::<Count>().get("mtp bytes")?;
        let small = small_bytes(config).get("small tensor bytes")?;
        let checkpoint = (count(stored.total) + mtp + small).get("checkpoint bytes")?;
        let expanded = self.backbone.iter().chain(&self.mtp).map(Matrix::expanded_bytes).sum::<Count>();
        let expanded = (expanded + small).get("bytes of expanded weights")?;
        Ok(Weights { read, stored, mtp, small, checkpoint, expanded })
    }
}

impl WeightBytes {
    fn sum(matrices: &[Matrix], bytes: impl Fn(&Matrix) -> Count) -> Result<Self, AccountError> {
        let of = |kind| {
            let of_kind = matrices.iter().filter(|m| m.kind == kind);
            of_kind.map(&bytes).sum::<Count>().get("weight bytes")
        };
        Ok(Self {
            attention: of(Kind::Attention)?,
            compressor_indexer: of(Kind::Compressor)?,
            routed: of(Kind::Routed)?,
            shared: of(Kind::Shared)?,
            rest: of(Kind::Rest)?,
            total: matrices.iter().map(&bytes).sum::<Count>().get("weight bytes")?,
        })
    }
}

/// Rows of the table for one config.
struct Maker<'c> {
    config: &'c Config,
    linear: Format,
    expert: Format,
}

impl<'c> Maker<'c> {
    fn new(config: &'c Config) -> Self {
        let fp8 = Format::Fp8 { block: config.weight_block };
        let expert = match config.expert_format {
            ExpertFormat::Plain => Format::Bf16,
            ExpertFormat::Fp8 => fp8,
            ExpertFormat::Fp4 => Format::Fp4,
        };
        Self { config, linear: if config.quantised { fp8 } else { Format::Bf16 }, expert }
    }

    fn matrix(&self, kind: Kind, format: Format, [rows, columns]: [usize; 2]) -> Matrix {
        Matrix { kind, format, rows, columns, stored: 1, read: 1, split: false }
    }

    fn block(&self, block: &Block) -> Vec<Matrix> {
        let mut table = self.attention();
        table.extend(self.compressor(block));
        table.extend(self.experts());
        table
    }

    fn attention(&self) -> Vec<Matrix> {
        let c = self.config;
        let (d, latent) = (c.hidden_size, c.o_groups * c.o_lora_rank);
        let whole = |shape| self.matrix(Kind::Attention, self.linear, shape);
        let split = |shape| Matrix { split: true, ..whole(shape) };
        vec![
            whole([c.q_lora_rank, d]),
            split([c.num_attention_heads * c.head_dim, c.q_lora_rank]),
            whole([c.head_dim, d]),
            split([latent, c.o_group_in()]),
            split([d, latent]),
        ]
    }

    fn compressor(&self, block: &Block) -> Vec<Matrix> {
        let c = self.config;
        let d = c.hidden_size;
        let bf16 = |shape| self.matrix(Kind::Compressor, Format::Bf16, shape);
        let pair = |width| Matrix { stored: 2, read: 2, ..bf16([block.compressor_halves() * width, d]) };
        match block.kind {
            BlockKind::Window => vec![],
            BlockKind::Hca => vec![pair(c.head_dim)],
            BlockKind::Csa => vec![
                pair(c.head_dim),
                pair(c.index_head_dim),
                bf16([c.index_n_heads, d]),
                self.matrix(Kind::Attention, self.linear, [c.index_n_heads * c.index_head_dim, c.q_lora_rank]),
            ],
        }
    }

    fn experts(&self) -> Vec<Matrix> {
        let c = self.config;
        let (d, inner, all, chosen) =
            (c.hidden_size, c.moe_intermediate_size, c.n_routed_experts, c.num_experts_per_tok);
        let routed = |shape, of: usize| Matrix {
            stored: of * all,
            read: of * chosen,
            split: true,
            ..self.matrix(Kind::Routed, self.expert, shape)
        };
        let shared =
            |shape, of| Matrix { stored: of, read: of, split: true, ..self.matrix(Kind::Shared, self.linear, shape) };
        let hyper = self.matrix(Kind::Rest, Format::F32, [c.hc_coefficients(), c.hc_mult * d]);
        vec![
            routed([inner, d], 2),
            routed([d, inner], 1),
            shared([inner, d], 2),
            shared([d, inner], 1),
            self.matrix(Kind::Rest, Format::Bf16, [all, d]),
            Matrix { stored: 2, read: 2, ..hyper },
        ]
    }

    fn mtp_block(&self, block: &Block) -> Vec<Matrix> {
        let d = self.config.hidden_size;
        let mut table = self.block(block);
        table.push(Matrix { stored: 2, read: 2, ..self.matrix(Kind::Attention, self.linear, [d, d]) });
        table
    }
}

/// Norms BF16, sinks, bases, biases and position tables F32, hash routes I64.
fn small_bytes(c: &Config) -> Count {
    let block = |b: &Block| {
        let norms = count(2 * c.hidden_size + c.q_lora_rank + c.head_dim) * 2u64;
        let bases = count(c.num_attention_heads + 2 * (c.hc_coefficients() + 3)) * 4u64;
        let entry = |width: usize| count(b.ratio) * (b.compressor_halves() * width * 4) + width * 2;
        let compressor = match b.kind {
            BlockKind::Window => count(0u64),
            BlockKind::Hca => entry(c.head_dim),
            BlockKind::Csa => entry(c.head_dim) + entry(c.index_head_dim),
        };
        let router = if b.hash_routed {
            count(c.vocab_size) * c.num_experts_per_tok * 8u64
        } else {
            count(c.n_routed_experts) * 4u64
        };
        norms + bases + compressor + router
    };
    let end = count(c.hc_mult * c.hc_mult * c.hidden_size + c.hc_mult + 1) * 4u64 + c.hidden_size * 2;
    let blocks: Count = c.blocks.iter().chain(&c.mtp).map(block).sum();
    let mtp_norms = count(c.mtp.len()) * c.hidden_size * 4u64;
    blocks + end * (1 + c.mtp.len()) + mtp_norms
}
