//! The weights of one block.

use super::loader::{Part, first_of};
use super::{Linear, Loader, Mixer};
use crate::config::{Block, Config};
use crate::error::Result;
use omnihal::View;

/// The position bias and norm of a compressor; its projections are in [`BlockWeights::proj`].
#[derive(Clone, Debug)]
pub struct Compressor {
    /// F32 `[ratio, halves * 2 * width]`: the bias in the gate columns, 0 in the kv columns.
    pub ape: View,
    /// Gain of the pooled value's norm.
    pub norm: View,
}

/// How a block chooses experts.
#[derive(Clone, Debug)]
pub enum ExpertChoice {
    /// Bias of the scores, F32 `[experts]`.
    Scored(View),
    /// Experts by token id, I32 `[vocab, choices]`.
    Hash(View),
}

/// The weights of one block.
#[derive(Clone, Debug)]
pub struct BlockWeights {
    /// Norm before attention.
    pub attn_norm: View,
    /// Norm before the experts.
    pub ffn_norm: View,
    /// Hyper-connection around attention.
    pub attn_hc: Mixer,
    /// Hyper-connection around the experts.
    pub ffn_hc: Mixer,
    /// wq_a | wkv.
    pub lat: Linear,
    /// Norm of the query latent.
    pub q_norm: View,
    /// Norm of the key-value row.
    pub kv_norm: View,
    /// wq_b | indexer.wq_b.
    pub q: Linear,
    /// Sink logits, F32 `[heads]`.
    pub sink: View,
    /// First output projection in the activation type, `[groups, o_lora, group inputs]`.
    pub wo_a: View,
    /// Second output projection.
    pub wo_b: View,
    /// Compressor projections: for each half kv | gate, then the indexer's, then its head weights.
    pub proj: Option<Linear>,
    /// Compressor of the attended entries.
    pub main: Option<Compressor>,
    /// Compressor of the indexer keys.
    pub indexer: Option<Compressor>,
    /// Router.
    pub gate: View,
    /// How experts are chosen.
    pub choice: ExpertChoice,
    /// Shared expert: w1 | w3, and w2.
    pub shared: [View; 2],
    /// Routed experts, stacked: w1 | w3, and w2.
    pub experts: [View; 2],
}

/// A multi-token-prediction block.
#[derive(Clone, Debug)]
pub struct MtpWeights {
    /// The block itself.
    pub block: BlockWeights,
    /// Projection of the next token's embedding.
    pub e_proj: View,
    /// Projection of the streams.
    pub h_proj: View,
    /// Norm of the embedding.
    pub enorm: View,
    /// Norm of each stream.
    pub hnorm: View,
    /// Final norm.
    pub norm: View,
    /// Final collapse of the streams.
    pub hc_head: Mixer,
}

pub(super) fn load(loader: &mut Loader<'_>, prefix: &str, block: &Block, config: &Config) -> Result<BlockWeights> {
    let name = |leaf: &str| format!("{prefix}{leaf}");
    let lat = vec![loader.whole(&name("attn.wq_a.weight"))?, loader.whole(&name("attn.wkv.weight"))?];
    let mut q = vec![loader.whole(&name("attn.wq_b.weight"))?];
    if block.has_indexer() {
        q.push(loader.whole(&name("attn.indexer.wq_b.weight"))?);
    }
    let wo_a = loader.plain(&name("attn.wo_a.weight"), loader.act())?;
    let wo_a = wo_a.split(0, config.o_groups, config.o_lora_rank)?;
    let width = |indexer: bool| if indexer { config.index_head_dim } else { config.head_dim };
    let (mut main, mut indexer, mut parts) = (None, None, Vec::new());
    if block.ratio > 0 {
        main = Some(compressor(loader, &name("attn.compressor."), block, width(false), &mut parts)?);
    }
    if block.has_indexer() {
        indexer = Some(compressor(loader, &name("attn.indexer.compressor."), block, width(true), &mut parts)?);
        parts.push(loader.whole(&name("attn.indexer.weights_proj.weight"))?);
    }
    let choice = match block.hash_routed {
        true => ExpertChoice::Hash(loader.table(&name("ffn.gate.tid2eid"))?),
        false => ExpertChoice::Scored(loader.f32(&name("ffn.gate.bias"))?),
    };
    Ok(BlockWeights {
        attn_norm: loader.stored(&name("attn_norm.weight"))?,
        ffn_norm: loader.stored(&name("ffn_norm.weight"))?,
        attn_hc: loader.mixer(&name("hc_attn_"))?,
        ffn_hc: loader.mixer(&name("hc_ffn_"))?,
        lat: loader.linear(lat)?,
        q_norm: loader.stored(&name("attn.q_norm.weight"))?,
        kv_norm: loader.stored(&name("attn.kv_norm.weight"))?,
        q: loader.linear(q)?,
        sink: loader.f32(&name("attn.attn_sink"))?,
        wo_a,
        wo_b: loader.matrix(&name("attn.wo_b.weight"))?,
        proj: if parts.is_empty() { None } else { Some(loader.linear(parts)?) },
        main,
        indexer,
        gate: loader.stored(&name("ffn.gate.weight"))?,
        choice,
        shared: mlp(loader, &[name("ffn.shared_experts.")], true)?,
        experts: experts(loader, prefix, config.n_routed_experts)?,
    })
}

