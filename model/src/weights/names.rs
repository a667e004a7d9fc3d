//! One name for each tensor, whoever wrote the file.
//!
//! Three name sets are in use: the official one, the one `transformers` uses in memory, and what
//! its `save_pretrained` makes of that, which is mostly the first under the prefix of the second.
//! Their words never clash, so each word is translated where it stands and any mixture is read.
//! Words that mean nothing here stay as they are, and the tensor is reported as unknown.

/// Stacked w1 and w3 of all experts of a block, after the block's prefix.
pub(super) const GATE_UP: &str = "ffn.experts.gate_up.weight";
/// Stacked w2 of all experts of a block, after the block's prefix.
pub(super) const DOWN: &str = "ffn.experts.down.weight";

/// The official name of a stored tensor; stacked experts get a name of our own.
pub(super) fn official(stored: &str) -> String {
    let name = stored.strip_prefix("model.").unwrap_or(stored);
    let words: Vec<&str> = name.split('.').collect();
    match words[..] {
        ["embed_tokens", leaf] => join(&["embed", leaf]),
        ["lm_head", leaf] => join(&["head", leaf]),
        ["hc_head", leaf] => match leaf.strip_prefix("hc_") {
            Some(part) => format!("hc_head_{part}"),
            None => name.into(),
        },
        [part @ ("layers" | "mtp"), index, ref rest @ ..] => join(&[part, index, &in_block(rest)]),
        _ => name.into(),
    }
}

/// True for names that only the library writes. It drops the MTP tail when it loads a file.
pub(super) fn is_library(stored: &str) -> bool {
    stored.starts_with("model.") || stored.starts_with("lm_head.")
}

/// The name of the scale of a weight.
pub(super) fn scale_of(weight: &str) -> Option<String> {
    Some(format!("{}scale", weight.strip_suffix("weight")?))
}

/// An expert's tensor: the block's prefix, the expert, and `w1`, `w2` or `w3`.
pub(super) fn expert(name: &str) -> Option<(&str, usize, &str)> {
    let (prefix, rest) = name.split_once("ffn.experts.")?;
    let (expert, rest) = rest.split_once('.')?;
    let matrix = rest.strip_suffix(".weight")?;
    let index: usize = expert.parse().ok()?;
    // "+1" and "01" parse, but are not how an expert is named.
    (index.to_string() == expert).then_some((prefix, index, matrix))
}

fn join(words: &[&str]) -> String {
    words.join(".")
}

fn in_block(words: &[&str]) -> String {
    let (leaf, words) = match words {
        [words @ .., "weight_scale_inv"] => ("scale", words),
        [words @ .., leaf] => (*leaf, words),
        [] => return String::new(),
    };
    match words {
        [] => leaf.into(),
        ["input_layernorm"] => join(&["attn_norm", leaf]),
        ["post_attention_layernorm"] => join(&["ffn_norm", leaf]),
        ["attn_hc"] => format!("hc_attn_{leaf}"),
        ["ffn_hc"] => format!("hc_ffn_{leaf}"),
        ["self_attn" | "attn", rest @ ..] => format!("attn.{}", in_attention(rest, leaf)),
        ["mlp" | "ffn", rest @ ..] => format!("ffn.{}", in_ffn(rest, leaf)),
        _ => format!("{}.{leaf}", words.join(".")),
    }
}

fn in_attention(words: &[&str], leaf: &str) -> String {
    match words {
        [] if leaf == "sinks" => "attn_sink".into(),
        [] => leaf.into(),
        ["compressor", "indexer", "q_b_proj"] | ["indexer", "q_b_proj"] => join(&["indexer.wq_b", leaf]),
        ["compressor", "indexer", "scorer", "weights_proj"] => join(&["indexer.weights_proj", leaf]),
        ["compressor", "indexer", rest @ ..] | ["indexer", "compressor", rest @ ..] => {
            format!("indexer.compressor.{}", in_compressor(rest, leaf))
        }
        ["compressor", rest @ ..] => format!("compressor.{}", in_compressor(rest, leaf)),
        [word] => {
            let word = match *word {
                "q_a_proj" => "wq_a",
                "q_a_norm" => "q_norm",
                "q_b_proj" => "wq_b",
                "kv_proj" => "wkv",
                // What save_pretrained makes of kv_norm.
                "norm" => "kv_norm",
                "o_a_proj" => "wo_a",
                "o_b_proj" => "wo_b",
                other => other,
            };
            join(&[word, leaf])
        }
        _ => format!("{}.{leaf}", words.join(".")),
    }
}

fn in_compressor(words: &[&str], leaf: &str) -> String {
    match words {
        [] if leaf == "position_bias" => "ape".into(),
        [] => leaf.into(),
        ["kv_proj"] => join(&["wkv", leaf]),
        ["gate_proj"] => join(&["wgate", leaf]),
        ["kv_norm"] => join(&["norm", leaf]),
        _ => format!("{}.{leaf}", words.join(".")),
    }
}

fn in_ffn(words: &[&str], leaf: &str) -> String {
    match (words, leaf) {
        (["gate"], "e_score_correction_bias") => "gate.bias".into(),
        (["experts"], "gate_up_proj") => "experts.gate_up.weight".into(),
        (["experts"], "gate_up_proj_scale_inv") => "experts.gate_up.scale".into(),
        (["experts"], "down_proj") => "experts.down.weight".into(),
        (["experts"], "down_proj_scale_inv") => "experts.down.scale".into(),
        (["experts", "gate_up_proj"], leaf) => join(&["experts.gate_up", leaf]),
        (["experts", "down_proj"], leaf) => join(&["experts.down", leaf]),
        (["shared_experts", "gate_proj"], leaf) => join(&["shared_experts.w1", leaf]),
        (["shared_experts", "down_proj"], leaf) => join(&["shared_experts.w2", leaf]),
        (["shared_experts", "up_proj"], leaf) => join(&["shared_experts.w3", leaf]),
        ([], leaf) => leaf.into(),
        (words, leaf) => format!("{}.{leaf}", words.join(".")),
    }
}
