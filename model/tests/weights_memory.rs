//! Streaming a checkpoint larger than anyone's cache must not cost anonymous memory.
#![cfg(target_os = "linux")]
// Helpers outside the test function fail it by panicking, like the test itself.
#![allow(clippy::unwrap_used)]

use omnihal_deepseek::config::Config;
use omnihal_deepseek::weights::{Checkpoint, manifest};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

const SHARDS: usize = 4;
const TOTAL: u64 = 8_000_000_000;
const ALLOWED: u64 = 64 << 20;

/// A plain BF16 model of 8 GB with an embedding of 2 GB, all of it zeros that no disk holds.
const CONFIG: &str = r#"{
    "model_type": "deepseek_v4", "vocab_size": 262144, "hidden_size": 4096, "num_hidden_layers": 2,
    "num_attention_heads": 16, "head_dim": 512, "qk_rope_head_dim": 64, "q_lora_rank": 1024,
    "o_groups": 2, "o_lora_rank": 1024, "sliding_window": 128, "index_n_heads": 16,
    "index_head_dim": 128, "index_topk": 512, "n_routed_experts": 40, "num_experts_per_tok": 6,
    "moe_intermediate_size": 2048, "routed_scaling_factor": 1.5, "swiglu_limit": 10,
    "compress_ratios": [4, 128], "compress_rope_theta": 160000, "num_nextn_predict_layers": 0
}"#;

/// Anonymous memory of this process in bytes.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Writes one sparse shard and returns its tensors' bytes.
fn write_shard(path: &Path, tensors: &[(String, Vec<usize>)]) -> u64 {
    let mut end = 0;
    let mut entries = Vec::new();
    for (name, shape) in tensors {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        entries.push(format!(r#""{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
    end as u64
}

fn write_checkpoint(dir: &Path) -> u64 {
    fs::write(dir.join("config.json"), CONFIG).unwrap();
    let config = Config::from_slice("config.json", CONFIG.as_bytes()).unwrap();
    let tensors: Vec<_> = manifest(&config).map(|spec| (spec.name, spec.shape)).collect();
    let mut bytes = 0;
    let mut map = Vec::new();
    for shard in 0..SHARDS {
        let name = format!("model-{shard}.safetensors");
        let part: Vec<_> = tensors.iter().skip(shard).step_by(SHARDS).cloned().collect();
        map.extend(part.iter().map(|(tensor, _)| format!(r#""{tensor}":"{name}""#)));
        bytes += write_shard(&dir.join(name), &part);
    }
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, map.join(","));
    fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
    bytes
}

#[test]
fn streaming_8_gb_of_shards_keeps_anonymous_memory_small() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_checkpoint(dir.path());
    assert!(written >= TOTAL, "{written}");
    let before = anonymous();
    let mut highest = 0;
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.total_bytes(), written);
    for spec in manifest(checkpoint.config()) {
        let tensor = checkpoint.tensor(&spec.name).unwrap();
        let bytes: usize = tensor.checked_chunks(1 << 24).map(|c| c.unwrap().len()).sum();
        assert_eq!(bytes, tensor.stored_bytes());
        checkpoint.release(&tensor);
        highest = highest.max(anonymous().saturating_sub(before));
    }
    assert!(highest < ALLOWED, "{highest} bytes of anonymous memory");
}