fn experts(loader: &mut Loader<'_>, prefix: &str, count: usize) -> Result<[View; 2]> {
    let names: Vec<String> = (0..count).map(|e| format!("{prefix}ffn.experts.{e}.")).collect();
    mlp(loader, &names, false)
}

/// Stacked w1 | w3 and w2 of the experts whose names start with `prefixes`; a single one without the stack's axis.
fn mlp(loader: &mut Loader<'_>, prefixes: &[String], single: bool) -> Result<[View; 2]> {
    let whole = |loader: &Loader<'_>, prefix: &str, leaf: &str| loader.whole(&format!("{prefix}{leaf}.weight"));
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for prefix in prefixes {
        up.push(vec![whole(loader, prefix, "w1")?, whole(loader, prefix, "w3")?]);
        down.push(vec![whole(loader, prefix, "w2")?]);
    }
    let pair = [loader.matrices(&up)?, loader.matrices(&down)?];
    match single {
        true => Ok([first_of(&pair[0])?, first_of(&pair[1])?]),
        false => Ok(pair),
    }
}

/// Adds a compressor's projections to `parts` and loads the rest of it.
fn compressor(
    loader: &mut Loader<'_>,
    prefix: &str,
    block: &Block,
    width: usize,
    parts: &mut Vec<Part>,
) -> Result<Compressor> {
    let halves = block.compressor_halves();
    for half in 0..halves {
        for leaf in ["wkv", "wgate"] {
            parts.push(loader.rows(&format!("{prefix}{leaf}.weight"), half * width..(half + 1) * width));
        }
    }
    let bias = loader.host_f32(&format!("{prefix}ape"))?;
    let mut ape = vec![0.0; block.ratio * halves * 2 * width];
    for (row, from) in ape.chunks_exact_mut(halves * 2 * width).zip(bias.chunks_exact(halves * width)) {
        for half in 0..halves {
            let gate = (2 * half + 1) * width;
            row[gate..gate + width].copy_from_slice(&from[half * width..(half + 1) * width]);
        }
    }
    Ok(Compressor {
        ape: loader.f32s([block.ratio, halves * 2 * width], &ape)?,
        norm: loader.stored(&format!("{prefix}norm.weight"))?,
    })
}

pub(super) fn load_mtp(loader: &mut Loader<'_>, i: usize, config: &Config) -> Result<MtpWeights> {
    let prefix = format!("mtp.{i}.");
    Ok(MtpWeights {
        block: load(loader, &prefix, &config.mtp[i], config)?,
        e_proj: loader.matrix(&format!("{prefix}e_proj.weight"))?,
        h_proj: loader.matrix(&format!("{prefix}h_proj.weight"))?,
        enorm: loader.stored(&format!("{prefix}enorm.weight"))?,
        hnorm: loader.stored(&format!("{prefix}hnorm.weight"))?,
        norm: loader.stored(&format!("{prefix}norm.weight"))?,
        hc_head: loader.mixer(&format!("{prefix}hc_head_"))?,
    })
}

/// Number of columns in the projection of a compressor.
pub(crate) fn projection_width(block: &Block, width: usize) -> usize {
    block.compressor_halves() * 2 * width
}
