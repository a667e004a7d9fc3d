//! From JSON to [`Config`], whatever names the file uses.

use super::fields::{Fields, quote};
use super::library::{self, Ropes};
use super::validate::{BLOCKS, EXPERTS, HEADS, POSITIONS, RATIO, ROWS, SINKHORN, STREAMS, VOCAB, WIDTH};
use super::{Block, Config, ExpertFormat, FieldError, Yarn};
use serde_json::{Value, json};

/// `max_position_embeddings` of both released models, for files that do not say.
const RELEASED_POSITIONS: usize = 1 << 20;
/// `weight_block_size` of both released models, for files that do not say.
const RELEASED_BLOCK: [usize; 2] = [128, 128];

pub(super) fn parse(value: &Value) -> Result<Config, FieldError> {
    let root = Fields::root(value)?;
    check_family(&root)?;
    let (blocks, mtp) = blocks(&root)?;
    let indexer = blocks.iter().any(Block::has_indexer);
    let index = |name: &str, max| match root.count_opt(&[name], max)? {
        None if indexer => root.count(&[name], max),
        size => Ok(size.unwrap_or(0)),
    };
    let head_dim = root.count(&["head_dim"], HEADS)?;
    let ropes = ropes(&root, blocks.iter().all(|b| b.ratio == 0))?;
    let (quantised, expert_format, weight_block) = quantisation(&root)?;
    Ok(Config {
        vocab_size: root.count(&["vocab_size"], VOCAB)?,
        hidden_size: root.count(&["hidden_size", "dim"], WIDTH)?,
        num_attention_heads: root.count(&["num_attention_heads", "n_heads"], HEADS)?,
        head_dim,
        qk_rope_head_dim: rope_dim(&root, head_dim)?,
        q_lora_rank: root.count(&["q_lora_rank"], WIDTH)?,
        o_groups: root.count(&["o_groups"], HEADS)?,
        o_lora_rank: root.count(&["o_lora_rank"], WIDTH)?,
        sliding_window: root.count(&["sliding_window", "window_size"], ROWS)?,
        index_n_heads: index("index_n_heads", HEADS)?,
        index_head_dim: index("index_head_dim", HEADS)?,
        index_topk: index("index_topk", ROWS)?,
        n_routed_experts: root.count(&["n_routed_experts"], EXPERTS)?,
        num_experts_per_tok: root.count(&["num_experts_per_tok", "n_activated_experts"], EXPERTS)?,
        moe_intermediate_size: root.count(&["moe_intermediate_size", "moe_inter_dim"], WIDTH)?,
        routed_scaling_factor: root.number(&["routed_scaling_factor", "route_scale"])? as f32,
        swiglu_limit: root.number(&["swiglu_limit"])? as f32,
        hc_mult: root.count_opt(&["hc_mult"], STREAMS)?.unwrap_or(4),
        hc_sinkhorn_iters: root.count_opt(&["hc_sinkhorn_iters"], SINKHORN)?.unwrap_or(20),
        hc_eps: root.number_opt(&["hc_eps"])?.unwrap_or(1e-6) as f32,
        rms_norm_eps: root.number_opt(&["rms_norm_eps", "norm_eps"])?.unwrap_or(1e-6) as f32,
        rope_theta: ropes.theta,
        compress_rope_theta: ropes.compress_theta,
        yarn: ropes.yarn,
        max_position_embeddings: root
            .count_opt(&["max_position_embeddings", "max_seq_len"], POSITIONS)?
            .unwrap_or(RELEASED_POSITIONS),
        blocks,
        mtp,
        bos_token_id: root.ids("bos_token_id", VOCAB)?.first().copied(),
        eos_token_ids: root.ids("eos_token_id", VOCAB)?,
        quantised,
        expert_format,
        weight_block,
    })
}

/// Settings that have one value in this family. Another value is another model, which would run but be wrong.
fn check_family(root: &Fields<'_>) -> Result<(), FieldError> {
    for (names, value) in [
        (&["model_type"][..], json!("deepseek_v4")),
        (&["scoring_func", "score_func"], json!("sqrtsoftplus")),
        (&["topk_method"], json!("noaux_tc")),
        (&["hidden_act"], json!("silu")),
        (&["norm_topk_prob"], json!(true)),
        (&["num_key_value_heads"], json!(1)),
        (&["n_shared_experts"], json!(1)),
        (&["attention_bias"], json!(false)),
        (&["mlp_bias"], json!(false)),
        (&["tie_word_embeddings"], json!(false)),
    ] {
        root.only(names, &value)?;
    }
    Ok(())
}

fn blocks(root: &Fields<'_>) -> Result<(Vec<Block>, Vec<Block>), FieldError> {
    let layers = root.count(&["num_hidden_layers", "n_layers"], BLOCKS)?;
    let mtp = root.count_opt(&["num_nextn_predict_layers", "n_mtp_layers"], BLOCKS)?.unwrap_or(0);
    let hash = hash_routed(root, layers)?;
    let (ratios, tail) = ratios(root, layers, mtp)?;
    let backbone = ratios.into_iter().zip(hash);
    Ok((
        backbone.map(|(ratio, hash)| Block::new(ratio, hash)).collect(),
        tail.into_iter().map(|ratio| Block::new(ratio, false)).collect(),
    ))
}

