//! Every tensor that a config demands.

use crate::config::{Block, Config};

/// What a tensor is, which decides the types it may have in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A matrix that may be F8E4M3 with block scales.
    Linear,
    /// A matrix of a routed expert: may be F8E4M3 with block scales, or packed FP4.
    Expert,
    /// A matrix that is always a float: embedding, head, router, compressors, indexer weights.
    Matrix,
    /// The weight of an RMSNorm.
    Norm,
    /// Small values that officially are F32: hyper-connections, sinks, position and router biases.
    Float32,
    /// Expert numbers by token id, I64 or I32.
    Table,
}

/// One tensor that a config demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Official name.
    pub name: String,
    /// Logical shape; matrices are `[out, in]`.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
}

/// Every tensor of the model in file order: globals, backbone blocks, MTP blocks. Scales are not
/// listed: they belong to their weight. Made one block at a time.
pub fn manifest(config: &Config) -> impl Iterator<Item = Spec> + '_ {
    let blocks = block_prefixes(config).flat_map(move |(prefix, block, mtp)| {
        let experts = experts(config, &prefix);
        block_specs(config, &prefix, block, mtp).into_iter().chain(experts)
    });
    globals(config).into_iter().chain(blocks)
}

/// The blocks with the prefix of their tensors; true marks the MTP tail.
pub(super) fn block_prefixes(config: &Config) -> impl Iterator<Item = (String, &Block, bool)> {
    let backbone = config.blocks.iter().enumerate();
    let tail = config.mtp.iter().enumerate();
    backbone
        .map(|(i, block)| (format!("layers.{i}."), block, false))
        .chain(tail.map(|(i, block)| (format!("mtp.{i}."), block, true)))
}

struct Specs<'a> {
    prefix: &'a str,
    list: Vec<Spec>,
}

impl Specs<'_> {
    fn add(&mut self, role: Role, name: &str, shape: &[usize]) {
        self.list.push(Spec { name: format!("{}{name}", self.prefix), shape: shape.into(), role });
    }

    fn hc_head(&mut self, config: &Config) {
        let n = config.hc_mult;
        self.add(Role::Float32, "hc_head_fn", &[n, n * config.hidden_size]);
        self.add(Role::Float32, "hc_head_base", &[n]);
        self.add(Role::Float32, "hc_head_scale", &[1]);
    }
}

pub(super) fn globals(config: &Config) -> Vec<Spec> {
    let (v, d) = (config.vocab_size, config.hidden_size);
    let mut specs = Specs { prefix: "", list: Vec::new() };
    specs.add(Role::Matrix, "embed.weight", &[v, d]);
    specs.add(Role::Matrix, "head.weight", &[v, d]);
    specs.add(Role::Norm, "norm.weight", &[d]);
    specs.hc_head(config);
    specs.list
}

/// All tensors of a block but the routed experts.
pub(super) fn block_specs(config: &Config, prefix: &str, block: &Block, mtp: bool) -> Vec<Spec> {
    let d = config.hidden_size;
    let mut specs = Specs { prefix, list: Vec::new() };
    hyper(&mut specs, config);
    attention(&mut specs, config);
    if block.compressor_halves() > 0 {
        compressor(&mut specs, block, "attn.compressor", config.head_dim, d);
    }
    if block.has_indexer() {
        let (heads, width) = (config.index_n_heads, config.index_head_dim);
        let q = [heads * width, config.q_lora_rank];
        specs.add(Role::Linear, "attn.indexer.wq_b.weight", &q);
        specs.add(Role::Matrix, "attn.indexer.weights_proj.weight", &[heads, d]);
        compressor(&mut specs, block, "attn.indexer.compressor", width, d);
    }
    feed_forward(&mut specs, config, block);
    if mtp {
        specs.add(Role::Linear, "e_proj.weight", &[d, d]);
        specs.add(Role::Linear, "h_proj.weight", &[d, d]);
        for name in ["enorm.weight", "hnorm.weight", "norm.weight"] {
            specs.add(Role::Norm, name, &[d]);
        }
        specs.hc_head(config);
    }
    specs.list
}

fn hyper(specs: &mut Specs<'_>, config: &Config) {
    let d = config.hidden_size;
    let coefficients = config.hc_coefficients();
    for sublayer in ["attn", "ffn"] {
        let name = |part| format!("hc_{sublayer}_{part}");
        specs.add(Role::Norm, &format!("{sublayer}_norm.weight"), &[d]);
        specs.add(Role::Float32, &name("fn"), &[coefficients, config.hc_mult * d]);
        specs.add(Role::Float32, &name("base"), &[coefficients]);
        specs.add(Role::Float32, &name("scale"), &[3]);
    }
}

fn attention(specs: &mut Specs<'_>, config: &Config) {
    let (d, c, q) = (config.hidden_size, config.head_dim, config.q_lora_rank);
    let heads = config.num_attention_heads;
    let latent = config.o_groups * config.o_lora_rank;
    specs.add(Role::Linear, "attn.wq_a.weight", &[q, d]);
    specs.add(Role::Norm, "attn.q_norm.weight", &[q]);
    specs.add(Role::Linear, "attn.wq_b.weight", &[heads * c, q]);
    specs.add(Role::Linear, "attn.wkv.weight", &[c, d]);
    specs.add(Role::Norm, "attn.kv_norm.weight", &[c]);
    specs.add(Role::Float32, "attn.attn_sink", &[heads]);
    specs.add(Role::Linear, "attn.wo_a.weight", &[latent, config.o_group_in()]);
    specs.add(Role::Linear, "attn.wo_b.weight", &[d, latent]);
}

fn compressor(specs: &mut Specs<'_>, block: &Block, name: &str, width: usize, d: usize) {
    let out = block.compressor_halves() * width;
    specs.add(Role::Matrix, &format!("{name}.wkv.weight"), &[out, d]);
    specs.add(Role::Matrix, &format!("{name}.wgate.weight"), &[out, d]);
    specs.add(Role::Float32, &format!("{name}.ape"), &[block.ratio, out]);
    specs.add(Role::Norm, &format!("{name}.norm.weight"), &[width]);
}

fn feed_forward(specs: &mut Specs<'_>, config: &Config, block: &Block) {
    let (d, inter) = (config.hidden_size, config.moe_intermediate_size);
    let experts = config.n_routed_experts;
    specs.add(Role::Matrix, "ffn.gate.weight", &[experts, d]);
    if block.hash_routed {
        let table = [config.vocab_size, config.num_experts_per_tok];
        specs.add(Role::Table, "ffn.gate.tid2eid", &table);
    } else {
        specs.add(Role::Float32, "ffn.gate.bias", &[experts]);
    }
    specs.add(Role::Linear, "ffn.shared_experts.w1.weight", &[inter, d]);
    specs.add(Role::Linear, "ffn.shared_experts.w2.weight", &[d, inter]);
    specs.add(Role::Linear, "ffn.shared_experts.w3.weight", &[inter, d]);
}

/// The routed experts of a block.
pub(super) fn experts(config: &Config, prefix: &str) -> impl Iterator<Item = Spec> + use<> {
    let (d, inter) = (config.hidden_size, config.moe_intermediate_size);
    let prefix = prefix.to_owned();
    (0..config.n_routed_experts).flat_map(move |e| {
        let spec = |matrix: &str, shape: [usize; 2]| Spec {
            name: format!("{prefix}ffn.experts.{e}.{matrix}.weight"),
            shape: shape.into(),
            role: Role::Expert,
        };
        [spec("w1", [inter, d]), spec("w2", [d, inter]), spec("w3", [inter, d])]
    })
}