fn hash_routed(root: &Fields<'_>, layers: usize) -> Result<Vec<bool>, FieldError> {
    let leading = root.count_opt(&["num_hash_layers", "n_hash_layers"], BLOCKS)?;
    if let Some(n) = leading.filter(|n| *n > layers) {
        let expected = format!("at most num_hidden_layers = {layers}");
        return Err(root.error("num_hash_layers", &expected, n));
    }
    let by_count = leading.map(|n| (0..layers).map(|i| i < n).collect::<Vec<_>>());
    let Some(by_name) = library::hash_routed(root)? else {
        return Ok(by_count.unwrap_or_else(|| vec![false; layers]));
    };
    expect_length(root, "mlp_layer_types", layers, by_name.len())?;
    if by_count.is_some_and(|other| other != by_name) {
        let expected = "the choice of num_hash_layers";
        return Err(root.error("mlp_layer_types", expected, "another one"));
    }
    Ok(by_name)
}

/// Ratios of the backbone and of the MTP tail.
fn ratios(root: &Fields<'_>, layers: usize, mtp: usize) -> Result<(Vec<usize>, Vec<usize>), FieldError> {
    let by_name = library::ratios(root, RATIO)?;
    if let Some(list) = &by_name {
        expect_length(root, "layer_types", layers, list.len())?;
    }
    match (root.counts_opt("compress_ratios", RATIO)?, by_name) {
        (Some(mut list), by_name) => {
            expect_length(root, "compress_ratios", layers + mtp, list.len())?;
            let tail = list.split_off(layers);
            if by_name.is_some_and(|other| other != list) {
                let expected = "the ratios of layer_types and compress_rates";
                return Err(root.error("compress_ratios", expected, format!("{list:?}")));
            }
            Ok((list, tail))
        }
        (None, Some(list)) => Ok((list, vec![0; mtp])),
        (None, None) => Err(root.error("compress_ratios", "a list of ratios", "nothing")),
    }
}

fn expect_length(root: &Fields<'_>, name: &str, expected: usize, found: usize) -> Result<(), FieldError> {
    if expected == found {
        return Ok(());
    }
    let expected = format!("{expected} entries, one for each block");
    Err(root.error(name, &expected, found))
}

fn rope_dim(root: &Fields<'_>, head_dim: usize) -> Result<usize, FieldError> {
    let direct = root.count_opt(&["qk_rope_head_dim", "rope_head_dim"], HEADS)?;
    let factor = root.number_opt(&["partial_rotary_factor"])?;
    let Some(factor) = factor else {
        return match direct {
            Some(dim) => Ok(dim),
            None => root.count(&["qk_rope_head_dim"], HEADS),
        };
    };
    let exact = factor * head_dim as f64;
    let dim = exact.round();
    // The factor is a decimal of dim / head_dim, so only its rounding may be lost.
    let whole = (exact - dim).abs() < 1e-3 && (0.0..=HEADS as f64).contains(&dim);
    let dim = dim as usize;
    if !whole || direct.is_some_and(|direct| direct != dim) {
        let expected = match direct {
            Some(direct) => format!("qk_rope_head_dim / head_dim = {direct} / {head_dim}"),
            None => format!("a whole share of head_dim = {head_dim}"),
        };
        return Err(root.error("partial_rotary_factor", &expected, factor));
    }
    Ok(dim)
}

fn ropes(root: &Fields<'_>, window_only: bool) -> Result<Ropes, FieldError> {
    if let Some(ropes) = library::ropes(root)? {
        return Ok(ropes);
    }
    let yarn = match root.object("rope_scaling")? {
        Some(scaling) => library::yarn(&scaling)?,
        None => reference_yarn(root)?,
    };
    let compress = root.number_opt(&["compress_rope_theta"])?;
    Ok(Ropes {
        theta: root.number_opt(&["rope_theta"])?.unwrap_or(1e4),
        // No default: the reference's own, 40000, is not what any released model uses.
        compress_theta: match compress {
            None if !window_only => root.number(&["compress_rope_theta"])?,
            theta => theta.unwrap_or(1.6e5),
        },
        yarn,
    })
}

/// The flat names of the reference, where a length of 0 turns YaRN off.
fn reference_yarn(root: &Fields<'_>) -> Result<Option<Yarn>, FieldError> {
    let original = root.count_opt(&["original_seq_len"], POSITIONS)?;
    let Some(original) = original.filter(|n| *n > 0) else {
        return Ok(None);
    };
    Ok(Some(Yarn {
        factor: root.number(&["rope_factor"])?,
        original_max_position_embeddings: original,
        beta_fast: root.number_opt(&["beta_fast"])?.unwrap_or(32.0),
        beta_slow: root.number_opt(&["beta_slow"])?.unwrap_or(1.0),
    }))
}

fn quantisation(root: &Fields<'_>) -> Result<(bool, ExpertFormat, [usize; 2]), FieldError> {
    let section = root.object("quantization_config")?;
    let mut block = RELEASED_BLOCK;
    if let Some(section) = &section {
        section.only(&["quant_method"], &json!("fp8"))?;
        section.only(&["fmt"], &json!("e4m3"))?;
        section.only(&["activation_scheme"], &json!("dynamic"))?;
        section.only(&["scale_fmt"], &json!("ue8m0"))?;
        if let Some(list) = section.counts_opt("weight_block_size", WIDTH)? {
            block = list
                .try_into()
                .map_err(|list| section.error("weight_block_size", "two integers", quote(&json!(list))))?;
        }
    }
    let quantised = section.is_some() || root.text_opt(&["dtype"])? == Some("fp8");
    let experts = match root.text_opt(&["expert_dtype"])? {
        Some("fp4") => ExpertFormat::Fp4,
        Some("fp8") => ExpertFormat::Fp8,
        None if quantised => ExpertFormat::Fp8,
        None | Some("bfloat16" | "bf16") => ExpertFormat::Plain,
        Some(other) => return Err(root.error("expert_dtype", "fp4, fp8 or bf16", other)),
    };
    Ok((quantised, experts, block))
}
